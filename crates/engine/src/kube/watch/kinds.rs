//! The kinds that are always watched, and how much of a kind is looked at.

use super::content::has_status;
use crate::kube::facts::KindName;

/// How much of an object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// All, for what its status says.
    Whole,
    /// Metadata: there is no status, or nothing is judged by it. Values of secrets never come here.
    Metadata,
}

/// A kind of the API as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// API group and version, and kind.
    pub(crate) name: KindName,
    /// As paths spell it: `deployments`.
    pub(crate) plural: String,
}

impl Kind {
    /// The kind of a pod.
    pub(crate) fn pod() -> Self {
        Self::new("v1", "Pod", "pods")
    }

    /// The kind of an event.
    pub(crate) fn event() -> Self {
        Self::new("v1", "Event", "events")
    }

    /// The kind of a machine.
    pub(crate) fn machine() -> Self {
        Self::new("v1", "Node", "nodes")
    }

    pub(crate) fn new(api_version: &str, kind: &str, plural: &str) -> Self {
        Self {
            name: (api_version.to_owned(), kind.to_owned()),
            plural: plural.to_owned(),
        }
    }

    /// API group; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        group(&self.name.0)
    }

    /// Path of all objects of the kind in a namespace, or in the cluster.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let api_version = &self.name.0;
        let root = match self.group() {
            "" => format!("/api/{api_version}"),
            _ => format!("/apis/{api_version}"),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The resource as permissions name it: `deployments.apps`.
    pub(crate) fn resource(&self) -> String {
        match self.group() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// How much of it is looked at.
    pub(crate) fn view(&self) -> View {
        match has_status(self.group(), &self.name.1) {
            true => View::Whole,
            false => View::Metadata,
        }
    }
}

/// The group in an API version; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The kinds that the engine makes, pods left out.
const FIXED: [(&str, &str, &str); 13] = [
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("batch/v1", "CronJob", "cronjobs"),
    ("batch/v1", "Job", "jobs"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    // Pods of a raw manifest are pods; the entry keeps them from being followed twice.
    ("v1", "Pod", "pods"),
];

/// The kinds that are always watched, pods and events left out.
pub(crate) fn fixed() -> impl Iterator<Item = Kind> {
    FIXED
        .into_iter()
        .filter(|(_, kind, _)| *kind != "Pod")
        .map(|(api_version, kind, plural)| Kind::new(api_version, kind, plural))
}

/// Whether a kind is always watched, in whatever version.
pub(crate) fn is_fixed((api_version, kind): &KindName) -> bool {
    FIXED
        .iter()
        .any(|(known, name, _)| group(known) == group(api_version) && name == kind)
}
