//! What the cloud observed of a node, as it is stored.

use std::time::SystemTime;

use baetyl_model::{Fence, NamespaceName, Uid};
use serde::{Deserialize, Serialize};

use crate::records;
use crate::store::{RecordKey, Table};

/// What the cloud observed of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    /// When a frame last arrived; exact only after the stream ended.
    pub(crate) last_seen: Option<SystemTime>,
    /// When the node went online or offline.
    pub(crate) transition_time: Option<SystemTime>,
    /// The newest desired state that is on the node's disk.
    pub(crate) accepted: Fence,
    /// The newest desired state that runs.
    pub(crate) converged: Fence,
    /// When the newest one first ran.
    pub(crate) converge_time: Option<SystemTime>,
    /// Version of core.
    pub(crate) core_version: String,
    /// Features that core understands.
    pub(crate) features: Vec<String>,
}

/// The state of a node.
pub(crate) fn state_key(namespace: &NamespaceName, uid: &Uid) -> RecordKey {
    records::key(namespace.as_str(), Table::NodeState, format!("{uid}/state"))
}
