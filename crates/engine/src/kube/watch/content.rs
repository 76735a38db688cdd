//! What of an object changes only when somebody writes it: by that drift is told from status.
//!
//! Most kinds count writes of their spec (`generation`). Some do not, and a few of these have a
//! status that changes all the time: an autoscaler's each quarter of a minute. For these a digest
//! over spec and labels is made. What has neither has no status, either: there every new resource
//! version is a write.

use baetyl_shadow::Digest;
use serde_json::{Value, json};

use super::kinds::group;
use super::wire::Labels;

/// Kinds without a status that anybody judges, by group; `*` is every kind of the group.
const WITHOUT_STATUS: [(&str, &str); 12] = [
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("coordination.k8s.io", "Lease"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "*"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
];

/// Whether objects of a kind have a status that tells how they do.
pub(crate) fn has_status(group: &str, kind: &str) -> bool {
    !WITHOUT_STATUS
        .iter()
        .any(|(known, name)| *known == group && (*name == "*" || *name == kind))
}

/// Returns what [`ObjectFacts::content`](crate::kube::facts::ObjectFacts::content) says of an
/// object, given whole, as the answer to a write gives it.
#[must_use]
pub fn content(object: &Value) -> String {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let metadata = &object["metadata"];
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    parts(&Parts {
        is_whole: has_status(group(text("apiVersion")), text("kind")),
        generation: metadata["generation"].as_i64().unwrap_or(0),
        resource_version: metadata["resourceVersion"].as_str().unwrap_or_default(),
        labels: &labels.collect(),
        spec: &object["spec"],
    })
}

/// What the content is made of.
pub(crate) struct Parts<'a> {
    pub(crate) is_whole: bool,
    pub(crate) generation: i64,
    pub(crate) resource_version: &'a str,
    pub(crate) labels: &'a Labels,
    pub(crate) spec: &'a Value,
}

pub(crate) fn parts(parts: &Parts<'_>) -> String {
    if parts.generation > 0 {
        return format!("generation {}", parts.generation);
    }
    if !parts.is_whole || parts.spec.is_null() {
        return format!("version {}", parts.resource_version);
    }
    // Maps of `Value` are sorted, so that equal objects have equal texts.
    let written = json!({"labels": parts.labels, "spec": parts.spec});
    Digest::of(written.to_string().as_bytes()).to_string()
}

#[cfg(test)]
mod tests;
