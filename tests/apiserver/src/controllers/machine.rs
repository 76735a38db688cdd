//! The machines of a cluster.

use serde_json::{Value, json};

use super::view::now;
use crate::{Refusal, Store};

/// A machine as it is added to a cluster.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    capacity: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    taints: Vec<Value>,
    is_cordoned: bool,
    is_ready: bool,
}

impl Machine {
    /// A machine with 4 processors, 8 GiB of memory, 100 GiB of disk and room for 110 pods.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let capacity = [
            ("cpu", "4"),
            ("memory", "8Gi"),
            ("ephemeral-storage", "100Gi"),
            ("pods", "110"),
        ];
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let labels = [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
        ];
        Self {
            name: name.to_owned(),
            capacity: capacity.map(own).into(),
            labels: labels.map(own).into(),
            taints: Vec::new(),
            is_cordoned: false,
            is_ready: true,
        }
    }

    /// With so much of a resource.
    #[must_use]
    pub fn capacity(mut self, resource: &str, quantity: &str) -> Self {
        self.capacity.retain(|(name, _)| name != resource);
        self.capacity
            .push((resource.to_owned(), quantity.to_owned()));
        self
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With a role of the cluster.
    #[must_use]
    pub fn role(self, role: &str) -> Self {
        self.label(&format!("node-role.kubernetes.io/{role}"), "")
    }

    /// With a taint: effect `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints
            .push(json!({ "key": key, "value": value, "effect": effect }));
        self
    }

    /// Takes no new pods.
    #[must_use]
    pub fn cordoned(mut self) -> Self {
        self.is_cordoned = true;
        self
    }

    /// Its kubelet says nothing any more.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.is_ready = false;
        self.taint("node.kubernetes.io/unreachable", "", "NoSchedule")
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn write(&self, store: &Store) -> Result<(), Refusal> {
        let store = store.named("kubelet");
        let map = |pairs: &[(String, String)]| -> Value {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let mut spec = json!({ "unschedulable": self.is_cordoned, "taints": self.taints });
        if !self.is_cordoned {
            spec = json!({ "taints": self.taints });
        }
        let labels = map(&self.labels);
        if store.get("nodes", "", &self.name).is_none() {
            let node = json!({
                "metadata": { "name": self.name, "labels": labels }, "spec": spec,
            });
            store.create("nodes", "", node)?;
        } else {
            store.edit("nodes", "", &self.name, |node| {
                node["metadata"]["labels"] = labels;
                node["spec"] = spec;
            })?;
        }
        let capacity = map(&self.capacity);
        store.edit_status("nodes", "", &self.name, |node| {
            node["status"] = self.status(&capacity);
        })?;
        Ok(())
    }

    fn status(&self, capacity: &Value) -> Value {
        let now = now();
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            })
        };
        let ready = if self.is_ready {
            condition(
                "Ready",
                "True",
                "KubeletReady",
                "kubelet is posting ready status",
            )
        } else {
            let message = "Kubelet stopped posting node status.";
            condition("Ready", "Unknown", "NodeStatusUnknown", message)
        };
        let pressure = |kind: &str, reason: &str| condition(kind, "False", reason, "");
        json!({
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                pressure("MemoryPressure", "KubeletHasSufficientMemory"),
                pressure("DiskPressure", "KubeletHasNoDiskPressure"),
                pressure("PIDPressure", "KubeletHasSufficientPID"),
                ready,
            ],
            "addresses": [
                { "type": "InternalIP", "address": address(&self.name) },
                { "type": "Hostname", "address": self.name },
            ],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux",
                "bootID": format!("boot-{}", self.name),
                "machineID": format!("id-{}", self.name),
                "systemUUID": format!("uuid-{}", self.name),
                "kernelVersion": "6.8.0", "osImage": "Fake Linux 1",
                "containerRuntimeVersion": "containerd://2.0.0",
                "kubeletVersion": "v1.33.0", "kubeProxyVersion": "v1.33.0",
            },
        })
    }
}

/// Address of a machine: always the same for the same name.
pub(super) fn address(machine: &str) -> String {
    let sum = machine
        .bytes()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    format!("10.0.0.{sum}")
}
