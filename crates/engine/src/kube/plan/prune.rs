//! What is no longer needed goes; only what is ours, and data only when that is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Plan, Situation, Wish};
use crate::kube::facts::ObjectFacts;
use crate::kube::health::pod_name;
use crate::kube::object::ObjectKey;
use crate::kube::record::is_data;

/// Takes leave of everything that is there.
pub(super) fn leave(situation: &Situation<'_>, remove_data: bool) -> Option<Action> {
    let record = situation.record;
    let seen: BTreeSet<ObjectKey> = removable(situation, remove_data)
        .filter(|(key, object)| !object.is_deleting && !record.leaving.contains(*key))
        .map(|(key, _)| key.clone())
        .collect();
    let has_release = record.current().is_some() || record.failed.is_some();
    // It was to go when that was said before.
    let has_data = !remove_data && record.leaving.iter().any(is_data);
    let has_news = has_release || has_data || !seen.is_empty();
    has_news.then_some(Action::Leave { seen, remove_data })
}

/// Objects that go with the application.
fn removable<'a>(
    situation: &Situation<'a>,
    remove_data: bool,
) -> impl Iterator<Item = (&'a ObjectKey, &'a ObjectFacts)> {
    let objects = situation.facts.objects.iter();
    // What a controller made goes with what it was made for.
    let kept = &situation.work.kept;
    objects.filter(move |(key, object)| {
        !object.is_controlled && !kept.contains(*key) && (remove_data || !is_data(key))
    })
}

/// Deletes what leaves, and the application when nothing is left of it.
pub(super) fn step(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let record = situation.record;
    // What replaces it comes first.
    let is_applied = record.current().is_none_or(|(_, one)| one.is_applied);
    if !is_applied {
        return None;
    }
    let may_go =
        |key: &&ObjectKey| !is_data(key) || situation.wish == Wish::Absent { remove_data: true };
    let mut targets = BTreeMap::new();
    for key in record.leaving.iter().filter(may_go) {
        let object = situation.facts.object(key);
        if object.is_some_and(|object| object.is_deleting) {
            continue;
        }
        let attempt = situation.work.removals.get(key).copied();
        if attempt.unwrap_or_default().is_due(situation.now, plan) {
            let seen = object.map(|object| object.uid.clone());
            let marked = || record.marks.get(key).map(|mark| mark.uid.clone());
            targets.insert(key.clone(), seen.or_else(marked));
        }
    }
    if !targets.is_empty() {
        return Some(Action::Prune(targets));
    }
    let Wish::Absent { remove_data } = situation.wish else {
        return None;
    };
    let is_empty = record.leaving.is_empty() && removable(situation, remove_data).next().is_none();
    if is_empty && situation.facts.pods.is_empty() {
        return Some(Action::Remove);
    }
    is_empty.then(|| strays(situation, plan)).flatten()
}

/// Pods that nothing keeps any more and that stay all the same.
fn strays(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let mut strays = BTreeMap::new();
    for (name, pod) in &situation.facts.pods {
        let attempt = situation.work.recycled.get(&pod.uid);
        let is_due = attempt.is_some_and(|attempt| attempt.is_due(situation.now, plan));
        if is_due && !pod.is_deleting {
            let key = ObjectKey::namespaced("v1", "Pod", &pod.namespace, pod_name(name));
            strays.insert(key, pod.uid.clone());
        }
    }
    (!strays.is_empty()).then_some(Action::Recycle(strays))
}
