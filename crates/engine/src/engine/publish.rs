//! The levels that the engine shows; each tells of changes only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baetyl_process::InstanceId;
use tokio::sync::watch;

use super::{Member, Mode, Supervisor};
use crate::desired::Wanted;
use crate::handle::{EngineStatus, Routes};
use crate::logs::LogSource;

/// What is worth sampling.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Running {
    pub(super) ids: Vec<InstanceId>,
    /// Some of them must be held to a memory limit.
    pub(super) has_memory_limit: bool,
}

/// The receiving ends.
pub(super) struct Levels {
    pub(super) status: watch::Receiver<Arc<EngineStatus>>,
    pub(super) routes: watch::Receiver<Option<Arc<Routes>>>,
    pub(super) logs: watch::Receiver<Arc<BTreeMap<String, Vec<LogSource>>>>,
}

/// The sending ends.
pub(super) struct Publisher {
    status: watch::Sender<Arc<EngineStatus>>,
    routes: watch::Sender<Option<Arc<Routes>>>,
    logs: watch::Sender<Arc<BTreeMap<String, Vec<LogSource>>>>,
    running: watch::Sender<Running>,
}

pub(super) fn channels() -> (Publisher, Levels) {
    let (status, status_receiver) = watch::channel(Arc::default());
    let (routes, routes_receiver) = watch::channel(None);
    let (logs, logs_receiver) = watch::channel(Arc::default());
    let (running, _) = watch::channel(Running::default());
    let publisher = Publisher {
        status,
        routes,
        logs,
        running,
    };
    let levels = Levels {
        status: status_receiver,
        routes: routes_receiver,
        logs: logs_receiver,
    };
    (publisher, levels)
}

impl Publisher {
    pub(super) fn running(&self) -> watch::Receiver<Running> {
        self.running.subscribe()
    }

    /// Shows the levels; `None` leaves the routes as they are.
    pub(super) fn publish(
        &self,
        status: EngineStatus,
        routes: Option<Routes>,
        logs: BTreeMap<String, Vec<LogSource>>,
        running: Running,
    ) {
        replace(&self.status, Arc::new(status));
        if let Some(routes) = routes {
            replace(&self.routes, Some(Arc::new(routes)));
        }
        replace(&self.logs, Arc::new(logs));
        replace(&self.running, running);
    }
}

fn replace<T: PartialEq>(level: &watch::Sender<T>, value: T) {
    level.send_if_modified(|shown| {
        let is_new = *shown != value;
        if is_new {
            *shown = value;
        }
        is_new
    });
}

/// Names of what is wanted, for those that come and go.
fn names(desired: Option<&Wanted>) -> BTreeSet<&str> {
    let applications = desired.map_or(&[][..], |desired| &desired.set.applications[..]);
    applications.iter().map(|item| item.name.as_str()).collect()
}

impl Supervisor {
    /// Shows where everything stands.
    pub(super) fn publish(&mut self) {
        let is_settled = matches!(self.mode, Mode::Follow) && self.is_converged();
        if let Some(desired) = self.desired.as_ref().filter(|_| is_settled) {
            self.converged = Some(desired.set.fence);
        }
        let views = || {
            self.members
                .values()
                .filter_map(|member| member.view.as_ref())
        };
        let status = EngineStatus {
            desired: self.desired.as_ref().map(|desired| desired.set.fence),
            converged: self.converged,
            applications: views()
                .map(|view| (view.name.clone(), view.status.clone()))
                .collect(),
        };
        let is_known = self.desired.is_some()
            && self.members.values().all(|member| {
                let view = member.view.as_ref();
                view.is_some_and(|view| view.sequence == self.sequence)
            });
        let routes: Option<Routes> = is_known.then(|| {
            let mut routes: Routes = views().flat_map(|view| view.routes.clone()).collect();
            routes.sort_by(|one, other| one.service.cmp(&other.service));
            routes.dedup_by(|one, other| one.service == other.service);
            routes
        });
        let logs: BTreeMap<String, Vec<LogSource>> = views()
            .map(|view| (view.name.clone(), view.logs.clone()))
            .collect();
        let running = Running {
            ids: views().flat_map(|view| view.running.clone()).collect(),
            has_memory_limit: views().any(|view| view.has_memory_limit),
        };
        self.publisher.publish(status, routes, logs, running);
    }

    /// Whether everything desired runs, and nothing else.
    fn is_converged(&self) -> bool {
        let wanted = names(self.desired.as_deref());
        let is_done = |(name, member): (&String, &Member)| {
            let view = member.view.as_ref();
            wanted.contains(name.as_str())
                && view.is_some_and(|view| view.sequence == self.sequence && view.is_converged)
        };
        self.desired.is_some()
            && self.leftovers.is_empty()
            && self.members.len() == wanted.len()
            && self.members.iter().all(is_done)
    }
}
