//! Values of fields that writers leave out, as far as clients notice.

mod others;
mod pod;
mod workload;

use serde_json::Value;

use crate::kinds::Kind;
use crate::object::child;

/// Fills in what the kind defaults.
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    if !kind.is_custom() && kind.storage().node().declares("spec") {
        // A spec that is left out is one that says nothing.
        child(object, "spec");
    }
    match &*kind.resource {
        "pods" => pod::pod(object),
        "deployments.apps" => workload::deployment(object),
        "statefulsets.apps" => workload::stateful_set(object),
        "daemonsets.apps" => workload::daemon_set(object),
        "replicasets.apps" => workload::replica_set(object),
        "jobs.batch" => workload::job(object),
        "cronjobs.batch" => workload::cron_job(object),
        "horizontalpodautoscalers.autoscaling" => workload::autoscaler(object),
        "services" => others::service(object),
        "secrets" => others::secret(object),
        "persistentvolumeclaims" => others::claim(object),
        "namespaces" => others::namespace(object),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => others::binding(object),
        "customresourcedefinitions.apiextensions.k8s.io" => others::definition(object),
        "storageclasses.storage.k8s.io" => others::storage_class(object),
        "priorityclasses.scheduling.k8s.io" => others::priority_class(object),
        "networkpolicies.networking.k8s.io" => others::network_policy(object),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
