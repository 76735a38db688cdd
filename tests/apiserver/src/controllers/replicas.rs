//! The controller of ReplicaSets: as many pods as are wanted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::{active, worst_first};
use super::view::{
    Said, is_deleting, is_ready, items, labels, name, namespace, now, number, texts,
    with_condition, without_condition,
};
use super::{Cluster, template};

const RESOURCE: &str = "replicasets.apps";

pub(super) fn sync(cluster: &mut Cluster) {
    for set in cluster.store.list(RESOURCE, "") {
        if !is_deleting(&set) {
            sync_one(cluster, &set);
        }
    }
}

fn sync_one(cluster: &mut Cluster, set: &Arc<Value>) {
    let pods = active(&cluster.owned("pods", set));
    let wanted = usize::try_from(number(set, "/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let mut failure = None;
    if pods.len() < wanted {
        for _ in pods.len()..wanted {
            let prefix = format!("{}-", name(set));
            let pod = template::generated(&set["spec"]["template"], set, &prefix);
            if let Err(message) = cluster.create_pod(set, pod) {
                failure = Some(message);
                break;
            }
        }
    }
    if pods.len() > wanted {
        let mut sorted = pods.clone();
        worst_first(&mut sorted);
        for pod in &sorted[..pods.len() - wanted] {
            cluster.delete_pod(pod);
            let message = format!("Deleted pod: {}", name(pod));
            cluster.happened(set, false, "SuccessfulDelete", &message);
        }
    }
    report(cluster, set, failure);
}

fn report(cluster: &mut Cluster, set: &Arc<Value>, failure: Option<String>) {
    let pods = active(&cluster.owned("pods", set));
    let min_ready = number(set, "/spec/minReadySeconds").unwrap_or(0);
    let wanted_labels = texts(set, "/spec/template/metadata/labels");
    let fully_labelled = pods.iter().filter(|pod| {
        let own = labels(pod);
        wanted_labels
            .iter()
            .all(|(key, value)| own.get(key) == Some(value))
    });
    let fully_labelled = fully_labelled.count();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let available: Vec<_> = pods
        .iter()
        .filter(|pod| cluster.is_available(pod, min_ready))
        .collect();
    let mut conditions = items(set, "/status/conditions").to_vec();
    match failure {
        Some(message) => {
            let said = Said {
                kind: "ReplicaFailure",
                is_true: true,
                reason: "FailedCreate",
                message: &message,
            };
            with_condition(&mut conditions, &said, &now());
        }
        None => without_condition(&mut conditions, "ReplicaFailure"),
    }
    let mut status = json!({
        "replicas": pods.len(),
        "fullyLabeledReplicas": fully_labelled,
        "readyReplicas": ready,
        "availableReplicas": available.len(),
        "observedGeneration": number(set, "/metadata/generation").unwrap_or(0),
    });
    if !conditions.is_empty() {
        status["conditions"] = conditions.into();
    }
    cluster.report(RESOURCE, set, status);
}

impl Cluster {
    /// Writes a status when it differs.
    pub(super) fn report(&self, resource: &str, object: &Value, status: Value) {
        if object.get("status") == Some(&status) {
            return;
        }
        // It may be gone meanwhile.
        let _ = self
            .store
            .edit_status(resource, namespace(object), name(object), |object| {
                object["status"] = status;
            });
    }
}
