//! What machines and containers use: the API of metrics and the summary of the kubelet.

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::object::{Key, items, meta_text, seconds, text};
use crate::refusal::{About, Refusal};
use crate::selector::LabelSelector;
use crate::state::State;

/// The group of the API of metrics.
pub(crate) const METRICS: &str = "metrics.k8s.io";

/// Whether an API is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiMode {
    /// Nobody has installed it.
    #[default]
    Absent,
    /// It is installed and does not answer.
    Unavailable,
    /// It answers.
    Serving,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    cpu_nanos: u64,
    memory_bytes: u64,
}

/// Container, by namespace and pod.
type ContainerName = (String, String, String);

#[derive(Debug, Default)]
struct Amounts {
    metrics: ApiMode,
    summary: ApiMode,
    nodes: BTreeMap<String, Amount>,
    containers: BTreeMap<ContainerName, Amount>,
    /// What every machine, and every container of a pod that runs, uses unless more is known.
    others: Option<Amount>,
}

/// What is used, as whoever plays the kubelet says.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Amounts>);

impl Usage {
    /// Says whether there is an API of metrics. Default absent.
    pub fn set_metrics(&self, mode: ApiMode) {
        self.0.lock().metrics = mode;
    }

    /// Says whether kubelets answer with a summary. Default absent.
    pub fn set_summary(&self, mode: ApiMode) {
        self.0.lock().summary = mode;
    }

    /// Sets what a machine uses: billionths of a processor, and bytes.
    pub fn set_node(&self, node: &str, cpu_nanos: u64, memory_bytes: u64) {
        let amount = Amount {
            cpu_nanos,
            memory_bytes,
        };
        self.0.lock().nodes.insert(node.to_owned(), amount);
    }

    /// Sets what a container uses: billionths of a processor, and bytes.
    pub fn set_container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        cpu_nanos: u64,
        memory_bytes: u64,
    ) {
        let name = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        let amount = Amount {
            cpu_nanos,
            memory_bytes,
        };
        self.0.lock().containers.insert(name, amount);
    }

    /// Sets what every machine and every running container uses of which nothing else is said:
    /// billionths of a processor, and bytes.
    pub fn set_others(&self, cpu_nanos: u64, memory_bytes: u64) {
        self.0.lock().others = Some(Amount {
            cpu_nanos,
            memory_bytes,
        });
    }

    /// Forgets what the containers of a pod use.
    pub fn forget_pod(&self, namespace: &str, pod: &str) {
        let is_other = |(ns, name, _): &ContainerName| ns != namespace || name != pod;
        self.0.lock().containers.retain(|name, _| is_other(name));
    }

    pub(crate) fn metrics_mode(&self) -> ApiMode {
        self.0.lock().metrics
    }

    /// Answers a request to the API of metrics.
    pub(crate) fn metrics(
        &self,
        state: &State,
        plural: &str,
        namespace: &str,
        name: &str,
        labels: &LabelSelector,
    ) -> Result<Value, Refusal> {
        let amounts = self.0.lock();
        if amounts.metrics == ApiMode::Unavailable {
            return Err(Refusal::of_code(503));
        }
        let (resource, kind) = match plural {
            _ if amounts.metrics == ApiMode::Absent => return Err(Refusal::no_route()),
            "nodes" => ("nodes", "NodeMetrics"),
            "pods" => ("pods", "PodMetrics"),
            _ => return Err(Refusal::no_route()),
        };
        let mut found = Vec::new();
        for (key, object) in state.objects(resource, namespace) {
            if (name.is_empty() || key.name == name) && labels.matches(object) {
                found.extend(amounts.metrics_of(kind, object));
            }
        }
        if !name.is_empty() {
            let about = About {
                group: METRICS,
                noun: plural,
            };
            return found.pop().ok_or_else(|| Refusal::not_found(about, name));
        }
        Ok(json!({
            "kind": format!("{kind}List"),
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": found,
        }))
    }

    /// Answers a request for the summary of a kubelet.
    pub(crate) fn summary(&self, state: &State, node: &str) -> Result<Value, Refusal> {
        let amounts = self.0.lock();
        let about = About {
            group: "",
            noun: "nodes",
        };
        match amounts.summary {
            ApiMode::Absent => return Err(Refusal::no_route()),
            ApiMode::Unavailable => return Err(Refusal::of_code(503)),
            ApiMode::Serving => {}
        }
        let key = Key::new("", node);
        if state.get("nodes", &key).is_none() {
            return Err(Refusal::not_found(about, node));
        }
        let own = amounts.node(node).unwrap_or_default();
        let pods = state.objects("pods", "");
        let pods = pods.filter(|(_, pod)| text(pod, "/spec/nodeName") == node);
        let pods: Vec<_> = pods.map(|(_, pod)| amounts.summary_of(pod)).collect();
        Ok(json!({ "node": summary("nodeName", node, own), "pods": pods }))
    }
}

impl Amounts {
    fn node(&self, name: &str) -> Option<Amount> {
        self.nodes.get(name).copied().or(self.others)
    }

    fn container(&self, pod: &Value, container: &str) -> Option<Amount> {
        let name = (
            meta_text(pod, "namespace").to_owned(),
            meta_text(pod, "name").to_owned(),
            container.to_owned(),
        );
        let is_running = text(pod, "/status/phase") == "Running";
        let others = self.others.filter(|_| is_running);
        self.containers.get(&name).copied().or(others)
    }

    fn containers_of<'a>(&'a self, pod: &'a Value) -> impl Iterator<Item = (&'a str, Amount)> {
        let names = items(pod, "/spec/containers").iter();
        names.filter_map(|container| {
            let name = text(container, "/name");
            Some((name, self.container(pod, name)?))
        })
    }

    fn metrics_of(&self, kind: &str, object: &Value) -> Option<Value> {
        let usage = |amount: Amount| {
            json!({
                "cpu": format!("{}n", amount.cpu_nanos),
                "memory": format!("{}Ki", amount.memory_bytes / 1024),
            })
        };
        let now = seconds(SystemTime::now());
        let mut metrics = json!({
            "kind": kind,
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {
                "name": object["metadata"]["name"],
                "creationTimestamp": now,
                "labels": object["metadata"]["labels"],
            },
            "timestamp": now,
            "window": "15s",
        });
        if kind == "NodeMetrics" {
            metrics["usage"] = usage(self.node(meta_text(object, "name"))?);
            return Some(metrics);
        }
        metrics["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
        let containers: Vec<_> = self
            .containers_of(object)
            .map(|(name, amount)| json!({ "name": name, "usage": usage(amount) }))
            .collect();
        metrics["containers"] = json!(containers);
        (!containers.is_empty()).then_some(metrics)
    }

    fn summary_of(&self, pod: &Value) -> Value {
        let containers = self.containers_of(pod);
        let containers: Vec<_> = containers
            .map(|(name, amount)| summary("name", name, amount))
            .collect();
        json!({
            "podRef": {
                "name": pod["metadata"]["name"],
                "namespace": pod["metadata"]["namespace"],
                "uid": pod["metadata"]["uid"],
            },
            "containers": containers,
        })
    }
}

fn summary(label: &str, name: &str, amount: Amount) -> Value {
    let now = seconds(SystemTime::now());
    json!({
        (label): name,
        "cpu": { "time": now, "usageNanoCores": amount.cpu_nanos },
        "memory": {
            "time": now,
            "usageBytes": amount.memory_bytes,
            "workingSetBytes": amount.memory_bytes,
        },
    })
}
