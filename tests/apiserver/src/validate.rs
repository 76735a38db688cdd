//! What objects must look like beyond their types, with the sentences of the server.

mod change;
mod metadata;
mod names;
mod others;
mod pod;
mod workload;

use serde_json::Value;

use crate::kinds::Kind;
use crate::refusal::Cause;
use crate::schema::violations;

pub(crate) use change::change;

/// Checks an object that is complete.
pub(crate) fn object(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = metadata::check(kind, object);
    causes.extend(violations(kind.storage().node(), object));
    let spec = &object["spec"];
    match &*kind.resource {
        "pods" => pod::check(spec, "spec", &mut causes),
        "deployments.apps" => workload::deployment(spec, &mut causes),
        "statefulsets.apps" => workload::stateful_set(spec, &mut causes),
        "daemonsets.apps" | "replicasets.apps" => workload::selecting(spec, &mut causes),
        "jobs.batch" => workload::job(spec, "spec", &mut causes),
        "cronjobs.batch" => workload::cron_job(object, &mut causes),
        "horizontalpodautoscalers.autoscaling" => workload::autoscaler(spec, &mut causes),
        "poddisruptionbudgets.policy" => others::disruption_budget(spec, &mut causes),
        "services" => others::service(spec, &mut causes),
        "configmaps" => others::keys(object, &["data", "binaryData"], &mut causes),
        "secrets" => others::secret(object, &mut causes),
        "persistentvolumeclaims" => others::claim(spec, "spec", &mut causes),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            others::definition(object, &mut causes);
        }
        _ => {}
    }
    causes
}

/// A number of a field that must not be negative.
fn not_negative(parent: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = &parent[field];
    if value.as_i64().is_some_and(|number| number < 0) {
        let path = format!("{path}.{field}");
        causes.push(Cause::invalid(
            path,
            value,
            "must be greater than or equal to 0",
        ));
    }
}

/// A word of a field that must be one of some; a field that is not there is fine.
fn one_of(parent: &Value, field: &str, known: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let value = &parent[field];
    if value.as_str().is_some_and(|word| !known.contains(&word)) {
        causes.push(Cause::unsupported(format!("{path}.{field}"), value, known));
    }
}

#[cfg(test)]
mod tests;
