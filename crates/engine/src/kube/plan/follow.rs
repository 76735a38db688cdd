//! The record follows the wish.

use std::collections::BTreeSet;

use super::{Action, Draft, Failing, Plan, Situation, Wish, prepare};
use crate::desired::Pin;
use crate::kube::object::ObjectKey;
use crate::kube::record::{Release, Role};

/// What keeps pods: another one is behind the gate like other pods.
const WORKLOADS: [&str; 5] = ["CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"];

/// The next change of the record that the wish asks for, or what must be known before.
pub(super) fn step(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let record = situation.record;
    let pin = match situation.wish {
        Wish::Run(pin) => pin,
        Wish::Hold { is_passing } => {
            let has_both = record.candidate.is_some() && record.serving.is_some();
            return (has_both && !is_passing).then_some(Action::Drop);
        }
        Wish::Unknown | Wish::Absent { .. } => return None,
    };
    let has_failed = record.failed.as_ref().is_some_and(|one| one.pin == *pin);
    match record.current() {
        Some((role, release)) if release.pin == *pin => {
            if record.failed.is_some() && !has_failed {
                return Some(Action::Forgive);
            }
            // Other software or settings render it in another way.
            let is_outdated = role == Role::Serving && release.rendering != situation.rendering;
            if !is_outdated || has_failed {
                return None;
            }
        }
        Some((Role::Candidate, _)) if serves(situation, pin) => return Some(Action::Drop),
        Some(_) | None => {}
    }
    if has_failed {
        return None;
    }
    match situation.draft(pin) {
        Some(draft) => Some(match record.current() {
            Some((role, release)) if is_in_place(release, draft) => {
                Action::Repin(role, draft.clone())
            }
            Some(_) | None => Action::Begin(draft.clone()),
        }),
        None => prepare(situation, plan, pin, |refusal| {
            Some(Failing {
                pin: pin.clone(),
                reason: refusal.reason,
                message: refusal.message.clone(),
                // A candidate that is no longer wanted gives way to what served.
                goes_back: record.candidate.is_some(),
            })
        }),
    }
}

/// Whether a draft replaces neither pods nor what keeps them.
fn is_in_place(release: &Release, draft: &Draft) -> bool {
    let workloads = |objects: &BTreeSet<ObjectKey>| {
        let all = objects
            .iter()
            .filter(|key| WORKLOADS.contains(&key.kind.as_str()));
        all.cloned().collect::<Vec<_>>()
    };
    release.label == draft.label && workloads(&release.objects) == workloads(&draft.objects)
}

/// Whether a pin is what serves, so that going back is all that it needs.
fn serves(situation: &Situation<'_>, pin: &Pin) -> bool {
    let serving = situation.record.serving.as_ref();
    serving.is_some_and(|serving| serving.pin == *pin)
}
