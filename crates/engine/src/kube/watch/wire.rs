//! The few fields of the cluster's objects that are read; all else is skipped while parsing.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::kube::wire::null_is_default;

/// Labels as they are.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a feed can list and watch.
pub(crate) trait Item: Clone + DeserializeOwned + Send + 'static {
    /// Its name, unique in its kind and namespace.
    fn name(&self) -> &str;

    /// The version of the resource that it shows.
    fn version(&self) -> &str;
}

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    #[serde(default = "Vec::new", deserialize_with = "null_is_default")]
    pub(crate) items: Vec<T>,
}

/// Where a page stands in its list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageMeta {
    pub(crate) resource_version: String,
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

/// An object with spec and status, as far as these are read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Raw<S, T, L = OurLabels>
where
    L: Default,
{
    #[serde(default, bound(deserialize = "L: Deserialize<'de> + Default"))]
    pub(crate) metadata: Meta<L>,
    #[serde(default)]
    pub(crate) spec: S,
    #[serde(default)]
    pub(crate) status: T,
}

impl<S, T, L> Item for Raw<S, T, L>
where
    S: Clone + DeserializeOwned + Default + Send + 'static,
    T: Clone + DeserializeOwned + Default + Send + 'static,
    L: Clone + DeserializeOwned + Default + Send + 'static,
{
    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// Metadata of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta<L> {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) generation: i64,
    pub(crate) labels: L,
    pub(crate) annotations: OurAnnotations,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) deletion_timestamp: Option<IgnoredAny>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

impl<L> Meta<L> {
    /// Whether a controller of the cluster made the object.
    pub(crate) fn is_controlled(&self) -> bool {
        self.owner_references.iter().any(|owner| owner.controller)
    }
}

/// Which object made another one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OwnerReference {
    controller: bool,
}

/// The labels that the engine sets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OurLabels {
    #[serde(rename = "baetyl.io/application")]
    pub(crate) application: String,
    #[serde(rename = "baetyl.io/release")]
    pub(crate) release: String,
}

/// The annotations that the engine sets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OurAnnotations {
    #[serde(rename = "baetyl.io/inputs")]
    pub(crate) inputs: String,
}

/// One fact about an object, as its controller sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) last_transition_time: Option<String>,
}

/// A pod.
pub(crate) type RawPod = Raw<PodSpec, PodStatus>;

/// What a pod is made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) containers: Vec<PodContainer>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) init_containers: Vec<PodContainer>,
}

/// A container as it was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodContainer {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) startup_probe: Option<IgnoredAny>,
    pub(crate) restart_policy: String,
}

/// What became of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) start_time: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
}

/// What became of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) ready: bool,
    pub(crate) started: Option<bool>,
    pub(crate) restart_count: u32,
    #[serde(rename = "imageID")]
    pub(crate) image_id: String,
    pub(crate) state: ContainerStates,
    pub(crate) last_state: ContainerStates,
}

/// One of three.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStates {
    pub(crate) waiting: Option<Waiting>,
    pub(crate) running: Option<Running>,
    pub(crate) terminated: Option<Terminated>,
}

/// Why a container does not run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Running {
    pub(crate) started_at: Option<String>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Terminated {
    pub(crate) exit_code: i32,
    pub(crate) signal: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
}

/// A machine of the cluster.
pub(crate) type RawNode = Raw<NodeSpec, NodeStatus, Labels>;

/// What a machine was told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    pub(crate) unschedulable: bool,
}

/// What a machine tells.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) capacity: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) allocatable: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) addresses: Vec<Address>,
    pub(crate) node_info: System,
}

/// An address of a machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Address {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) address: String,
}

/// What a machine runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct System {
    pub(crate) architecture: String,
    pub(crate) operating_system: String,
    pub(crate) os_image: String,
    pub(crate) kernel_version: String,
    #[serde(rename = "bootID")]
    pub(crate) boot_id: String,
    #[serde(rename = "machineID")]
    pub(crate) machine_id: String,
    pub(crate) kubelet_version: String,
    pub(crate) container_runtime_version: String,
}

/// An event: something that happened to an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawEvent {
    pub(crate) metadata: Meta<OurLabels>,
    pub(crate) involved_object: Involved,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    // Anybody may write events, and nobody checks this number.
    pub(crate) count: Option<i64>,
    pub(crate) first_timestamp: Option<String>,
    pub(crate) last_timestamp: Option<String>,
    pub(crate) event_time: Option<String>,
    pub(crate) series: Option<Series>,
}

impl Item for RawEvent {
    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// What an event is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Involved {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) field_path: String,
}

/// How often an event came again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Series {
    pub(crate) count: i64,
    pub(crate) last_observed_time: Option<String>,
}

/// Reads a time as the cluster writes it (RFC 3339).
pub(crate) fn time(text: Option<&String>) -> Option<SystemTime> {
    let parsed = text?.parse::<prost_types::Timestamp>().ok()?;
    SystemTime::try_from(parsed).ok()
}

/// Keeps a text within bounds, whole characters only.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}
