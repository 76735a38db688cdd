//! The kubelets of all machines: pods that were given a machine run here.

mod child;
mod container;
mod image;
mod pod;
mod prepare;
mod probe;
mod running;
mod shown;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::room::Volume;
use super::view::{is_finished, name, namespace, text, uid};
use super::{Cluster, event};
use pod::PodState;

/// What machines know.
#[derive(Debug, Default)]
pub(super) struct Kubelet {
    pods: BTreeMap<String, Known>,
    disks: Disks,
    /// Addresses that were given.
    addresses: u32,
}

#[derive(Debug)]
struct Known {
    namespace: String,
    name: String,
    state: PodState,
    /// The version of the object that was looked at last.
    version: String,
    due: Option<Instant>,
}

/// What outlives pods.
#[derive(Debug, Default)]
struct Disks {
    /// By namespace and claim.
    claims: BTreeMap<(String, String), Volume>,
    /// By machine and path.
    folders: BTreeMap<(String, String), Volume>,
    /// Machine and image.
    images: BTreeSet<(String, String)>,
    /// Where the folders of pods are that run real programs; made for the first one.
    folder: Option<TempDir>,
}

impl Disks {
    fn folder(&mut self) -> io::Result<&Path> {
        let made = match self.folder.take() {
            Some(made) => made,
            None => tempfile::Builder::new().prefix("pods").tempdir()?,
        };
        Ok(self.folder.insert(made).path())
    }

    /// Removes the folder of a pod that has none of its processes left.
    fn forget(&self, pod: &str) {
        if let Some(folder) = &self.folder {
            // Most pods have none; what cannot be removed goes with the whole.
            std::fs::remove_dir_all(folder.path().join(pod)).ok();
        }
    }
}

impl Cluster {
    pub(super) fn run_kubelet(&mut self) {
        let mut kubelet = std::mem::take(&mut self.kubelet);
        kubelet.run(self);
        self.kubelet = kubelet;
    }

    /// Kills the process of a container.
    pub(super) fn kill(&mut self, space: &str, pod: &str, container: &str) -> bool {
        let found = self
            .kubelet
            .pods
            .values_mut()
            .find(|known| known.namespace == space && known.name == pod);
        let Some(known) = found else {
            return false;
        };
        known.due = Some(self.clock.now());
        known.state.kill(container)
    }

    /// Writes an event of a kubelet about a pod, or about a part of it.
    fn told(&mut self, pod: &Value, part: &str, is_warning: bool, reason: &str, message: &str) {
        let happened = event::Happened {
            component: "kubelet",
            is_warning,
            reason,
            message,
            part,
        };
        self.events.record(&self.kubelet_store, pod, happened);
    }
}

impl Kubelet {
    /// What a container finds in a file.
    pub(super) fn see(
        &self,
        space: &str,
        pod: &str,
        container: &str,
        path: &str,
    ) -> Option<String> {
        let mut pods = self.pods.values();
        let known = pods.find(|known| known.namespace == space && known.name == pod)?;
        known.state.see(container, path)
    }

    fn run(&mut self, cluster: &mut Cluster) {
        let pods = cluster.store.list("pods", "");
        for pod in &pods {
            if !text(pod, "/spec/nodeName").is_empty() {
                self.run_one(cluster, pod);
            }
        }
        let mut gone = Vec::new();
        let there: BTreeSet<&str> = pods.iter().map(|pod| uid(pod)).collect();
        self.pods.retain(|uid, known| {
            let is_there = there.contains(uid.as_str());
            let is_replaced = || {
                let mut others = pods.iter();
                others.any(|pod| namespace(pod) == known.namespace && name(pod) == known.name)
            };
            if !is_there && !is_replaced() {
                cluster.logs().forget(&known.namespace, &known.name);
            }
            if !is_there {
                gone.push(uid.clone());
            }
            is_there
        });
        // Their processes have ended with them.
        for uid in gone {
            self.disks.forget(&uid);
        }
    }

    fn run_one(&mut self, cluster: &mut Cluster, pod: &Arc<Value>) {
        let version = text(pod, "/metadata/resourceVersion");
        let known = match self.pods.get_mut(uid(pod)) {
            Some(known) => {
                let is_due = known.due.is_some_and(|due| cluster.clock.is_over(due));
                if known.version == version && !is_due {
                    return;
                }
                known
            }
            None => {
                // What came to its end under somebody else is left alone.
                if is_finished(pod) {
                    return;
                }
                self.addresses += 1;
                let number = self.addresses;
                let address = format!("10.1.{}.{}", (number >> 8) & 255, number & 255);
                self.pods
                    .entry(uid(pod).to_owned())
                    .or_insert_with(|| Known {
                        namespace: namespace(pod).to_owned(),
                        name: name(pod).to_owned(),
                        state: PodState::new(pod, address),
                        version: String::new(),
                        due: None,
                    })
            }
        };
        known.version = version.to_owned();
        let before = cluster.clock.begin_part();
        known.state.step(cluster, &mut self.disks, pod);
        known.due = cluster.clock.end_part(before);
    }
}
