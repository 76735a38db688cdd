//! How the node stands, as its own core sees it: one level that the local API shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use baetyl_proto::node::v1::LocalNodeStatus;
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus, MachineStatus};
use baetyl_proto::sync::v1::CoreReport;
use baetyl_shadow::Fence;
use futures::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::identity::NodeIdentity;
use crate::metrics;
use crate::reported::Reported;

/// Every state, for the metric.
const STATES: [(ApplicationState, &str); 9] = [
    (ApplicationState::Pending, "pending"),
    (ApplicationState::Progressing, "progressing"),
    (ApplicationState::Healthy, "healthy"),
    (ApplicationState::Degraded, "degraded"),
    (ApplicationState::RolledBack, "rolled_back"),
    (ApplicationState::Failed, "failed"),
    (ApplicationState::Succeeded, "succeeded"),
    (ApplicationState::Unknown, "unknown"),
    (ApplicationState::Removing, "removing"),
];

/// The status of the node. Clones share it; whoever learns something puts it in, and it goes into
/// the report to the cloud where the cloud wants it.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    level: watch::Sender<Level>,
    sessions: watch::Sender<u64>,
    reported: Reported,
    node_mode: &'static str,
}

/// What is known of the node. The statuses of applications are most of it, and shared with those
/// who made them.
#[derive(Clone, Debug)]
struct Level {
    /// Everything else.
    status: LocalNodeStatus,
    applications: BTreeMap<String, Arc<ApplicationStatus>>,
}

impl Level {
    fn into_status(self) -> LocalNodeStatus {
        let applications = self.applications.into_values();
        LocalNodeStatus {
            applications: applications.map(Arc::unwrap_or_clone).collect(),
            ..self.status
        }
    }
}

/// What is known about core before it runs.
pub(crate) struct About<'a> {
    /// Who the node is.
    pub(crate) identity: &'a NodeIdentity,
    /// Version of the program.
    pub(crate) version: &'a str,
    /// `process` or `kube`.
    pub(crate) node_mode: &'static str,
}

impl NodeState {
    pub(crate) fn new(about: &About<'_>, reported: Reported) -> Self {
        let About {
            identity, version, ..
        } = *about;
        let document = &identity.document;
        let status = LocalNodeStatus {
            namespace: document.namespace.to_string(),
            node: document.node.to_string(),
            node_uid: document.node_uid.to_string(),
            core_version: version.to_owned(),
            start_time: Some(SystemTime::now().into()),
            disconnect_reason: "STARTING".to_owned(),
            certificate_expire_time: Some(identity.expires().into()),
            ..LocalNodeStatus::default()
        };
        let state = Self {
            level: watch::Sender::new(Level {
                status,
                applications: BTreeMap::new(),
            }),
            sessions: watch::Sender::new(0),
            node_mode: about.node_mode,
            reported,
        };
        state.report();
        state
    }

    pub(crate) fn current(&self) -> LocalNodeStatus {
        self.level.borrow().clone().into_status()
    }

    /// The status now, and whenever it changed; a slow reader gets the newest.
    pub(crate) fn changes(&self) -> impl Stream<Item = LocalNodeStatus> + use<> {
        WatchStream::new(self.level.subscribe()).map(Level::into_status)
    }

    /// The sync stream is open.
    pub(crate) fn connected(&self) {
        self.sessions.send_modify(|count| *count += 1);
        self.change(|status| {
            status.connected = true;
            status.disconnect_reason.clear();
            status.last_connected_time = Some(SystemTime::now().into());
        });
        self.report();
    }

    /// The sync stream is not open, for a reason. Says whether that is news.
    pub(crate) fn disconnected(&self, reason: &str) -> bool {
        self.change(|status| {
            if status.connected {
                status.last_connected_time = Some(SystemTime::now().into());
            }
            status.connected = false;
            status.disconnect_reason = reason.to_owned();
        })
    }

    /// A generation is on disk.
    pub(crate) fn accepted(&self, fence: Fence) {
        self.change(|status| {
            status.epoch = fence.epoch.number();
            status.accepted_generation = fence.generation.number();
        });
    }

    /// The applications changed, or a generation runs. One of another epoch than the accepted one
    /// does not count any more.
    pub(crate) fn applications(
        &self,
        applications: &BTreeMap<String, Arc<ApplicationStatus>>,
        converged: Option<Fence>,
    ) {
        self.reported.set_applications(applications);
        self.level.send_if_modified(|level| {
            let is_new = level.applications != *applications;
            if is_new {
                level.applications.clone_from(applications);
            }
            is_new
        });
        if let Some(fence) = converged {
            self.change(|status| {
                if fence.epoch.number() >= status.epoch {
                    status.converged_generation = fence.generation.number();
                }
            });
        }
        for (state, word) in STATES {
            let count = applications
                .values()
                .filter(|application| application.state() == state)
                .count();
            metrics::applications(word, count as u64);
        }
    }

    /// The machines were sampled.
    pub(crate) fn machines(&self, machines: Vec<MachineStatus>) {
        self.reported.set_machines(&machines);
        self.change(|status| status.machines = machines);
    }

    /// The certificate was renewed.
    pub(crate) fn renewed(&self, identity: &NodeIdentity) {
        self.change(|status| status.certificate_expire_time = Some(identity.expires().into()));
        self.report();
    }

    fn change(&self, change: impl FnOnce(&mut LocalNodeStatus)) -> bool {
        self.level.send_if_modified(|level| {
            let before = level.status.clone();
            change(&mut level.status);
            level.status != before
        })
    }

    fn report(&self) {
        let status = self.level.borrow().status.clone();
        let sessions = *self.sessions.borrow();
        self.reported.set_core(&CoreReport {
            version: status.core_version,
            start_time: status.start_time,
            node_mode: self.node_mode.to_owned(),
            certificate_expire_time: status.certificate_expire_time,
            reconnect_count: sessions.saturating_sub(1),
        });
    }
}
