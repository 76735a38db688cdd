//! The candidate's way after it was applied: ready for long enough, or failed.

use std::time::Duration;

use super::{Action, Failing, Plan, Situation};
use crate::kube::health::{Trouble, Verdict, judge};
use crate::kube::record::{Candidate, Role};
use crate::kube::spec::KubeSpec;
use crate::reason;

/// Judges the candidate.
pub(super) fn step(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let candidate = situation.record.candidate.as_ref()?;
    if !candidate.release.is_applied {
        return None;
    }
    let subject = situation.subject(Role::Candidate)?;
    if !situation.work.obstructing.is_empty() {
        return Some(Action::Clear(situation.work.obstructing.clone()));
    }
    // What failed, or is not wanted, gets no second verdict but the good one.
    let is_judged = situation.record.failed.is_none();
    match judge(&subject) {
        Verdict::Ready | Verdict::Completed => Some(Action::Promote),
        // It was started: that is all that its gate waits for.
        Verdict::GivenUp(_) if is_judged => Some(Action::Promote),
        Verdict::Doomed(trouble) if is_judged => Some(fail(situation, candidate, trouble)),
        Verdict::Waiting(trouble) if is_judged => {
            let late = overdue(situation, plan, candidate, subject.spec, trouble)?;
            Some(fail(situation, candidate, late))
        }
        Verdict::GivenUp(_) | Verdict::Doomed(_) | Verdict::Waiting(_) => None,
    }
}

fn fail(situation: &Situation<'_>, candidate: &Candidate, trouble: Trouble) -> Action {
    Action::Fail(Failing {
        pin: candidate.release.pin.clone(),
        reason: trouble.reason,
        message: trouble.message,
        goes_back: goes_back(situation),
    })
}

/// Whether what serves comes back when the candidate fails.
pub(super) fn goes_back(situation: &Situation<'_>) -> bool {
    let Some(serving) = &situation.record.serving else {
        return false;
    };
    // What is to be tried in another rendering cannot be gone back to: the same would come of it.
    let candidate = situation.record.candidate.as_ref();
    let is_other = candidate.is_some_and(|one| one.release.pin != serving.pin);
    is_other && situation.candidate.is_none_or(|spec| spec.update.rollback)
}

/// Why a candidate that was begun cannot be applied, when that has been so for too long.
pub(super) fn stuck(situation: &Situation<'_>, plan: &mut Plan) -> Option<Failing> {
    let candidate = situation.record.candidate.as_ref()?;
    let deadline = situation.candidate?.update.deadline;
    let refused = situation.work.refused(&candidate.release.pin)?;
    if situation.record.failed.is_some() || !refused.is_answered() {
        return None;
    }
    let until = refused.since + deadline;
    if situation.now < until {
        plan.wake(until);
        return None;
    }
    let message = format!(
        "not applied within {deadline:?}: {}",
        refused.refusal.message
    );
    Some(Failing {
        pin: candidate.release.pin.clone(),
        reason: refused.refusal.reason,
        message,
        goes_back: goes_back(situation),
    })
}

/// Why the candidate took too long.
fn overdue(
    situation: &Situation<'_>,
    plan: &mut Plan,
    candidate: &Candidate,
    spec: &KubeSpec,
    trouble: Trouble,
) -> Option<Trouble> {
    let deadline = spec.update.deadline;
    let since = situation.clock.duration_since(candidate.applied_at?);
    // A clock that was set back gives the whole time again, at most.
    let left = deadline.saturating_sub(since.unwrap_or(Duration::ZERO));
    if !left.is_zero() {
        plan.wake(situation.now + left);
        return None;
    }
    let reason = match trouble.is_problem() {
        true => trouble.reason,
        false => reason::DEADLINE_EXCEEDED,
    };
    let message = format!("not ready within {deadline:?}: {}", trouble.message);
    Some(Trouble { reason, message })
}
