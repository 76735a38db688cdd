//! The controller of StatefulSets: pods with a number, a name and volumes of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::view::{
    hash, is_active, is_deleting, is_finished, is_ready, items, name, namespace, number, set, text,
};
use super::{Cluster, template};
use crate::Deletion;

const RESOURCE: &str = "statefulsets.apps";
const REVISION: &str = "controller-revision-hash";

/// Revisions whose templates are remembered.
const MAX_TEMPLATES: usize = 1000;

pub(super) fn sync(cluster: &mut Cluster) {
    for owner in cluster.store.list(RESOURCE, "") {
        if !is_deleting(&owner) {
            let update = remember(cluster, &owner);
            let current = match text(&owner, "/status/currentRevision") {
                "" => update.clone(),
                revision => revision.to_owned(),
            };
            let revisions = Revisions { current, update };
            act(cluster, &owner, &revisions);
            report(cluster, &owner, &revisions);
        }
    }
}

struct Revisions {
    current: String,
    update: String,
}

/// Keeps the template of today under the name of its revision, and returns that.
fn remember(cluster: &mut Cluster, owner: &Value) -> String {
    let template = &owner["spec"]["template"];
    let revision = format!("{}-{}", name(owner), hash(template));
    if cluster.templates.len() >= MAX_TEMPLATES {
        cluster.templates.clear();
    }
    cluster
        .templates
        .entry(key(owner, &revision))
        .or_insert_with(|| template.clone());
    revision
}

fn key(owner: &Value, revision: &str) -> String {
    format!("{}/{revision}", namespace(owner))
}

/// The pods of a set by their number.
fn numbered(cluster: &Cluster, owner: &Arc<Value>) -> BTreeMap<i64, Arc<Value>> {
    let prefix = format!("{}-", name(owner));
    let pods = cluster.owned("pods", owner).into_iter();
    pods.filter_map(|pod| {
        let number = name(&pod).strip_prefix(&prefix)?.parse().ok()?;
        Some((number, pod))
    })
    .collect()
}

fn revision(pod: &Value) -> &str {
    pod["metadata"]["labels"][REVISION].as_str().unwrap_or("")
}

/// Takes one step.
fn act(cluster: &mut Cluster, owner: &Arc<Value>, revisions: &Revisions) {
    let wanted = number(owner, "/spec/replicas").unwrap_or(1);
    let min_ready = number(owner, "/spec/minReadySeconds").unwrap_or(0);
    let is_ordered = text(owner, "/spec/podManagementPolicy") != "Parallel";
    let mut pods = numbered(cluster, owner);
    let of_current = pods
        .values()
        .filter(|pod| is_active(pod) && revision(pod) == revisions.current)
        .count();
    let of_current = i64::try_from(of_current).unwrap_or(0);
    let mut is_whole = true;
    for ordinal in 0..wanted {
        match pods.get(&ordinal) {
            Some(pod) if is_deleting(pod) => {
                if is_ordered {
                    return;
                }
            }
            Some(pod) if is_finished(pod) => {
                let how = Deletion::now();
                let _ = cluster.store.delete("pods", namespace(pod), name(pod), how);
                return;
            }
            Some(pod) => {
                if is_ordered && !(is_ready(pod) && cluster.is_available(pod, min_ready)) {
                    return;
                }
            }
            None => {
                let is_old = revisions.current != revisions.update
                    && ordinal < partition(owner).max(of_current);
                let revision = if is_old {
                    &revisions.current
                } else {
                    &revisions.update
                };
                create(cluster, owner, ordinal, revision);
                is_whole = false;
                if is_ordered {
                    return;
                }
            }
        }
    }
    let surplus = pods.split_off(&wanted);
    for pod in surplus.values().rev() {
        if !is_deleting(pod) {
            cluster.delete_pod(pod);
        }
        if is_ordered {
            return;
        }
    }
    // A pod that was just made is not ready, and so nothing else is replaced.
    if is_whole {
        update(cluster, owner, &pods, revisions, min_ready);
    }
}

fn partition(owner: &Value) -> i64 {
    number(owner, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0)
}

/// Replaces the pod with the highest number that is not of the revision of today, when all are
/// available. As from Kubernetes 1.35 on: a pod that never becomes ready is waited for even when it
/// is the one to be replaced.
fn update(
    cluster: &mut Cluster,
    owner: &Arc<Value>,
    pods: &BTreeMap<i64, Arc<Value>>,
    revisions: &Revisions,
    min_ready: i64,
) {
    if text(owner, "/spec/updateStrategy/type") == "OnDelete" {
        return;
    }
    let is_well = |pod: &Arc<Value>| !is_deleting(pod) && cluster.is_available(pod, min_ready);
    if !pods.values().all(is_well) {
        return;
    }
    let replaceable = pods.range(partition(owner)..).rev();
    let outdated = replaceable
        .map(|(_, pod)| pod)
        .find(|pod| revision(pod) != revisions.update);
    if let Some(pod) = outdated {
        cluster.delete_pod(pod);
        let message = format!(
            "delete Pod {} in StatefulSet {} successful",
            name(pod),
            name(owner)
        );
        cluster.happened(owner, false, "SuccessfulDelete", &message);
    }
}

fn create(cluster: &mut Cluster, owner: &Arc<Value>, ordinal: i64, revision: &str) {
    let today = owner["spec"]["template"].clone();
    let of_revision = cluster.templates.get(&key(owner, revision)).cloned();
    let pod_name = format!("{}-{ordinal}", name(owner));
    let mut pod = template::pod(&of_revision.unwrap_or(today), owner);
    set(&mut pod, &["metadata", "name"], pod_name.as_str());
    let labels = [
        ("statefulset.kubernetes.io/pod-name", pod_name.clone()),
        ("apps.kubernetes.io/pod-index", ordinal.to_string()),
        (REVISION, revision.to_owned()),
    ];
    for (label, value) in labels {
        set(&mut pod, &["metadata", "labels", label], value);
    }
    set(&mut pod, &["spec", "hostname"], pod_name.as_str());
    let service = text(owner, "/spec/serviceName");
    if !service.is_empty() {
        set(&mut pod, &["spec", "subdomain"], service);
    }
    claims(cluster, owner, &pod_name, &mut pod);
    if cluster.create_pod(owner, pod).is_ok() {
        let message = format!(
            "create Pod {pod_name} in StatefulSet {} successful",
            name(owner)
        );
        cluster.happened(owner, false, "SuccessfulCreate", &message);
    }
}

/// Makes the volumes of a pod's own, as far as they are not there, and lets the pod use them.
fn claims(cluster: &mut Cluster, owner: &Arc<Value>, pod_name: &str, pod: &mut Value) {
    for claim in items(owner, "/spec/volumeClaimTemplates") {
        let volume = name(claim);
        let claim_name = format!("{volume}-{pod_name}");
        let space = namespace(owner);
        const CLAIMS: &str = "persistentvolumeclaims";
        if cluster.store.get(CLAIMS, space, &claim_name).is_none() {
            let mut labels = claim["metadata"]["labels"].clone();
            if let Some(own) = owner
                .pointer("/spec/selector/matchLabels")
                .and_then(Value::as_object)
            {
                for (key, value) in own {
                    set(&mut labels, &[key], value.clone());
                }
            }
            let made = json!({
                "metadata": { "name": claim_name, "labels": labels }, "spec": claim["spec"],
            });
            if let Err(refusal) = cluster.store.create(CLAIMS, space, made) {
                cluster.happened(owner, true, "FailedCreate", &refusal.message);
            }
        }
        let mut volumes = items(pod, "/spec/volumes").to_vec();
        volumes.retain(|one| text(one, "/name") != volume);
        volumes.push(json!({
            "name": volume, "persistentVolumeClaim": { "claimName": claim_name },
        }));
        set(pod, &["spec", "volumes"], volumes);
    }
}

fn report(cluster: &mut Cluster, owner: &Arc<Value>, revisions: &Revisions) {
    let wanted = number(owner, "/spec/replicas").unwrap_or(1);
    let min_ready = number(owner, "/spec/minReadySeconds").unwrap_or(0);
    let pods = numbered(cluster, owner);
    let alive: Vec<_> = pods.values().filter(|pod| is_active(pod)).collect();
    let count = |is_counted: &dyn Fn(&Value) -> bool| -> usize {
        alive.iter().filter(|pod| is_counted(pod)).count()
    };
    let ready = count(&is_ready);
    let updated = count(&|pod| revision(pod) == revisions.update);
    let current = count(&|pod| revision(pod) == revisions.current);
    let all = alive.len();
    let available = alive
        .iter()
        .filter(|pod| cluster.is_available(pod, min_ready))
        .count();
    let is_done = i64::try_from(updated) == Ok(wanted) && updated == all && ready == all;
    let (current_revision, current) = if is_done {
        (&revisions.update, updated)
    } else {
        (&revisions.current, current)
    };
    let mut status = json!({
        "replicas": all,
        "availableReplicas": available,
        "currentRevision": current_revision,
        "updateRevision": revisions.update,
        "observedGeneration": number(owner, "/metadata/generation").unwrap_or(0),
        "collisionCount": 0,
    });
    for (field, count) in [
        ("readyReplicas", ready),
        ("currentReplicas", current),
        ("updatedReplicas", updated),
    ] {
        if count != 0 {
            status[field] = count.into();
        }
    }
    cluster.report(RESOURCE, owner, status);
}
