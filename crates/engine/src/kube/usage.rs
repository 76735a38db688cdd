//! Usage of machines and containers, sampled: from the metrics server where there is one, else from
//! the kubelets where that is allowed, else not at all, which is said.
//!
//! Which of these it is, is found out at the start and again from time to time. All requests go to
//! `/apis/metrics.k8s.io/…` or to `…/proxy/stats/summary`, so that they can be counted apart.

mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::Quantity;
use baetyl_proto::resource::v1::MachineStats;
use futures::StreamExt;
use kube::Client;
use kube::api::{ListParams, Request};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::timeout;

use super::machines::{Board, Totals};
use super::settings::KubeSettings;
use super::watch::store::{Store, Usage};
use super::watch::trouble::Trouble;
use super::watch::wire::{Page, time};
use wire::{Amounts, NodeMetrics, PodMetrics, Summary};

/// How long one request may take.
const REQUEST_BOUND: Duration = Duration::from_secs(10);

/// After how many samples the source is looked for again: five minutes by default.
const SAMPLES_PER_LOOK: u32 = 15;

/// How many kubelets are asked at a time: each answer may have half a megabyte.
const KUBELETS_AT_ONCE: usize = 2;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// Where usage comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The metrics server; what it refused is not asked for until the next look.
    Metrics { refused: BTreeSet<String> },
    /// The kubelets.
    Kubelets,
    /// Nobody, with why.
    Nobody(String),
}

/// Samples usage.
pub(super) struct Sampler {
    pub(super) client: Client,
    pub(super) settings: Arc<KubeSettings>,
    pub(super) selector: Arc<str>,
    pub(super) store: Arc<Store>,
    pub(super) board: Arc<Board>,
    /// Changed when the API server does not answer at all.
    pub(super) suspicion: watch::Sender<u64>,
}

impl Sampler {
    /// Samples until it is dropped.
    pub(super) async fn run(self) {
        loop {
            let mut source = match self.look().await {
                Ok(source) => source,
                Err(trouble) => {
                    self.suspect(&trouble).await;
                    Source::Nobody(trouble.sentence("metrics", None))
                }
            };
            tracing::debug!(?source, "usage has a source");
            for _ in 0..SAMPLES_PER_LOOK {
                match &mut source {
                    Source::Metrics { refused } => self.sample_metrics(refused).await,
                    Source::Kubelets => self.sample_kubelets().await,
                    Source::Nobody(reason) => self.board.unavailable(reason),
                }
                tokio::time::sleep(self.settings.usage_period).await;
            }
        }
    }

    /// Finds out where usage comes from.
    async fn look(&self) -> Result<Source, Trouble> {
        let served = self.get::<serde::de::IgnoredAny>(METRICS.to_owned()).await;
        let reason = match served {
            Ok(_) => {
                return Ok(Source::Metrics {
                    refused: BTreeSet::new(),
                });
            }
            Err(Trouble::NotServed) => "the cluster has no metrics server",
            Err(Trouble::Forbidden { .. }) => "the metrics server may not be asked",
            Err(Trouble::Busy(_) | Trouble::Refused(_) | Trouble::Gone) => {
                "the metrics server does not answer"
            }
            Err(trouble @ Trouble::Unreachable(_)) => return Err(trouble),
        };
        if self.settings.kubelet_summary {
            return Ok(Source::Kubelets);
        }
        let others = "and the kubelets are not to be asked";
        Ok(Source::Nobody(format!("{reason}, {others}")))
    }

    async fn sample_metrics(&self, refused: &mut BTreeSet<String>) {
        let path = format!("{METRICS}/nodes");
        if !self.board.totals().is_empty() && !refused.contains(&path) {
            match self.get::<Page<NodeMetrics>>(path.clone()).await {
                Ok(page) => self.take_machines(page.items),
                Err(trouble) => {
                    let reason = trouble.sentence("nodes.metrics.k8s.io", None);
                    self.board.unavailable(&reason);
                    self.refused(path, &trouble, refused).await;
                }
            }
        }
        for namespace in self.store.pod_namespaces() {
            let path = format!("{METRICS}/namespaces/{namespace}/pods");
            if refused.contains(&path) {
                continue;
            }
            match self.pods(&path).await {
                Ok(page) => {
                    for pod in page.items {
                        self.take_pod(&namespace, &pod);
                    }
                }
                Err(trouble) => self.refused(path, &trouble, refused).await,
            }
        }
    }

    async fn refused(&self, path: String, trouble: &Trouble, refused: &mut BTreeSet<String>) {
        if trouble.is_passing() {
            return self.suspect(trouble).await;
        }
        tracing::info!(path, ?trouble, "usage is refused");
        refused.insert(path);
    }

    async fn pods(&self, path: &str) -> Result<Page<PodMetrics>, Trouble> {
        let params = ListParams::default().labels(&self.selector);
        let request = Request::new(path).list(&params).map_err(Trouble::request)?;
        self.answer(request).await
    }

    fn take_machines(&self, metrics: Vec<NodeMetrics>) {
        let mut missing = self.board.totals();
        let mut samples = Vec::new();
        for sample in metrics {
            let name = sample.metadata.name;
            let Some(totals) = missing.remove(&name) else {
                continue;
            };
            let at = time(sample.timestamp.as_ref()).unwrap_or_else(SystemTime::now);
            let stats = MachineStats {
                sample_time: Some(at.into()),
                ..measured(totals, millis(&sample.usage), bytes(&sample.usage))
            };
            samples.push((name, Ok(stats)));
        }
        let reason = "the metrics server has no sample of the machine";
        let missing = missing.into_keys();
        samples.extend(missing.map(|name| (name, Err(reason.to_owned()))));
        self.board.sampled(samples);
    }

    fn take_pod(&self, namespace: &str, pod: &PodMetrics) {
        let containers = pod.containers.iter();
        let usage = containers.map(|container| {
            let usage: Usage = (bytes(&container.usage), millis(&container.usage));
            (container.name.clone(), usage)
        });
        let usage = usage.collect();
        self.store.used(namespace, &pod.metadata.name, &usage);
    }

    async fn sample_kubelets(&self) {
        let machines = self.board.totals().into_iter();
        let asked: Vec<_> = machines
            .map(|(name, totals)| async move {
                let path = format!("/api/v1/nodes/{name}/proxy/stats/summary");
                let answer = self.get::<Summary>(path).await;
                let sample = match &answer {
                    Ok(summary) => {
                        self.take_pods(summary);
                        Ok(stats(totals, summary))
                    }
                    Err(trouble) => Err(trouble.sentence("nodes/proxy", None)),
                };
                ((name, sample), answer.err())
            })
            .collect();
        let asking = futures::stream::iter(asked).buffer_unordered(KUBELETS_AT_ONCE);
        let (samples, troubles): (Vec<_>, Vec<_>) = asking.unzip().await;
        self.board.sampled(samples);
        let mut troubles = troubles.iter().flatten();
        let dead = |trouble: &&Trouble| matches!(trouble, Trouble::Unreachable(_));
        if let Some(trouble) = troubles.find(dead) {
            self.suspect(trouble).await;
        }
    }

    fn take_pods(&self, summary: &Summary) {
        for pod in &summary.pods {
            let containers = pod.containers.iter();
            let usage = containers.map(|container| {
                let cpu = container.cpu.usage_nano_cores.div_ceil(1_000_000);
                let usage: Usage = (container.memory.working_set_bytes, cpu);
                (container.name.clone(), usage)
            });
            let usage = usage.collect();
            let (namespace, name) = (&pod.pod_ref.namespace, &pod.pod_ref.name);
            self.store.used(namespace, name, &usage);
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Trouble> {
        let request = hyper::Request::get(path).body(Vec::new());
        self.answer(request.map_err(|error| Trouble::Refused(error.to_string()))?)
            .await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: hyper::Request<Vec<u8>>,
    ) -> Result<T, Trouble> {
        let text = timeout(REQUEST_BOUND, self.client.request_text(request)).await;
        let text = text.map_err(|_| Trouble::silent("usage"))?;
        let text = text.map_err(|error| Trouble::of(error, "get"))?;
        serde_json::from_str(&text).map_err(Trouble::unreadable)
    }

    /// A sample is the only request while nothing changes: when it fails, and the API server does
    /// not answer anything else either, the watches look at their connections.
    async fn suspect(&self, trouble: &Trouble) {
        if !matches!(trouble, Trouble::Unreachable(_)) {
            return;
        }
        let answer = timeout(REQUEST_BOUND, self.client.apiserver_version()).await;
        if !matches!(answer, Ok(Ok(_) | Err(kube::Error::Api(_)))) {
            self.suspicion.send_modify(|count| *count += 1);
        }
    }
}

fn stats(totals: Totals, summary: &Summary) -> MachineStats {
    let node = &summary.node;
    let cpu = node.cpu.usage_nano_cores / 1_000_000;
    MachineStats {
        sample_time: Some(SystemTime::now().into()),
        disk_total_bytes: node.fs.capacity_bytes,
        disk_used_bytes: node.fs.used_bytes,
        network_received_bytes: node.network.received(),
        network_sent_bytes: node.network.sent(),
        ..measured(totals, cpu, node.memory.working_set_bytes)
    }
}

fn measured(totals: Totals, cpu_millis: u64, memory_bytes: u64) -> MachineStats {
    let all = f64::from(totals.processors) * 1000.0;
    // A machine's usage is far below the whole numbers that a double holds exactly.
    let used = f64::from(u32::try_from(cpu_millis).unwrap_or(u32::MAX));
    MachineStats {
        cpu_count: totals.processors,
        cpu_ratio: if all > 0.0 {
            (used / all).min(1.0)
        } else {
            0.0
        },
        memory_total_bytes: totals.memory_bytes,
        memory_used_bytes: memory_bytes,
        ..MachineStats::default()
    }
}

fn millis(amounts: &Amounts) -> u64 {
    Quantity::parse(&amounts.cpu).map_or(0, Quantity::millis)
}

fn bytes(amounts: &Amounts) -> u64 {
    Quantity::parse(&amounts.memory).map_or(0, Quantity::units)
}

#[cfg(test)]
mod tests;
