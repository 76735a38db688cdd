//! Keeps what serves running: starts what is missing, restarts what ended, stops what hangs.

use super::{Action, Files, JOB_ATTEMPTS, Plan, Situation, Verdict, files};
use crate::observed::Phase;
use crate::reason;
use crate::record::{Release, Role, Slot};
use crate::spec::{AppSpec, RestartPolicy};

/// Plans for the serving release.
pub(super) fn run(situation: &Situation<'_>, plan: &mut Plan) {
    let (Some(release), Some(spec)) = (&situation.record.serving, situation.serving) else {
        return;
    };
    let mut wanting = Vec::new();
    for slot in &release.slots {
        if let Some(verdict) = given_up(situation, release, slot, spec) {
            plan.act(Action::Fail(verdict));
            return;
        }
        if wants_start(situation, plan, slot, spec) {
            wanting.push(Action::Start(Role::Serving, slot.key()));
        }
    }
    // Also when nothing wants to start: files that somebody damaged are made right at adoption.
    let are_files_ready = files(situation, plan, Role::Serving, release) == Files::Ready;
    // A fixed port or a route is free only when whoever had it is gone.
    let is_blocked = !spec.claims().is_empty() && situation.has_rivals(Role::Serving, false);
    if are_files_ready && !is_blocked {
        plan.actions.append(&mut wanting);
    }
}

fn wants_start(situation: &Situation<'_>, plan: &mut Plan, slot: &Slot, spec: &AppSpec) -> bool {
    if slot.is_completed {
        return false;
    }
    let policy = policy(spec, slot);
    match situation.observed.phase(slot) {
        None | Some(Phase::Vanished) => true,
        Some(Phase::Launching | Phase::Stopping | Phase::Discarding | Phase::Unknown { .. }) => {
            false
        }
        Some(Phase::Running(health)) => {
            if let (Some(_), Some(id)) = (&health.doomed, &slot.instance) {
                plan.act(Action::Stop(id.clone()));
            }
            false
        }
        Some(Phase::Broken) => {
            plan.actions
                .extend(slot.instance.iter().cloned().map(Action::Stop));
            false
        }
        Some(Phase::Ended { .. }) if policy == RestartPolicy::Never => false,
        Some(Phase::Ended { retry_at, .. } | Phase::Refused { retry_at, .. }) => {
            if situation.now >= *retry_at {
                return true;
            }
            plan.wake(*retry_at);
            false
        }
    }
}

/// A job that failed for good.
fn given_up(
    situation: &Situation<'_>,
    release: &Release,
    slot: &Slot,
    spec: &AppSpec,
) -> Option<Verdict> {
    let Some(Phase::Ended { termination, .. }) = situation.observed.phase(slot) else {
        return None;
    };
    if !spec.is_job || slot.is_completed {
        return None;
    }
    let is_last = policy(spec, slot) == RestartPolicy::Never || slot.failures >= JOB_ATTEMPTS;
    is_last.then(|| Verdict {
        pin: release.pin.clone(),
        reason: reason::JOB_FAILED.to_owned(),
        message: format!(
            "service {} failed {} times, at last: {}",
            slot.service,
            slot.failures.max(1),
            termination.message
        ),
        keeps_serving: false,
    })
}

fn policy(spec: &AppSpec, slot: &Slot) -> RestartPolicy {
    spec.service(&slot.service)
        .map_or(RestartPolicy::Never, |service| service.restart)
}
