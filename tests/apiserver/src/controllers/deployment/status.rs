//! What a Deployment says of itself.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{RESOURCE, Room, SETS, available, is_of, replicas};
use crate::controllers::Cluster;
use crate::controllers::view::{
    Said, condition, items, name, now, number, text, uid, with_condition, without_condition,
};

/// How far a rollout has come, and since when.
#[derive(Debug)]
pub(in crate::controllers) struct Progress {
    at: Instant,
    seen: Value,
}

/// Pods of all sets together.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    all: i64,
    updated: i64,
    ready: i64,
    available: i64,
}

pub(super) fn report(cluster: &mut Cluster, deployment: &Arc<Value>, room: Room) {
    let sets = cluster.owned(SETS, deployment);
    let template = &deployment["spec"]["template"];
    let new = sets.iter().find(|set| is_of(set, template));
    let of = |set: &Arc<Value>, field: &str| number(set, &format!("/status/{field}")).unwrap_or(0);
    let counts = Counts {
        all: sets.iter().map(|set| of(set, "replicas")).sum(),
        updated: new.map_or(0, |set| of(set, "replicas")),
        ready: sets.iter().map(|set| of(set, "readyReplicas")).sum(),
        available: sets.iter().map(available).sum(),
    };
    let mut conditions = items(deployment, "/status/conditions").to_vec();
    let least = room.wanted - room.unavailable;
    let is_available = counts.available >= least;
    let said = if is_available {
        Said {
            kind: "Available",
            is_true: true,
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.",
        }
    } else {
        Said {
            kind: "Available",
            is_true: false,
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.",
        }
    };
    with_condition(&mut conditions, &said, &now());
    progress(cluster, deployment, new, counts, &mut conditions);
    let failure = sets
        .iter()
        .filter(|set| replicas(set) > 0)
        .find_map(|set| condition(set, "ReplicaFailure"));
    match failure {
        Some(failure) => {
            let said = Said {
                kind: "ReplicaFailure",
                is_true: true,
                reason: text(failure, "/reason"),
                message: text(failure, "/message"),
            };
            with_condition(&mut conditions, &said, &now());
        }
        None => without_condition(&mut conditions, "ReplicaFailure"),
    }
    let mut status = json!({
        "observedGeneration": number(deployment, "/metadata/generation").unwrap_or(0),
        "conditions": conditions,
    });
    let fields = [
        ("replicas", counts.all),
        ("updatedReplicas", counts.updated),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.available),
        (
            "unavailableReplicas",
            (counts.all.max(room.wanted) - counts.available).max(0),
        ),
    ];
    for (field, count) in fields {
        // The real one leaves zeros out.
        if count != 0 {
            status[field] = count.into();
        }
    }
    cluster.report(RESOURCE, deployment, status);
}

fn progress(
    cluster: &mut Cluster,
    deployment: &Arc<Value>,
    new: Option<&Arc<Value>>,
    counts: Counts,
    conditions: &mut Vec<Value>,
) {
    let Some(new) = new else {
        return;
    };
    let wanted = number(deployment, "/spec/replicas").unwrap_or(1);
    let is_complete =
        counts.updated == wanted && counts.all == wanted && counts.available == wanted;
    let before = condition(deployment, "Progressing").map_or("", |found| text(found, "/reason"));
    let seen = json!([
        name(new),
        counts.updated,
        counts.ready,
        counts.available,
        counts.all - counts.updated,
    ]);
    let at = cluster.clock.now();
    let progress = cluster
        .progress
        .entry(uid(deployment).to_owned())
        .or_insert_with(|| Progress {
            at,
            seen: Value::Null,
        });
    let is_same_set = progress.seen[0] == seen[0];
    let has_moved = progress.seen != seen;
    if has_moved {
        *progress = Progress { at, seen };
    }
    let since = progress.at;
    let deadline = number(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
    let deadline = since + cluster.clock.seconds(deadline);
    let (is_true, reason, message) = if is_complete {
        let message = format!("ReplicaSet {:?} has successfully progressed.", name(new));
        (true, "NewReplicaSetAvailable", message)
    } else if before == "NewReplicaSetAvailable" && is_same_set {
        // Complete once is complete until there is something new to roll out.
        return;
    } else if (before == "ProgressDeadlineExceeded" && !has_moved)
        || cluster.clock.is_over(deadline)
    {
        let message = format!("ReplicaSet {:?} has timed out progressing.", name(new));
        (false, "ProgressDeadlineExceeded", message)
    } else {
        let message = format!("ReplicaSet {:?} is progressing.", name(new));
        (true, "ReplicaSetUpdated", message)
    };
    let said = Said {
        kind: "Progressing",
        is_true,
        reason,
        message: &message,
    };
    with_condition(conditions, &said, &now());
}
