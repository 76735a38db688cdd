//! The candidate's way: files, start, ready, soak, switch; or failure at any of these.

use super::{Action, Files, Plan, SILENT_SOAK, Situation, Verdict, files, stop_if};
use crate::observed::{Phase, Prepared};
use crate::reason;
use crate::record::{Candidate, Role, Slot};
use crate::spec::AppSpec;

/// What stands against the candidate.
struct Fault {
    reason: String,
    message: String,
}

/// Plans for the candidate. Returns whether what serves must stay down meanwhile.
pub(super) fn advance(situation: &Situation<'_>, plan: &mut Plan) -> bool {
    let Some(candidate) = &situation.record.candidate else {
        return false;
    };
    let Some(spec) = situation.candidate else {
        // Its body is unreadable for now; the wish decides what becomes of it.
        return candidate.is_exclusive;
    };
    if candidate.is_exclusive {
        stop_if(situation, plan, |id| {
            let owner = situation.record.slot_of(id);
            owner.is_some_and(|(role, _)| role == Role::Serving)
        });
    }
    if situation.is_gate_blocked() {
        return candidate.is_exclusive;
    }
    let fault = candidate
        .release
        .slots
        .iter()
        .find_map(|slot| fault(situation, slot, spec));
    if let Some(fault) = fault {
        plan.act(fail(candidate, spec, fault));
        return true;
    }
    if has_passed(situation, plan, candidate, spec) {
        plan.act(Action::Promote);
        return true;
    }
    let before = plan.actions.len();
    match files(situation, plan, Role::Candidate, &candidate.release) {
        Files::Ready => start_missing(situation, plan, candidate),
        Files::Pending => {}
        Files::Refused(refusal) => {
            let fault = Fault {
                reason: refusal.reason.to_owned(),
                message: refusal.message.clone(),
            };
            plan.act(fail(candidate, spec, fault));
            return true;
        }
    }
    if let Some(late) = overdue(situation, plan, candidate, spec) {
        plan.actions.truncate(before);
        plan.act(fail(candidate, spec, late));
        return true;
    }
    candidate.is_exclusive
}

/// Why one slot makes the candidate fail at once.
fn fault(situation: &Situation<'_>, slot: &Slot, spec: &AppSpec) -> Option<Fault> {
    let fault = |reason: &str, message: &str| {
        let message = format!("service {}: {message}", slot.service);
        Some(Fault {
            reason: reason.to_owned(),
            message,
        })
    };
    match situation.observed.phase(slot)? {
        // A job may end badly and be tried again; that is decided once it serves.
        Phase::Ended { termination, .. } if !slot.is_completed && !spec.is_job => {
            fault(&termination.reason, &termination.message)
        }
        Phase::Refused { refusal, .. } if refusal.is_final => {
            fault(refusal.reason, &refusal.message)
        }
        Phase::Running(health) => {
            let doom = health.doomed.as_ref()?;
            fault(doom.reason, &doom.message)
        }
        Phase::Ended { .. }
        | Phase::Refused { .. }
        | Phase::Launching
        | Phase::Stopping
        | Phase::Discarding
        | Phase::Vanished
        | Phase::Broken
        | Phase::Unknown { .. } => None,
    }
}

fn fail(candidate: &Candidate, spec: &AppSpec, fault: Fault) -> Action {
    Action::Fail(Verdict {
        pin: candidate.release.pin.clone(),
        reason: fault.reason,
        message: fault.message,
        // What was never stopped need not come back.
        keeps_serving: spec.update.rollback || !candidate.is_exclusive,
    })
}

fn has_passed(
    situation: &Situation<'_>,
    plan: &mut Plan,
    candidate: &Candidate,
    spec: &AppSpec,
) -> bool {
    if spec.is_job {
        // A job is not waited for: it serves once it could be started.
        return candidate.release.slots.iter().all(|slot| {
            let has_started =
                |phase: &Phase| matches!(phase, Phase::Running(_) | Phase::Ended { .. });
            slot.is_completed || situation.observed.phase(slot).is_some_and(has_started)
        });
    }
    let Some(since) = situation.observed.ready_since else {
        return false;
    };
    let mut soak = spec.update.soak;
    if spec.has_silent_service() {
        soak = soak.max(SILENT_SOAK);
    }
    let until = since + soak;
    if situation.now >= until {
        return true;
    }
    plan.wake(until);
    false
}

fn start_missing(situation: &Situation<'_>, plan: &mut Plan, candidate: &Candidate) {
    for slot in &candidate.release.slots {
        let wants_start = match situation.observed.phase(slot) {
            None | Some(Phase::Vanished) => !slot.is_completed,
            Some(Phase::Refused { retry_at, .. }) => {
                let is_due = situation.now >= *retry_at;
                if !is_due {
                    plan.wake(*retry_at);
                }
                is_due
            }
            Some(Phase::Broken) => {
                plan.actions
                    .extend(slot.instance.iter().cloned().map(Action::Stop));
                false
            }
            Some(
                Phase::Launching
                | Phase::Running(_)
                | Phase::Stopping
                | Phase::Discarding
                | Phase::Ended { .. }
                | Phase::Unknown { .. },
            ) => false,
        };
        if wants_start {
            plan.act(Action::Start(Role::Candidate, slot.key()));
        }
    }
}

/// Why the candidate took too long.
fn overdue(
    situation: &Situation<'_>,
    plan: &mut Plan,
    candidate: &Candidate,
    spec: &AppSpec,
) -> Option<Fault> {
    let until = situation.observed.gate_since? + spec.update.deadline;
    if situation.now < until {
        plan.wake(until);
        return None;
    }
    let deadline = spec.update.deadline;
    let slots = &candidate.release.slots;
    let late = slots.iter().find(|slot| !situation.observed.is_ready(slot));
    let (reason, detail) = match late {
        Some(slot) => waiting_for(situation, candidate, slot),
        None => (
            reason::DEADLINE_EXCEEDED,
            "it was not ready long enough".to_owned(),
        ),
    };
    Some(Fault {
        reason: reason.to_owned(),
        message: format!("not ready within {deadline:?}: {detail}"),
    })
}

/// What a slot that is not ready waits for.
fn waiting_for(
    situation: &Situation<'_>,
    candidate: &Candidate,
    slot: &Slot,
) -> (&'static str, String) {
    let service = &slot.service;
    let files = situation.observed.files.get(&candidate.release.number);
    if let Some(Prepared::Refused { refusal, .. }) = files {
        return (refusal.reason, refusal.message.clone());
    }
    match situation.observed.phase(slot) {
        Some(Phase::Refused { refusal, .. }) => (
            refusal.reason,
            format!("service {service}: {}", refusal.message),
        ),
        Some(Phase::Running(health)) if !health.probe_message.is_empty() => (
            reason::PROBE_FAILED,
            format!("service {service}: {}", health.probe_message),
        ),
        Some(
            Phase::Running(_)
            | Phase::Launching
            | Phase::Stopping
            | Phase::Discarding
            | Phase::Ended { .. }
            | Phase::Vanished
            | Phase::Broken
            | Phase::Unknown { .. },
        )
        | None => (
            reason::DEADLINE_EXCEEDED,
            format!("service {service} is not ready"),
        ),
    }
}
