//! Facts about an application that programs look for.

use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, ConditionStatus};

use super::Asked;
use crate::kube::plan::Situation;
use crate::reason;

/// Something serves.
const AVAILABLE: &str = "Available";

/// A revision failed, and the last good one is what runs.
const ROLLED_BACK: &str = "RolledBack";

/// Somebody else has what the application wants.
const CONFLICT: &str = "Conflict";

/// Every condition that applies; when it came to hold is left to the caller.
pub(super) fn all(
    situation: &Situation<'_>,
    asked: Asked<'_>,
    state: ApplicationState,
) -> Vec<pb::Condition> {
    let mut conditions = vec![available(situation, asked, state)];
    conditions.extend(conflict(situation, asked));
    conditions.extend(rolled_back(situation, state));
    conditions
}

fn condition(kind: &str, status: ConditionStatus, reason: &str, message: &str) -> pb::Condition {
    pb::Condition {
        r#type: kind.to_owned(),
        status: status.into(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: None,
    }
}

fn available(
    situation: &Situation<'_>,
    asked: Asked<'_>,
    state: ApplicationState,
) -> pb::Condition {
    if let Some(why) = asked.blindness {
        let status = ConditionStatus::Unknown;
        return condition(AVAILABLE, status, reason::OBSERVATION_FAILED, why);
    }
    let pods = &situation.facts.pods;
    let ready = pods.values().filter(|pod| pod.is_ready && !pod.is_deleting);
    match ready.count() {
        0 if pods.is_empty() && state == ApplicationState::Healthy => condition(
            AVAILABLE,
            ConditionStatus::True,
            "",
            "every object is ready",
        ),
        0 => {
            let message = format!("none of {} instances is ready", pods.len());
            condition(AVAILABLE, ConditionStatus::False, "", &message)
        }
        ready => {
            let message = format!("{ready} of {} instances are ready", pods.len());
            condition(AVAILABLE, ConditionStatus::True, "", &message)
        }
    }
}

fn conflict(situation: &Situation<'_>, asked: Asked<'_>) -> Option<pb::Condition> {
    let status = ConditionStatus::True;
    if let Some(message) = situation.record.conflicts.values().next() {
        return Some(condition(CONFLICT, status, reason::FIELD_CONFLICT, message));
    }
    let reasons = [
        reason::FIELD_CONFLICT,
        reason::OBJECT_NOT_OURS,
        reason::PORT_CONFLICT,
        reason::SERVICE_CONFLICT,
    ];
    if let Some(obstacle) = asked.obstacle
        && reasons.contains(&obstacle.reason)
    {
        return Some(condition(
            CONFLICT,
            status,
            obstacle.reason,
            &obstacle.message,
        ));
    }
    let failed = situation.record.failed.as_ref()?;
    reasons
        .contains(&failed.reason.as_str())
        .then(|| condition(CONFLICT, status, &failed.reason, &failed.message))
}

fn rolled_back(situation: &Situation<'_>, state: ApplicationState) -> Option<pb::Condition> {
    let failed = situation.record.failed.as_ref()?;
    let status = ConditionStatus::True;
    (state == ApplicationState::RolledBack)
        .then(|| condition(ROLLED_BACK, status, &failed.reason, &failed.message))
}
