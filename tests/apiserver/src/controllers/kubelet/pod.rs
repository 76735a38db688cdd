//! One pod on its machine.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;

use super::container::{Around, Container};
use super::running::grace;
use super::{Disks, prepare, status};
use crate::Deletion;
use crate::controllers::Cluster;
use crate::controllers::room::Volume;
use crate::controllers::view::{is_deleting, items, name, namespace, text, uid};

/// How long until volumes that could not be mounted are tried again.
const MOUNT_AGAIN: Duration = Duration::from_secs(5);

/// How often a machine looks at what its pods have written.
const LOOK_AT_DISKS: Duration = Duration::from_secs(10);

/// What the machine knows of a pod.
#[derive(Debug)]
pub(super) struct PodState {
    pub(super) address: String,
    pub(super) started: SystemTime,
    pub(super) init: Vec<Container>,
    pub(super) containers: Vec<Container>,
    /// Why the pod had to leave its machine.
    pub(super) eviction: Option<String>,
    volumes: Option<BTreeMap<String, Volume>>,
    /// When it has to leave since it holds more than it may.
    evict_at: Option<Instant>,
    mount_at: Option<Instant>,
    /// Labels and annotations when the volumes were written last.
    told: Value,
    refresh_at: Option<Instant>,
    is_stopping: bool,
}

impl PodState {
    pub(super) fn new(pod: &Value, address: String) -> Self {
        let containers = |field: &str| -> Vec<Container> {
            let specs = items(pod, field).iter();
            specs.map(Container::new).collect()
        };
        Self {
            address,
            started: SystemTime::now(),
            init: containers("/spec/initContainers"),
            containers: containers("/spec/containers"),
            eviction: None,
            volumes: None,
            evict_at: None,
            mount_at: None,
            told: Value::Null,
            refresh_at: None,
            is_stopping: false,
        }
    }

    /// Kills the process of a container.
    pub(super) fn kill(&mut self, container: &str) -> bool {
        let mut all = self.containers.iter_mut();
        all.find(|one| one.name == container)
            .is_some_and(Container::kill)
    }

    /// What a container finds in a file.
    pub(super) fn see(&self, container: &str, path: &str) -> Option<String> {
        let mut all = self.containers.iter();
        all.find(|one| one.name == container)?.see(path)
    }

    /// Does what is due, and writes the status.
    pub(super) fn step(&mut self, cluster: &mut Cluster, disks: &mut Disks, pod: &Value) {
        if is_deleting(pod) {
            self.stop(cluster, pod);
            return;
        }
        if self.eviction.is_none() && self.mount(cluster, disks, pod) {
            self.run(cluster, disks, pod);
        }
        self.report(cluster, pod);
    }

    /// Mounts the volumes, or writes again what changed. Returns whether they are there.
    fn mount(&mut self, cluster: &mut Cluster, disks: &mut Disks, pod: &Value) -> bool {
        let told = told(pod);
        let delay = cluster.scene.volume_delay;
        let refresh_at = Some(cluster.clock.now() + delay);
        if let Some(volumes) = &self.volumes {
            let is_late = self.refresh_at.is_some_and(|at| cluster.clock.is_over(at));
            if self.told != told || is_late {
                prepare::refresh(cluster, pod, volumes);
                self.told = told;
                self.refresh_at = refresh_at;
            }
            return true;
        }
        if let Some(at) = self.mount_at
            && !cluster.clock.is_over(at)
        {
            return false;
        }
        match prepare::volumes(cluster, disks, pod) {
            Ok(volumes) => {
                let has_inputs = items(pod, "/spec/volumes").iter().any(|volume| {
                    ["configMap", "secret", "projected"]
                        .iter()
                        .any(|key| volume.get(key).is_some())
                });
                self.volumes = Some(volumes);
                self.told = told;
                self.refresh_at = refresh_at.filter(|_| has_inputs);
                true
            }
            Err(message) => {
                cluster.told(pod, "", true, "FailedMount", &message);
                let again = cluster.clock.after(MOUNT_AGAIN);
                cluster.clock.wake(again);
                self.mount_at = Some(again);
                for container in &mut self.containers {
                    container.wait("ContainerCreating", String::new());
                }
                false
            }
        }
    }

    fn run(&mut self, cluster: &mut Cluster, disks: &mut Disks, pod: &Value) {
        let Some(volumes) = self.volumes.clone() else {
            return;
        };
        let address = self.address.clone();
        let around = |spec, is_init| Around {
            pod,
            spec,
            is_init,
            volumes: &volumes,
            address: &address,
        };
        for (container, spec) in self.init.iter_mut().zip(items(pod, "/spec/initContainers")) {
            container.begin(cluster);
            container.step(cluster, disks, &around(spec, true), true);
            if container.end().is_none_or(|end| end.code != 0) {
                return;
            }
        }
        let specs = items(pod, "/spec/containers");
        for (container, spec) in self.containers.iter_mut().zip(specs) {
            container.begin(cluster);
            container.step(cluster, disks, &around(spec, false), true);
        }
        if !volumes.values().any(|volume| volume.lock().is_overfull()) {
            return;
        }
        let next_look = cluster.clock.after(LOOK_AT_DISKS);
        let at = *self.evict_at.get_or_insert(next_look);
        if cluster.clock.is_over(at) {
            self.evict(cluster, pod);
        }
    }

    /// Ends the pod since it holds more than it may.
    fn evict(&mut self, cluster: &mut Cluster, pod: &Value) {
        let full = items(pod, "/spec/volumes").iter().find(|volume| {
            let files = self.volumes.as_ref();
            let files = files.and_then(|all| all.get(text(volume, "/name")));
            files.is_some_and(|files| files.lock().is_overfull())
        });
        let (volume, limit) = full.map_or(("", ""), |volume| {
            (text(volume, "/name"), text(volume, "/emptyDir/sizeLimit"))
        });
        let message = format!("Usage of EmptyDir volume {volume:?} exceeds the limit {limit:?}. ");
        cluster.told(pod, "", true, "Evicted", &message);
        for container in &mut self.containers {
            container.kill();
            container.stop(cluster, 0);
        }
        self.end_all(cluster, pod);
        self.eviction = Some(message);
    }

    fn end_all(&mut self, cluster: &mut Cluster, pod: &Value) {
        let volumes = BTreeMap::new();
        let init = self.init.iter_mut().zip(items(pod, "/spec/initContainers"));
        let others = self
            .containers
            .iter_mut()
            .zip(items(pod, "/spec/containers"));
        for (container, spec) in init.chain(others) {
            let around = Around {
                pod,
                spec,
                is_init: false,
                volumes: &volumes,
                address: &self.address,
            };
            // Nothing is fetched any more, so that no disk is looked at.
            container.step(cluster, &mut Disks::default(), &around, false);
        }
    }

    /// Ends its containers in good order, and then the object.
    fn stop(&mut self, cluster: &mut Cluster, pod: &Value) {
        let specs = items(pod, "/spec/containers");
        if !self.is_stopping {
            self.is_stopping = true;
            for (container, spec) in self.containers.iter().zip(specs) {
                if container.is_running() {
                    let own = text(spec, "/name");
                    let part = format!("spec.containers{{{own}}}");
                    let message = format!("Stopping container {own}");
                    cluster.told(pod, &part, false, "Killing", &message);
                }
            }
        }
        let grace = grace(pod);
        for container in self.init.iter_mut().chain(&mut self.containers) {
            container.stop(cluster, grace);
        }
        self.end_all(cluster, pod);
        self.report(cluster, pod);
        let is_over = !self
            .init
            .iter()
            .chain(&self.containers)
            .any(Container::is_running);
        if is_over {
            let how = Deletion {
                uid: Some(uid(pod).to_owned()),
                ..Deletion::now()
            };
            // Gone already is what is wanted.
            let _ = cluster
                .kubelet_store
                .delete("pods", namespace(pod), name(pod), how);
        }
    }

    fn report(&self, cluster: &Cluster, pod: &Value) {
        let status = status::of(self, pod);
        if pod.get("status") == Some(&status) {
            return;
        }
        // It may be gone meanwhile.
        let _ = cluster
            .kubelet_store
            .edit_status("pods", namespace(pod), name(pod), |pod| {
                pod["status"] = status;
            });
    }
}

/// What a kubelet takes as a change of a pod.
fn told(pod: &Value) -> Value {
    Value::Array(vec![
        pod["metadata"]["labels"].clone(),
        pod["metadata"]["annotations"].clone(),
    ])
}
