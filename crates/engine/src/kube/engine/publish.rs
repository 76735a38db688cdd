//! The levels that the engine shows; each tells of changes only.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Member, Mode, Supervisor};
use crate::desired::Wanted;
use crate::handle::{EngineStatus, Routes};

/// The receiving ends.
pub(super) struct Levels {
    pub(super) status: watch::Receiver<Arc<EngineStatus>>,
    pub(super) routes: watch::Receiver<Option<Arc<Routes>>>,
}

/// The sending ends.
pub(super) struct Publisher {
    status: watch::Sender<Arc<EngineStatus>>,
    routes: watch::Sender<Option<Arc<Routes>>>,
}

pub(super) fn channels() -> (Publisher, Levels) {
    let (status, status_receiver) = watch::channel(Arc::default());
    let (routes, routes_receiver) = watch::channel(None);
    let levels = Levels {
        status: status_receiver,
        routes: routes_receiver,
    };
    (Publisher { status, routes }, levels)
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
            let members = self.members.values();
            members.filter_map(|member| member.view.as_ref())
        };
        let status = EngineStatus {
            desired: self.desired.as_ref().map(|desired| desired.set.fence),
            converged: self.converged,
            applications: views()
                .map(|view| (view.name.clone(), view.status.clone()))
                .collect(),
        };
        let is_known =
            self.desired.is_some() && self.members.values().all(|one| self.is_current(one));
        let routes = is_known.then(|| {
            let mut routes: Routes = views().flat_map(|view| view.routes.clone()).collect();
            routes.sort_by(|one, other| one.service.cmp(&other.service));
            routes.dedup_by(|one, other| one.service == other.service);
            routes
        });
        replace(&self.publisher.status, Arc::new(status));
        // What is not known leaves the routes as they are.
        if let Some(routes) = routes {
            replace(&self.publisher.routes, Some(Arc::new(routes)));
        }
    }

    /// Whether a member has answered to the newest order.
    fn is_current(&self, member: &Member) -> bool {
        let view = member.view.as_ref();
        view.is_some_and(|view| view.sequence == self.sequence)
    }

    /// Whether everything desired runs, and nothing else.
    fn is_converged(&self) -> bool {
        let wanted = names(self.desired.as_deref());
        let is_done = |(name, member): (&String, &Member)| {
            let view = member.view.as_ref();
            wanted.contains(name.as_str())
                && self.is_current(member)
                && view.is_some_and(|view| view.is_converged)
        };
        self.desired.is_some()
            && *self.listed.borrow()
            && self.members.len() == wanted.len()
            && self.members.iter().all(is_done)
            && self.strays().is_empty()
    }
}
