//! One application on its nodes.

use baetyl_model::{Name, NamespaceName};
use baetyl_proto::cloud::v1::ApplicationNode;
use baetyl_proto::resource::v1 as pb;

use super::{Reader, count, is_failed, is_healthy, why};
use crate::matching::plan;
use crate::store::StoreError;

/// Names that one sentence lists.
const LISTED: usize = 5;

const NO_NODE: &str = "the selector matches no node";

/// Where an application is desired, and where it is not although it could seem so.
#[derive(Default)]
struct Spread {
    desired: Vec<(Name, u64)>,
    mismatched: Vec<Name>,
    /// Which nodes it needs, when some are mismatched.
    need: &'static str,
    conflicts: Vec<String>,
    missing: Option<String>,
}

fn spread(reader: &Reader, namespace: &NamespaceName, application: &Name) -> Spread {
    let found = reader.matching.with_view(namespace, |view, placements| {
        let mut spread = Spread::default();
        for (node, placement) in placements {
            if let Some(revision) = placement.applications.get(application.as_str()) {
                spread.desired.push((node.clone(), *revision));
            }
            let mut conflicts = placement.conflicts.iter();
            if let Some(one) = conflicts.find(|one| one.application == *application) {
                spread
                    .conflicts
                    .push(format!("{node} ({} belongs to {})", one.claim, one.keeper));
            }
            let mut missing = placement.missing.iter();
            if let Some(one) = missing.find(|one| one.application == *application) {
                spread.missing = Some(format!("{} {}", one.kind.word(), one.name));
            }
        }
        if let Some(facts) = view.application(application) {
            spread.mismatched = view.mismatched(facts);
            spread.need = plan::need(facts);
        }
        spread
    });
    found.unwrap_or_default()
}

pub(super) async fn summary(
    reader: &Reader,
    namespace: &NamespaceName,
    application: &Name,
) -> Result<pb::ApplicationSummary, StoreError> {
    let spread = spread(reader, namespace, application);
    let mut summary = pb::ApplicationSummary {
        node_count: count(spread.desired.len()),
        ..pb::ApplicationSummary::default()
    };
    let mut reasons = Vec::new();
    for (node, revision) in &spread.desired {
        let Some(found) = one_node(reader, namespace, application, node, *revision).await? else {
            continue;
        };
        if let Some(status) = &found.status {
            summary.healthy_node_count += u32::from(is_healthy(status, *revision));
            summary.failed_node_count += u32::from(is_failed(status, *revision));
        }
        if !found.why.is_empty() {
            reasons.push(format!("{node}: {}", found.why));
        }
    }
    summary.conditions = conditions(&spread);
    summary.why = sentence(&spread, &reasons);
    Ok(summary)
}

fn conditions(spread: &Spread) -> Vec<pb::Condition> {
    let mut conditions = Vec::new();
    let holds = !spread.desired.is_empty();
    let (reason, message) = if !spread.mismatched.is_empty() {
        ("MODE_MISMATCH", mismatch(spread))
    } else if holds || !spread.conflicts.is_empty() {
        ("MATCHED", String::new())
    } else {
        ("NO_NODE", NO_NODE.to_owned())
    };
    conditions.push(why::condition("Matched", holds, reason, message, None));
    if !spread.conflicts.is_empty() {
        let message = format!("left out on {}", listed(spread.conflicts.iter().cloned()));
        conditions.push(why::condition("Conflict", true, "CONFLICT", message, None));
    }
    if let Some(missing) = &spread.missing {
        let message = format!("{missing} does not exist");
        conditions.push(why::condition(
            "InputMissing",
            true,
            "INPUT_MISSING",
            message,
            None,
        ));
    }
    conditions
}

fn sentence(spread: &Spread, reasons: &[String]) -> String {
    if let Some(first) = reasons.first() {
        return match reasons.len() - 1 {
            0 => first.clone(),
            more => format!("{first}; and {more} more nodes"),
        };
    }
    if let Some(missing) = &spread.missing {
        return format!("{missing} does not exist");
    }
    if !spread.conflicts.is_empty() {
        return format!("left out on {}", listed(spread.conflicts.iter().cloned()));
    }
    if !spread.desired.is_empty() {
        return String::new();
    }
    if !spread.mismatched.is_empty() {
        return mismatch(spread);
    }
    NO_NODE.to_owned()
}

fn mismatch(spread: &Spread) -> String {
    let names = listed(spread.mismatched.iter().map(Name::to_string));
    format!("matched by label, not by mode: {names}; {}", spread.need)
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let total = names.len();
    let mut text = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if total > LISTED {
        text.push_str(&format!(" and {} more", total - LISTED));
    }
    text
}

pub(super) async fn nodes(
    reader: &Reader,
    namespace: &NamespaceName,
    application: &Name,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<ApplicationNode>, StoreError> {
    let spread = spread(reader, namespace, application);
    let wanted = spread.desired.into_iter();
    let wanted = wanted.filter(|(node, _)| after.is_none_or(|after| node > after));
    let mut found = Vec::new();
    for (node, revision) in wanted.take(limit) {
        found.extend(one_node(reader, namespace, application, &node, revision).await?);
    }
    Ok(found)
}

/// `None` when the node is gone by now.
async fn one_node(
    reader: &Reader,
    namespace: &NamespaceName,
    application: &Name,
    node: &Name,
    revision: u64,
) -> Result<Option<ApplicationNode>, StoreError> {
    let Some(uid) = reader.uid(namespace, node).await? else {
        return Ok(None);
    };
    let view = reader.view(namespace, node, &uid).await?;
    let status = view.status_of(application.as_str());
    Ok(Some(ApplicationNode {
        node: node.to_string(),
        readiness: view.readiness.into(),
        why: why::application(&view, application.as_str(), revision),
        status: status.cloned(),
        desired_revision: revision,
    }))
}
