//! In which order objects are applied, and the reverse of it for deleting: pure.

use super::super::object::ObjectKey;
use super::discovery::is_definition;

/// Objects that are applied together, before those of the next wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wave {
    /// Namespaces.
    Namespaces,
    /// Definitions of kinds.
    Definitions,
    /// Who may do what, and classes that others name.
    Access,
    /// Configurations and secrets, before what mounts them.
    Settings,
    /// Volumes and claims.
    Storage,
    /// Services, so that pods find their variables.
    Services,
    /// All else that the cluster itself knows.
    Others,
    /// What has pods.
    Workloads,
    /// Autoscalers, which name workloads.
    Scaling,
    /// Disruption budgets.
    Budgets,
    /// What asks a workload before anything is admitted or served: it must be there by then.
    Admission,
    /// Objects of custom kinds. After the workloads, one of which is often the operator that must
    /// be asked about them; deleted before it, since it must also clean up after them.
    Custom,
}

/// Groups of the cluster itself; every other one is of custom kinds.
const BUILT_IN: [&str; 20] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Returns the wave of an object.
pub(super) fn wave(key: &ObjectKey) -> Wave {
    if is_definition(key) {
        return Wave::Definitions;
    }
    let group = key.group();
    match (group, key.kind.as_str()) {
        ("", "Namespace") => Wave::Namespaces,
        ("", "ServiceAccount")
        | ("rbac.authorization.k8s.io" | "scheduling.k8s.io" | "node.k8s.io", _)
        | ("storage.k8s.io", "StorageClass") => Wave::Access,
        ("", "ConfigMap" | "Secret") => Wave::Settings,
        ("", "PersistentVolume" | "PersistentVolumeClaim") => Wave::Storage,
        ("", "Service") => Wave::Services,
        ("", "Pod" | "ReplicationController") | ("apps" | "batch", _) => Wave::Workloads,
        ("autoscaling", _) => Wave::Scaling,
        ("policy", _) => Wave::Budgets,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Wave::Admission,
        _ if BUILT_IN.contains(&group) => Wave::Others,
        _ => Wave::Custom,
    }
}

/// How an object is replaced whose change is not possible in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replacing {
    /// Deleted without its pods, which the new one takes over.
    LeavingPods,
    /// Deleted with all that belongs to it, then made anew.
    Anew,
}

/// Returns how an object can be replaced; `None` where that could lose data, or where nobody can
/// know what would go with it: claims and volumes, namespaces, definitions and custom kinds.
pub(super) fn replacing(key: &ObjectKey) -> Option<Replacing> {
    let group = key.group();
    match (group, key.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => Some(Replacing::LeavingPods),
        (_, "Namespace" | "PersistentVolume" | "PersistentVolumeClaim")
        | ("apiextensions.k8s.io" | "apiregistration.k8s.io", _) => None,
        _ if BUILT_IN.contains(&group) => Some(Replacing::Anew),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
