//! The controller of Deployments: one ReplicaSet for each template, and the rules by which the new
//! one replaces the old ones.

mod status;

use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use status::Progress;

use super::Cluster;
use super::view::{
    count_of, hash, is_deleting, is_set, name, namespace, number, owner_reference, set, text,
};

pub(super) const RESOURCE: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// What a rollout may do at once.
#[derive(Clone, Copy, Debug)]
struct Room {
    wanted: i64,
    surge: i64,
    unavailable: i64,
}

pub(super) fn sync(cluster: &mut Cluster) {
    let deployments = cluster.store.list(RESOURCE, "");
    for deployment in &deployments {
        if !is_deleting(deployment) {
            sync_one(cluster, deployment);
        }
    }
    let is_there = |uid: &String| {
        deployments
            .iter()
            .any(|one| super::view::uid(one) == uid.as_str())
    };
    cluster.progress.retain(|uid, _| is_there(uid));
}

fn sync_one(cluster: &mut Cluster, deployment: &Arc<Value>) {
    let sets = cluster.owned(SETS, deployment);
    let template = &deployment["spec"]["template"];
    let (new, old): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| is_of(set, template));
    let new = new.into_iter().next();
    let room = room(deployment);
    if !is_set(deployment, "/spec/paused") {
        roll(cluster, deployment, new.as_ref(), &old, room);
    }
    status::report(cluster, deployment, room);
}

/// Whether a ReplicaSet has this template.
fn is_of(set: &Value, template: &Value) -> bool {
    let mut own = set["spec"]["template"].clone();
    if let Some(labels) = own
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(HASH);
    }
    own == *template
}

fn room(deployment: &Value) -> Room {
    let wanted = number(deployment, "/spec/replicas").unwrap_or(1);
    let of = |pointer: &str, is_up| count_of(deployment.pointer(pointer), wanted, is_up);
    let rolling = "/spec/strategy/rollingUpdate";
    let surge = of(&format!("{rolling}/maxSurge"), true).unwrap_or(0);
    let unavailable = of(&format!("{rolling}/maxUnavailable"), false).unwrap_or(0);
    let is_recreate = text(deployment, "/spec/strategy/type") == "Recreate";
    Room {
        wanted,
        surge: if is_recreate { 0 } else { surge },
        unavailable: match (surge, unavailable) {
            _ if is_recreate => wanted,
            // Nothing could ever be replaced.
            (0, 0) => 1,
            _ => unavailable.min(wanted),
        },
    }
}

/// Takes one step of a rollout, as the real controller does in one sync.
fn roll(
    cluster: &mut Cluster,
    deployment: &Arc<Value>,
    new: Option<&Arc<Value>>,
    old: &[Arc<Value>],
    room: Room,
) {
    let total: i64 = new.into_iter().chain(old).map(replicas).sum();
    let is_recreate = text(deployment, "/spec/strategy/type") == "Recreate";
    let Some(new) = new else {
        if is_recreate && is_draining(cluster, deployment, old) {
            return;
        }
        let room_left = (room.wanted + room.surge - total).max(0);
        create(cluster, deployment, old, room_left.min(room.wanted));
        return;
    };
    note_revision(cluster, deployment, new, old);
    if is_recreate {
        if !is_draining(cluster, deployment, old) {
            scale(cluster, deployment, new, room.wanted);
        }
        return;
    }
    let wanted = match replicas(new) {
        own if own > room.wanted => room.wanted,
        own => {
            let room_left = (room.wanted + room.surge - total).max(0);
            own + room_left.min(room.wanted - own)
        }
    };
    if scale(cluster, deployment, new, wanted) {
        return;
    }
    if !shrink(cluster, deployment, new, old, room) {
        clean_up(cluster, deployment, old);
    }
}

/// Takes pods of old sets away: unhealthy ones first, others as far as enough stay available.
fn shrink(
    cluster: &mut Cluster,
    deployment: &Arc<Value>,
    new: &Arc<Value>,
    old: &[Arc<Value>],
    room: Room,
) -> bool {
    let of_old: i64 = old.iter().map(replicas).sum();
    if of_old == 0 {
        return false;
    }
    let least = room.wanted - room.unavailable;
    let of_new = replicas(new);
    let new_unavailable = (of_new - available(new)).max(0);
    let mut may_go = of_old + of_new - least - new_unavailable;
    if may_go <= 0 {
        return false;
    }
    let mut sets: Vec<(Arc<Value>, i64)> =
        old.iter().map(|set| (set.clone(), replicas(set))).collect();
    sets.sort_by_key(|(set, _)| (revision(set), name(set).to_owned()));
    for (set, left) in &mut sets {
        let goes = (*left - available(set)).max(0).min(may_go);
        *left -= goes;
        may_go -= goes;
    }
    let all_available: i64 = old.iter().chain([new]).map(available).sum();
    let mut may_go = all_available - least;
    for (_, left) in &mut sets {
        let goes = (*left).min(may_go).max(0);
        *left -= goes;
        may_go -= goes;
    }
    let mut has_changed = false;
    for (set, left) in sets {
        has_changed |= scale(cluster, deployment, &set, left);
    }
    has_changed
}

/// Whether old pods are still on their way out; starts their way.
fn is_draining(cluster: &mut Cluster, deployment: &Arc<Value>, old: &[Arc<Value>]) -> bool {
    let mut is_draining = false;
    for set in old {
        is_draining |= scale(cluster, deployment, set, 0);
        is_draining |= !cluster.owned("pods", set).is_empty();
    }
    is_draining
}

fn create(cluster: &mut Cluster, deployment: &Arc<Value>, old: &[Arc<Value>], count: i64) {
    let template = &deployment["spec"]["template"];
    let hash = hash(template);
    let set_name = format!("{}-{hash}", name(deployment));
    let mut template = template.clone();
    set(&mut template, &["metadata", "labels", HASH], hash.as_str());
    let mut selector = deployment["spec"]["selector"].clone();
    set(&mut selector, &["matchLabels", HASH], hash.as_str());
    let newest = old.iter().map(revision).max().unwrap_or(0) + 1;
    let made = json!({
        "metadata": {
            "name": set_name,
            "labels": template["metadata"]["labels"],
            "annotations": { REVISION: newest.to_string() },
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": count,
            "minReadySeconds": number(deployment, "/spec/minReadySeconds").unwrap_or(0),
            "selector": selector,
            "template": template,
        },
    });
    // A refusal means that the namespace is on its way out: the next round sees.
    if let Ok(made) = cluster.store.create(SETS, namespace(deployment), made) {
        let message = format!("Scaled up replica set {set_name} from 0 to {count}");
        cluster.happened(deployment, false, "ScalingReplicaSet", &message);
        annotate(cluster, deployment, revision(&made));
    }
}

/// Raises the revision of the current set above all others.
fn note_revision(cluster: &Cluster, deployment: &Arc<Value>, new: &Arc<Value>, old: &[Arc<Value>]) {
    let newest = old.iter().map(revision).max().unwrap_or(0) + 1;
    let own = revision(new);
    if own < newest {
        let _ = cluster
            .store
            .edit(SETS, namespace(new), name(new), |object| {
                set(
                    object,
                    &["metadata", "annotations", REVISION],
                    newest.to_string(),
                );
            });
    }
    let min_ready = number(deployment, "/spec/minReadySeconds").unwrap_or(0);
    if number(new, "/spec/minReadySeconds").unwrap_or(0) != min_ready {
        let _ = cluster
            .store
            .edit(SETS, namespace(new), name(new), |object| {
                object["spec"]["minReadySeconds"] = min_ready.into();
            });
    }
    annotate(cluster, deployment, own.max(newest));
}

/// Notes the revision, as the real controller does: together with the status, so that the generation
/// stays.
fn annotate(cluster: &Cluster, deployment: &Arc<Value>, revision: i64) {
    let revision = revision.to_string();
    let stands = deployment["metadata"]["annotations"][REVISION].as_str();
    if stands == Some(revision.as_str()) {
        return;
    }
    let place = (namespace(deployment), name(deployment));
    let _ = cluster
        .store
        .edit_status(RESOURCE, place.0, place.1, |object| {
            set(object, &["metadata", "annotations", REVISION], revision);
        });
}

/// Sets the number of a set's pods, and returns whether that changes it.
fn scale(cluster: &mut Cluster, deployment: &Arc<Value>, set: &Arc<Value>, count: i64) -> bool {
    let before = replicas(set);
    if before == count {
        return false;
    }
    let edited = cluster
        .store
        .edit(SETS, namespace(set), name(set), |object| {
            object["spec"]["replicas"] = count.into();
        });
    if edited.is_err() {
        return false;
    }
    let way = if count > before { "up" } else { "down" };
    let message = format!(
        "Scaled {way} replica set {} from {before} to {count}",
        name(set)
    );
    cluster.happened(deployment, false, "ScalingReplicaSet", &message);
    true
}

/// Removes empty old sets beyond the history that is kept.
fn clean_up(cluster: &Cluster, deployment: &Arc<Value>, old: &[Arc<Value>]) {
    let limit = number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10);
    let mut empty: Vec<_> = old
        .iter()
        .filter(|set| replicas(set) == 0 && number(set, "/status/replicas") == Some(0))
        .collect();
    empty.sort_by_key(|set| revision(set));
    let surplus = empty
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    for set in &empty[..surplus] {
        let how = crate::Deletion::default();
        let _ = cluster.store.delete(SETS, namespace(set), name(set), how);
    }
}

fn replicas(set: &Arc<Value>) -> i64 {
    number(set, "/spec/replicas").unwrap_or(1)
}

fn available(set: &Arc<Value>) -> i64 {
    number(set, "/status/availableReplicas").unwrap_or(0)
}

fn revision(set: &Arc<Value>) -> i64 {
    let revision = set["metadata"]["annotations"][REVISION].as_str();
    revision.and_then(|text| text.parse().ok()).unwrap_or(0)
}
