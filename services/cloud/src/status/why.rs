//! Status in words: conditions for programs, one sentence for people.

use std::time::SystemTime;

use baetyl_proto::resource::v1 as pb;

use super::{NodeView, is_failed, is_healthy};
use crate::matching::plan::Conflict;
use crate::matching::view::Claim;

/// Makes a condition.
pub(super) fn condition(
    name: &str,
    holds: bool,
    reason: &str,
    message: String,
    time: Option<SystemTime>,
) -> pb::Condition {
    let status = match holds {
        true => pb::ConditionStatus::True,
        false => pb::ConditionStatus::False,
    };
    pb::Condition {
        r#type: name.to_owned(),
        status: status.into(),
        reason: reason.to_owned(),
        message,
        last_transition_time: time.map(Into::into),
    }
}

/// What is observed of a node: always whether it is ready and converged, the rest when it is so.
pub(super) fn conditions(view: &NodeView) -> Vec<pb::Condition> {
    let mut conditions = vec![ready(view), converged(view)];
    if let Some(first) = view.placement.conflicts.first() {
        let reason = match first.claim {
            Claim::Port { .. } => "PORT_CONFLICT",
            Claim::Service(_) => "SERVICE_CONFLICT",
        };
        let each: Vec<String> = view.placement.conflicts.iter().map(left_out).collect();
        conditions.push(condition("Conflict", true, reason, each.join("; "), None));
    }
    if let Some(missing) = missing_input(view) {
        conditions.push(condition(
            "InputMissing",
            true,
            "INPUT_MISSING",
            missing,
            None,
        ));
    }
    if view.is_duplicate {
        let message = DUPLICATE.to_owned();
        conditions.push(condition(
            "DuplicateNode",
            true,
            "DUPLICATE_NODE",
            message,
            None,
        ));
    }
    conditions
}

const DUPLICATE: &str = "two devices take each other's place as this node";

fn ready(view: &NodeView) -> pb::Condition {
    let (holds, reason) = match view.readiness {
        pb::Readiness::Online => (true, "ONLINE"),
        pb::Readiness::Offline => (false, "OFFLINE"),
        pb::Readiness::Uninstalled | pb::Readiness::Unspecified => (false, "UNINSTALLED"),
    };
    let message = unready(view).unwrap_or_default();
    condition("Ready", holds, reason, message, view.state.transition_time)
}

fn converged(view: &NodeView) -> pb::Condition {
    if view.is_local {
        let message = "the node owns its desired state".to_owned();
        return condition("Converged", true, "LOCAL", message, None);
    }
    if view.is_converged() {
        let time = view.state.converge_time;
        return condition("Converged", true, "CONVERGED", String::new(), time);
    }
    let reason = if view.readiness != pb::Readiness::Online {
        "NODE_OFFLINE"
    } else if view.state.accepted < view.placement.fence {
        "NOT_ACCEPTED"
    } else if failed(view).is_some() {
        "APPLICATION_FAILED"
    } else {
        "PROGRESSING"
    };
    condition("Converged", false, reason, sentence(view), None)
}

fn left_out(conflict: &Conflict) -> String {
    format!(
        "application {} is left out: {} belongs to {}",
        conflict.application, conflict.claim, conflict.keeper
    )
}

fn missing_input(view: &NodeView) -> Option<String> {
    let missing = view.placement.missing.first()?;
    Some(format!(
        "application {} is kept as it is: {} {} does not exist",
        missing.application,
        missing.kind.word(),
        missing.name
    ))
}

/// Why a node cannot be reached.
fn unready(view: &NodeView) -> Option<String> {
    match view.readiness {
        pb::Readiness::Online => None,
        pb::Readiness::Offline => Some(match view.last_seen {
            Some(time) => format!("offline since {}", prost_types::Timestamp::from(time)),
            None => "activated, and never connected".to_owned(),
        }),
        pb::Readiness::Uninstalled | pb::Readiness::Unspecified => {
            Some("never activated".to_owned())
        }
    }
}

fn failed(view: &NodeView) -> Option<String> {
    let mut applications = view.placement.applications.iter();
    applications.find_map(|(name, revision)| {
        let status = view.status_of(name)?;
        is_failed(status, *revision).then(|| format!("application {name} {}", told(status)))
    })
}

/// Why the node is not what it should be; empty when it is.
pub(super) fn sentence(view: &NodeView) -> String {
    if let Some(unready) = unready(view) {
        return unready;
    }
    if view.is_duplicate {
        return DUPLICATE.to_owned();
    }
    if view.is_local {
        return String::new();
    }
    let wanted = view.placement.fence;
    let generation = wanted.generation;
    if view.state.accepted < wanted {
        return format!("waiting for generation {generation} to be accepted");
    }
    if let Some(failed) = failed(view) {
        return failed;
    }
    for (name, revision) in &view.placement.applications {
        let why = application(view, name, *revision);
        if !why.is_empty() {
            return format!("application {name} {why}");
        }
    }
    if !view.is_converged() {
        return format!("waiting for generation {generation} to run");
    }
    if let Some(conflict) = view.placement.conflicts.first() {
        return left_out(conflict);
    }
    missing_input(view).unwrap_or_default()
}

/// Why an application is not healthy on a node; empty when it is.
pub(super) fn application(view: &NodeView, name: &str, revision: u64) -> String {
    if let Some(unready) = unready(view) {
        return format!("{} is not online: {unready}", view.name);
    }
    let Some(status) = view.status_of(name) else {
        return "was not reported yet".to_owned();
    };
    if is_healthy(status, revision) {
        let wanted = view.placement.inputs.get(name);
        return match wanted.is_some_and(|wanted| *wanted != status.input_digests) {
            true => "has not taken its changed inputs yet".to_owned(),
            false => String::new(),
        };
    }
    if status.desired_revision != revision {
        return format!("has not taken revision {revision} yet");
    }
    told(status)
}

/// `failed: PROGRAM_NOT_FOUND, there is no python4`.
fn told(status: &pb::ApplicationStatus) -> String {
    let state = match status.state() {
        pb::ApplicationState::Unspecified | pb::ApplicationState::Unknown => "cannot be observed",
        pb::ApplicationState::Pending => "is pending",
        pb::ApplicationState::Progressing => "is progressing",
        pb::ApplicationState::Healthy => "is healthy",
        pb::ApplicationState::Degraded => "is degraded",
        pb::ApplicationState::RolledBack => "was rolled back",
        pb::ApplicationState::Failed => "failed",
        pb::ApplicationState::Succeeded => "succeeded",
        pb::ApplicationState::Removing => "is being removed",
    };
    let parts = [status.reason.as_str(), status.message.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return state.to_owned();
    }
    format!("{state}: {}", parts.join(", "))
}
