//! What watches tell about the objects of this node, in compact form: plain data, one owner
//! (the watches), read by pure code.

use std::collections::BTreeMap;
use std::time::SystemTime;

use baetyl_proto::resource::v1::ApplicationEvent;

use super::object::ObjectKey;
use crate::driver::Termination;

/// Everything that is known about one application at this moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppFacts {
    /// Its objects, pods left out.
    pub objects: BTreeMap<ObjectKey, ObjectFacts>,
    /// Its pods by name.
    pub pods: BTreeMap<String, PodFacts>,
    /// Its newest events from the cluster, at most 20, oldest first.
    pub events: Vec<ApplicationEvent>,
    /// Kinds that are followed for it and cannot be seen now, with why: that objects of these are
    /// not in `objects` says nothing.
    pub unobserved: BTreeMap<KindName, String>,
}

/// API group and version, and kind: `("apps/v1", "Deployment")`.
pub type KindName = (String, String);

impl AppFacts {
    /// Returns the facts of an object, whatever version of its API the key names.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<&ObjectFacts> {
        self.objects.get(key).or_else(|| {
            let same = |(other, _): &(&ObjectKey, _)| other.is_same_object(key);
            self.objects.iter().find(same).map(|(_, facts)| facts)
        })
    }
}

/// How well the cluster can be seen. Its machines are a level of their own, since their usage changes
/// all the time: [`super::watch::Watches::machines`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterFacts {
    /// Since when observation is broken; `None` while every watch is current.
    pub blind_since: Option<SystemTime>,
    /// Why, for people; empty while every watch is current.
    pub blind_reason: String,
    /// Namespaces where a permission to look is missing, with which one: applications there cannot
    /// be judged, those elsewhere can.
    pub forbidden: BTreeMap<String, String>,
    /// Why the machines are not known, or not current; empty when they are.
    pub machines_unavailable: String,
}

/// One object of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectFacts {
    /// Differs after delete and create.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
    /// Changes with every write of the spec; 0 for kinds that have none.
    pub generation: i64,
    /// Differs when somebody wrote something else than the status; see
    /// [`content()`](super::watch::content()).
    pub content: String,
    /// Label `baetyl.io/release`; empty where there is none.
    pub release: String,
    /// Whether a controller of the cluster made it, as a cron job makes jobs: it is not ours to
    /// apply or to prune.
    pub is_controlled: bool,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// What its status says.
    pub health: Health,
}

/// What the status of an object says.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// Nothing to wait for: kinds without a status, or whose status says that all is well.
    Ready,
    /// Its controller is still at work.
    Progressing {
        /// What it waits for, one sentence.
        message: String,
    },
    /// It will not become ready without a change.
    Failed {
        /// Stable word from [`crate::reason`].
        reason: &'static str,
        /// One sentence.
        message: String,
    },
    /// A job ran to its end.
    Completed,
}

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// Differs after delete and create.
    pub uid: String,
    /// Label `baetyl.io/release`.
    pub release: String,
    /// Annotation `baetyl.io/inputs`; empty where there is none.
    pub inputs: String,
    /// Machine that it was given; empty before.
    pub machine: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Why it has no machine; empty when it has one.
    pub unschedulable: String,
    /// Reason and message of the pod's own status, for example `Evicted`.
    pub reason: String,
    /// The message beside it.
    pub message: String,
    /// When it was created.
    pub created_at: Option<SystemTime>,
    /// When it started.
    pub started_at: Option<SystemTime>,
    /// Its containers, init containers first, in the order of the spec.
    pub containers: Vec<ContainerFacts>,
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerFacts {
    /// Its name: that of the service.
    pub name: String,
    /// Whether it runs before the services.
    pub is_init: bool,
    /// The image, with its digest when that is known.
    pub image: String,
    /// Whether it is ready; for an init container whether it has ended well.
    pub is_ready: bool,
    /// Whether its startup probe has succeeded, or it has none.
    pub is_started: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// What it does.
    pub state: ContainerState,
    /// How the last one ended.
    pub last_termination: Option<Termination>,
    /// What its failing probe said last; empty while it is ready or does not run.
    pub probe_message: String,
    /// Bytes in use, sampled; 0 when unknown.
    pub memory_bytes: u64,
    /// Thousandths of a processor, sampled; 0 when unknown.
    pub cpu_millis: u64,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    /// It waits; reason and message are the kubelet's own, for example `ImagePullBackOff`.
    Waiting {
        /// The kubelet's word.
        reason: String,
        /// One sentence.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Option<SystemTime>,
    },
    /// It has ended.
    Ended(Termination),
}
