//! What one node should run: a function of what is declared.
//!
//! An application is delivered to a node when its selector matches the node's labels and its
//! type fits the node's mode. Where two claim the same port or service name, the older one keeps
//! it and the other is left out, visibly. An application whose input does not exist stays on
//! the node as it is there: what cannot be pinned does not stop what runs.

use std::collections::BTreeMap;

use baetyl_model::{Kind, Name};
use baetyl_proto::resource::v1::{ApplicationType, NodeMode};
use baetyl_proto::sync::v1 as wire;

use super::view::{ApplicationFacts, Claim, NodeFacts, View};

#[cfg(test)]
mod tests;

/// What a node should run, and what it should not although it matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePlan {
    /// The pinned applications, sorted by name.
    pub applications: Vec<wire::DesiredApplication>,
    /// Applications that were left out in favour of others.
    pub conflicts: Vec<Conflict>,
    /// Applications whose inputs do not exist.
    pub missing: Vec<MissingInput>,
}

/// An application was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The one that was left out.
    pub application: Name,
    /// The older one that keeps what both claim.
    pub keeper: Name,
    /// What both claim.
    pub claim: Claim,
}

/// An input of an application does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingInput {
    /// The application.
    pub application: Name,
    /// Kind of the input.
    pub kind: Kind,
    /// Name of the input.
    pub name: Name,
}

/// How an application and a node stand to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The labels do not match.
    No,
    /// The labels match, and the node cannot run what the application is made of.
    ByLabelNotByMode,
    /// Labels and mode match.
    Full,
}

/// Tells whether an application belongs on a node, conflicts aside.
pub fn matches(application: &ApplicationFacts, node: &NodeFacts) -> Match {
    if !application.selector.matches(&node.labels) {
        return Match::No;
    }
    if fits(application, node.mode) {
        return Match::Full;
    }
    Match::ByLabelNotByMode
}

fn fits(application: &ApplicationFacts, mode: NodeMode) -> bool {
    match application.kind {
        // What only a cluster can give would be dropped elsewhere.
        ApplicationType::Function => !application.needs_cluster || mode == NodeMode::Kube,
        ApplicationType::Process => matches!(mode, NodeMode::Process | NodeMode::Unspecified),
        ApplicationType::Container | ApplicationType::Helm | ApplicationType::Manifest => {
            mode == NodeMode::Kube
        }
        ApplicationType::Unspecified => false,
    }
}

/// Says which nodes an application needs, for people who wonder why it is not on theirs.
pub fn need(application: &ApplicationFacts) -> &'static str {
    match application.kind {
        ApplicationType::Container => "container applications run on kube nodes",
        ApplicationType::Helm => "helm applications run on kube nodes",
        ApplicationType::Manifest => "manifest applications run on kube nodes",
        ApplicationType::Process => "process applications run on process nodes",
        ApplicationType::Function if application.needs_cluster => {
            "this one sets fields that only kube nodes have"
        }
        ApplicationType::Function => "function applications run on every node",
        ApplicationType::Unspecified => "its type is unknown",
    }
}

/// Plans one node. `held` is what its present document pins, `retries` how often each application
/// was to be tried again. The same arguments give the same plan.
pub fn for_node(
    view: &View,
    node: &NodeFacts,
    held: &[wire::DesiredApplication],
    retries: &BTreeMap<String, u64>,
) -> NodePlan {
    let mut candidates: Vec<&ApplicationFacts> = view
        .applications()
        .filter(|application| matches(application, node) == Match::Full)
        .collect();
    candidates.sort_by(|a, b| (a.create_time, &a.uid).cmp(&(b.create_time, &b.uid)));

    let mut plan = NodePlan::default();
    let mut taken: BTreeMap<&Claim, &Name> = BTreeMap::new();
    for application in candidates {
        let clash = application
            .claims
            .iter()
            .find_map(|claim| Some((claim, *taken.get(claim)?)));
        if let Some((claim, keeper)) = clash {
            plan.conflicts.push(Conflict {
                application: application.name.clone(),
                keeper: keeper.clone(),
                claim: claim.clone(),
            });
            continue;
        }
        for claim in &application.claims {
            taken.insert(claim, &application.name);
        }
        let retry = retries.get(application.name.as_str()).copied();
        match pin(view, application, retry.unwrap_or_default()) {
            Ok(item) => plan.applications.push(item),
            Err(missing) => {
                plan.missing.push(missing);
                let is_same = |item: &&wire::DesiredApplication| {
                    item.name == application.name.as_str() && item.uid == application.uid.as_str()
                };
                plan.applications.extend(held.iter().find(is_same).cloned());
            }
        }
    }
    plan.applications.sort_by(|a, b| a.name.cmp(&b.name));
    plan
}

/// Pins an application with all of its inputs.
fn pin(
    view: &View,
    application: &ApplicationFacts,
    retry: u64,
) -> Result<wire::DesiredApplication, MissingInput> {
    let mut inputs = Vec::with_capacity(application.inputs.len());
    for (kind, name) in &application.inputs {
        let Some(input) = view.input(*kind, name) else {
            return Err(MissingInput {
                application: application.name.clone(),
                kind: *kind,
                name: name.clone(),
            });
        };
        inputs.push(wire::InputRef {
            kind: kind.word().to_owned(),
            name: name.to_string(),
            revision: input.revision.number(),
            digest: input.digest.to_string(),
        });
    }
    inputs.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    Ok(wire::DesiredApplication {
        name: application.name.to_string(),
        revision: application.revision.number(),
        digest: application.digest.to_string(),
        template_digest: application.template_digest.to_string(),
        inputs,
        features: application.features.clone(),
        retry,
        uid: application.uid.to_string(),
    })
}
