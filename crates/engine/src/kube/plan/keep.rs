//! Keeps what was applied as it was applied, its certificates young and its pods informed.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1::Workload;

use super::{Action, Failing, Plan, Situation};
use crate::kube::health::{Standing, Verdict, judge, pod_name, standing};
use crate::kube::object::ObjectKey;
use crate::kube::record::{Release, Role};

/// Looks after the release that the cluster was brought to.
pub(super) fn step(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let (role, release) = situation.record.current()?;
    if !release.is_applied {
        return None;
    }
    if role == Role::Serving
        && let Some(action) = finish(situation, release)
    {
        return Some(action);
    }
    drift(situation, plan, release)
        .or_else(|| renew(situation, plan))
        .or_else(|| touch(situation, plan, role, release))
        .or_else(|| recycle(situation, plan, role, release))
}

/// A job that came to its end, good or bad.
fn finish(situation: &Situation<'_>, release: &Release) -> Option<Action> {
    let subject = situation.subject(Role::Serving)?;
    if !subject.spec.is_job() || release.is_completed {
        return None;
    }
    match judge(&subject) {
        Verdict::Completed => Some(Action::Complete),
        Verdict::GivenUp(trouble) => Some(Action::FailServing(Failing {
            pin: release.pin.clone(),
            reason: trouble.reason,
            message: trouble.message,
            goes_back: false,
        })),
        Verdict::Ready | Verdict::Waiting(_) | Verdict::Doomed(_) => None,
    }
}

/// Objects that are not as they were applied.
fn drift(situation: &Situation<'_>, plan: &mut Plan, release: &Release) -> Option<Action> {
    let work = situation.work;
    let mut drifted = BTreeSet::new();
    for key in &release.objects {
        let mark = situation.record.marks.get(key);
        let is_drift = match standing(key, mark, &work.unseen, situation.facts) {
            // A job that has come to its end is not started again because somebody tidied up.
            Standing::Gone => !(release.is_completed && key.kind == "Job"),
            Standing::Changed => true,
            Standing::Current | Standing::Lagging | Standing::Deleting | Standing::Unobserved => {
                false
            }
        };
        if !is_drift {
            continue;
        }
        let attempt = work.repairs.get(key).copied().unwrap_or_default();
        if attempt.is_due(situation.now, plan) {
            drifted.insert(key.clone());
        }
    }
    (!drifted.is_empty()).then_some(Action::Repair(drifted))
}

/// Certificates of which two thirds of the lifetime are over.
fn renew(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let mut due = BTreeSet::new();
    for (service, at) in &situation.record.renewals {
        match at.duration_since(situation.clock) {
            Ok(left) if !left.is_zero() => plan.wake(situation.now + left),
            Ok(_) | Err(_) => {
                due.insert(service.clone());
            }
        }
    }
    if due.is_empty() || !situation.work.renewals.is_due(situation.now, plan) {
        return None;
    }
    Some(Action::Renew(due))
}

/// Pods that ran before their files changed.
fn touch(
    situation: &Situation<'_>,
    plan: &mut Plan,
    role: Role,
    release: &Release,
) -> Option<Action> {
    let Some(reload) = &release.reload else {
        let is_taken = release.taken == release.pin.inputs;
        return (!is_taken).then_some(Action::Take(role));
    };
    let waiting: Vec<_> = situation
        .facts
        .pods
        .iter()
        .filter(|(_, pod)| {
            reload.pods.contains(&pod.uid) && !pod.is_deleting && pod.inputs != reload.inputs
        })
        .map(|(name, pod)| (pod.namespace.clone(), pod_name(name).to_owned()))
        .collect();
    if waiting.is_empty() {
        return Some(Action::Take(role));
    }
    let is_due = situation.work.touches.is_due(situation.now, plan);
    is_due.then(|| Action::Touch(waiting, reload.inputs.clone()))
}

/// A stateful set waits for ever for a pod of an earlier template that does not become ready.
fn recycle(
    situation: &Situation<'_>,
    plan: &mut Plan,
    role: Role,
    release: &Release,
) -> Option<Action> {
    let spec = situation.spec(role)?;
    if !spec.labels_pods() || spec.workload != Workload::Statefulset {
        return None;
    }
    let is_settled = release.objects.iter().all(|key| {
        let mark = situation.record.marks.get(key);
        let standing = standing(key, mark, &situation.work.unseen, situation.facts);
        standing == Standing::Current
    });
    if !is_settled {
        return None;
    }
    let mut stuck = BTreeMap::new();
    for (name, pod) in &situation.facts.pods {
        let is_stuck = pod.release != release.label && !pod.is_ready && !pod.is_deleting;
        let attempt = situation.work.recycled.get(&pod.uid).copied();
        if is_stuck && attempt.unwrap_or_default().is_due(situation.now, plan) {
            let key = ObjectKey::namespaced("v1", "Pod", &pod.namespace, pod_name(name));
            stuck.insert(key, pod.uid.clone());
        }
    }
    (!stuck.is_empty()).then_some(Action::Recycle(stuck))
}
