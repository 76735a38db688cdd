//! What the metrics server and the kubelets answer, as far as it is read.

use serde::Deserialize;

use super::super::wire::null_is_default;

/// Name of what was measured.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) namespace: String,
}

/// Quantities as the metrics server writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Amounts {
    pub(super) cpu: String,
    pub(super) memory: String,
}

/// A machine, from the metrics server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeMetrics {
    pub(super) metadata: Named,
    pub(super) timestamp: Option<String>,
    pub(super) usage: Amounts,
}

/// A pod, from the metrics server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodMetrics {
    pub(super) metadata: Named,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) containers: Vec<ContainerMetrics>,
}

/// A container, from the metrics server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerMetrics {
    pub(super) name: String,
    pub(super) usage: Amounts,
}

/// A machine with its pods, from its kubelet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    pub(super) node: Measured,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) pods: Vec<PodSummary>,
}

/// A machine, from its kubelet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Measured {
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
    pub(super) fs: Disk,
    pub(super) network: Network,
}

/// A pod, from its kubelet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSummary {
    pub(super) pod_ref: Named,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) containers: Vec<ContainerSummary>,
}

/// A container, from its kubelet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerSummary {
    pub(super) name: String,
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
}

/// Processors in use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cpu {
    pub(super) usage_nano_cores: u64,
}

/// Memory that could not be had at once.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Memory {
    pub(super) working_set_bytes: u64,
}

/// The file system of the kubelet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Disk {
    pub(super) capacity_bytes: u64,
    pub(super) used_bytes: u64,
}

/// The default interface, and all.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Network {
    rx_bytes: u64,
    tx_bytes: u64,
    #[serde(deserialize_with = "null_is_default")]
    interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Interface {
    name: String,
    rx_bytes: u64,
    tx_bytes: u64,
}

impl Network {
    /// Bytes received by the default interface; by all but loopback when none is the default.
    pub(super) fn received(&self) -> u64 {
        match self.rx_bytes {
            0 => self.outer().map(|interface| interface.rx_bytes).sum(),
            bytes => bytes,
        }
    }

    /// Bytes sent, likewise.
    pub(super) fn sent(&self) -> u64 {
        match self.tx_bytes {
            0 => self.outer().map(|interface| interface.tx_bytes).sum(),
            bytes => bytes,
        }
    }

    fn outer(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(|outer| outer.name != "lo")
    }
}
