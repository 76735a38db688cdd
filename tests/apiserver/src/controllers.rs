//! Plays the rest of a cluster for the fake API server: the controllers of workloads, the
//! scheduler, the binding of volumes, and the kubelets of its machines.
//!
//! [`Controllers::start`] works on the server's [`Store`] in process, so that nothing of it stands
//! in the request log. It keeps the rules that clients can see: surge and unavailability of
//! rolling updates, ordered sets, back-off, probes, the words of conditions and events. What a
//! container does is decided by its command: the small shell of `shell` runs the same scripts
//! as a busybox image. Where an image stands for a program of this machine, that runs for real.
//!
//! Time is [`Scene::speed`] times as fast as the wall clock, so that a back-off of ten seconds takes
//! half of one; times in objects are those of the wall clock.
//!
//! | module | plays |
//! |---|---|
//! | `replicas`, `deployment`, `stateful`, `daemon`, `job` | controllers of workloads |
//! | `claim` | binding of PersistentVolumeClaims |
//! | `scheduler` | which machine a pod gets |
//! | `kubelet` | images, containers, probes, volumes, logs |

mod claim;
mod clock;
mod daemon;
mod deployment;
mod event;
mod job;
mod kubelet;
mod machine;
mod paths;
mod pods;
mod program;
mod replicas;
mod room;
mod scheduler;
mod shell;
mod stateful;
mod template;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use machine::Machine;
pub use program::Program;

use crate::{ApiServer, PodLogs, Refusal, Store};
use clock::Clock;
use event::Recorder;
use kubelet::Kubelet;

/// Rounds without an end would be a mistake of a controller.
const MAX_ROUNDS: u32 = 200;

/// What there is beside the objects; changed at run time through [`Controllers`].
#[derive(Clone, Debug)]
pub struct Scene {
    /// The machines.
    pub machines: Vec<Machine>,
    /// Images that can be fetched; all others cannot.
    pub images: BTreeSet<String>,
    /// Images whose own program is one of this machine, which runs as a process: a container that
    /// names no command gets it. They can be fetched, too.
    pub programs: BTreeMap<String, Program>,
    /// Storage classes; the first one is the default.
    pub storage: Vec<StorageClass>,
    /// Folders that exist on every machine.
    pub host_paths: BTreeSet<String>,
    /// How many times faster than the wall clock time passes.
    pub speed: u32,
    /// How long a changed ConfigMap or Secret takes to reach a running pod that nothing was told
    /// about, by the wall clock.
    pub volume_delay: Duration,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            machines: vec![Machine::new("machine-1").role("control-plane")],
            images: BTreeSet::new(),
            programs: BTreeMap::new(),
            storage: vec![StorageClass::new("standard")],
            host_paths: ["/var/log", "/dev", "/tmp"].map(str::to_owned).into(),
            speed: 20,
            volume_delay: Duration::from_secs(60),
        }
    }
}

/// A storage class.
#[derive(Clone, Debug)]
pub struct StorageClass {
    /// Its name.
    pub name: String,
    /// Whether a claim is bound before a pod uses it.
    pub is_immediate: bool,
    /// The largest claim that it can serve, as a quantity.
    pub largest: String,
}

impl StorageClass {
    /// A class that binds when a pod uses the claim, for claims up to 100 GiB.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_immediate: false,
            largest: "100Gi".to_owned(),
        }
    }
}

/// The rest of the cluster; ends when it is dropped.
pub struct Controllers {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    cluster: Mutex<Cluster>,
    woken: Notify,
}

impl Controllers {
    /// Starts them over a server. It should be started with `kubelet: true`, so that deleted pods
    /// end in good order.
    ///
    /// # Errors
    /// The machines are not accepted as objects.
    pub fn start(server: &Arc<ApiServer>, scene: Scene) -> Result<Self, Refusal> {
        let store = server.store();
        for machine in &scene.machines {
            machine.write(&store)?;
        }
        let mut versions = store.versions();
        let shared = Arc::new(Shared {
            cluster: Mutex::new(Cluster::new(server.clone(), scene)),
            woken: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        let playing = shared.clone();
        tasks.spawn(async move {
            loop {
                // Before looking, so that what changes meanwhile is looked at again; one look is
                // enough for all that changed until then.
                versions.mark_unchanged();
                let due = playing.cluster.lock().settle();
                let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
                tokio::select! {
                    // All are cancel safe: what changed is found by looking at the objects. The
                    // sender lives as long as the store of the controllers.
                    Ok(()) = versions.changed() => {}
                    () = playing.woken.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
        });
        Ok(Self {
            shared,
            _tasks: tasks,
        })
    }

    /// Adds a machine, or changes it.
    ///
    /// # Errors
    /// It is not accepted as an object.
    pub fn add_machine(&self, machine: &Machine) -> Result<(), Refusal> {
        let store = self.shared.cluster.lock().store.clone();
        machine.write(&store)
    }

    /// Lets an image be fetched from now on.
    pub fn add_image(&self, image: &str) {
        self.change(|cluster| {
            cluster.scene.images.insert(image.to_owned());
        });
    }

    /// Lets an image not be fetched any more; machines that have it keep it.
    pub fn remove_image(&self, image: &str) {
        self.change(|cluster| {
            cluster.scene.images.remove(image);
        });
    }

    /// Stops everything, as when every machine hangs, or lets it go on.
    pub fn set_frozen(&self, is_frozen: bool) {
        self.change(|cluster| cluster.is_frozen = is_frozen);
    }

    /// It is time for a cron job. Returns the name of the job that was made; `None` when its policy
    /// says no.
    ///
    /// # Errors
    /// It is not there, or the job is refused.
    pub fn tick(&self, namespace: &str, cron_job: &str) -> Result<Option<String>, Refusal> {
        let made = job::tick(&mut self.shared.cluster.lock(), namespace, cron_job);
        self.shared.woken.notify_one();
        made
    }

    /// Ends the process of a container, as `kill -9` on its machine does. Returns whether it ran.
    #[must_use]
    pub fn kill(&self, namespace: &str, pod: &str, container: &str) -> bool {
        let was_running = self.shared.cluster.lock().kill(namespace, pod, container);
        self.shared.woken.notify_one();
        was_running
    }

    /// What a container finds in a file now; `None` when it has no such file, or does not run.
    #[must_use]
    pub fn see(&self, namespace: &str, pod: &str, container: &str, path: &str) -> Option<String> {
        let cluster = self.shared.cluster.lock();
        cluster.kubelet.see(namespace, pod, container, path)
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.shared.cluster.lock());
        self.shared.woken.notify_one();
    }
}

/// Everything that the controllers know.
struct Cluster {
    /// As the controllers of workloads write.
    store: Store,
    kubelet_store: Store,
    server: Arc<ApiServer>,
    scene: Scene,
    clock: Clock,
    events: Recorder,
    kubelet: Kubelet,
    is_frozen: bool,
    /// Since when pods are ready, by uid.
    ready_since: BTreeMap<String, Instant>,
    /// The last time that a rollout came forward, by uid of the deployment.
    progress: BTreeMap<String, deployment::Progress>,
    /// Owners whose last pod was refused: until when nothing is tried, and why.
    refused: BTreeMap<String, (Instant, String)>,
    /// What is said once only.
    said: BTreeSet<String>,
    /// Templates by revision, for stateful sets.
    templates: BTreeMap<String, Value>,
    /// Since when jobs run and when their next pod is due, by uid.
    jobs: BTreeMap<String, job::Pace>,
    /// Cron jobs were told that it is time so often.
    ticks: u64,
}

impl Cluster {
    fn new(server: Arc<ApiServer>, scene: Scene) -> Self {
        let store = server.store();
        Self {
            kubelet_store: store.named("kubelet"),
            store: store.named("kube-controller-manager"),
            server,
            clock: Clock::new(scene.speed),
            scene,
            events: Recorder::default(),
            kubelet: Kubelet::default(),
            is_frozen: false,
            ready_since: BTreeMap::new(),
            progress: BTreeMap::new(),
            refused: BTreeMap::new(),
            said: BTreeSet::new(),
            templates: BTreeMap::new(),
            jobs: BTreeMap::new(),
            ticks: 0,
        }
    }

    fn logs(&self) -> &PodLogs {
        self.server.pod_logs()
    }

    /// Lets everybody act until nobody has anything to do, and returns when that changes by
    /// itself.
    fn settle(&mut self) -> Option<Instant> {
        if self.is_frozen {
            return None;
        }
        for _ in 0..MAX_ROUNDS {
            let before = self.store.version();
            self.clock.begin();
            self.round();
            if self.store.version() == before {
                break;
            }
        }
        self.clock.due()
    }

    fn round(&mut self) {
        self.note_ready_pods();
        claim::sync(self);
        job::sync(self);
        replicas::sync(self);
        deployment::sync(self);
        replicas::sync(self);
        stateful::sync(self);
        daemon::sync(self);
        scheduler::sync(self);
        self.run_kubelet();
    }

    fn note_ready_pods(&mut self) {
        let now = self.clock.now();
        let pods = self.store.list("pods", "");
        let ready: BTreeSet<&str> = pods
            .iter()
            .filter(|pod| view::is_ready(pod))
            .map(|pod| view::uid(pod))
            .collect();
        self.ready_since
            .retain(|uid, _| ready.contains(uid.as_str()));
        for uid in ready {
            if !self.ready_since.contains_key(uid) {
                self.ready_since.insert(uid.to_owned(), now);
            }
        }
    }

    /// Whether a pod has been ready for so many seconds.
    fn is_available(&mut self, pod: &Value, min_ready_seconds: i64) -> bool {
        if !view::is_ready(pod) || view::is_deleting(pod) {
            return false;
        }
        let Some(since) = self.ready_since.get(view::uid(pod)) else {
            return false;
        };
        let at = *since + self.clock.seconds(min_ready_seconds);
        self.clock.is_over(at)
    }

    fn happened(&mut self, object: &Value, is_warning: bool, reason: &str, message: &str) {
        let component = match view::text(object, "/kind") {
            "Pod" => "kubelet",
            _ => "kube-controller-manager",
        };
        let happened = event::Happened {
            component,
            is_warning,
            reason,
            message,
            part: "",
        };
        self.events.record(&self.store, object, happened);
    }
}

#[cfg(test)]
mod tests;
