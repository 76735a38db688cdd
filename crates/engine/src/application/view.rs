//! What the supervisor sees of an application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baetyl_process::InstanceId;
use baetyl_proto::function::v1::Route;
use baetyl_proto::resource::v1::ApplicationStatus;
use tokio::time::Instant;

use super::{Application, Target};
use crate::logs::LogSource;
use crate::record::Role;
use crate::route::{Routable, Routed};
use crate::spec::{AppSpec, Claim, Run};
use crate::status;

/// What the supervisor sees of an application.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    /// Name of the application.
    pub(crate) name: String,
    /// The order that this is about.
    pub(crate) sequence: u64,
    pub(crate) status: Arc<ApplicationStatus>,
    /// The desired revision runs with the desired inputs, and nothing else is left.
    pub(crate) is_converged: bool,
    /// Something runs or may run.
    pub(crate) has_live: bool,
    /// What only one application can have, and this one still has.
    pub(crate) claims: BTreeSet<Claim>,
    pub(crate) routes: Vec<Route>,
    pub(crate) logs: Vec<LogSource>,
    /// Instances whose memory is worth sampling.
    pub(crate) running: Vec<InstanceId>,
    /// Some of them must be held to a memory limit.
    pub(crate) has_memory_limit: bool,
}

impl Application {
    /// Sends the view when it changed.
    pub(super) async fn show(&mut self) {
        let view = self.view();
        if self.shown.as_ref() == Some(&view) {
            return;
        }
        self.shown = Some(view.clone());
        // Without a receiver the engine has ended, and this task ends with it.
        let _ = self.views.send(view).await;
    }

    fn view(&mut self) -> View {
        let serving = self.spec(Role::Serving);
        let candidate = self.spec(Role::Candidate);
        let situation = self.situation(
            &self.observed,
            serving.as_deref(),
            candidate.as_deref(),
            Instant::now(),
        );
        let machine = &self.context.config.machine;
        let mut status = status::describe(&situation, self.asked(), machine);
        let has_live = self.has_live();
        let has_strays = self
            .observed
            .instances
            .iter()
            .any(|(id, seen)| seen.phase.is_live() && self.record.slot_of(id).is_none());
        let is_converged = !has_strays
            && matches!(self.order.target, Target::Run { .. })
            && status::is_converged(&status);
        let mut claims = BTreeSet::new();
        for spec in [&serving, &candidate].into_iter().flatten() {
            claims.extend(spec.claims());
        }
        if has_strays || (claims.is_empty() && has_live) {
            // What is on its way out has its ports until it is gone.
            claims.append(&mut self.claims);
        }
        self.claims.clone_from(&claims);
        self.stamp(&mut status);
        View {
            name: self.record.application.clone(),
            sequence: self.order.sequence,
            is_converged,
            has_live,
            claims,
            routes: self.routes(serving.as_deref(), candidate.as_deref()),
            logs: self.sources(),
            running: self.running(),
            has_memory_limit: [&serving, &candidate]
                .into_iter()
                .flatten()
                .any(|spec| has_memory_limit(spec)),
            status: Arc::new(status),
        }
    }

    /// Fills in since when the state is what it is.
    fn stamp(&mut self, status: &mut ApplicationStatus) {
        let since = match self.record.reported {
            Some((state, since)) if state == status.state => since,
            Some(_) | None => Self::now(),
        };
        // Stored with whatever changes next: not worth a write of its own.
        self.record.reported = Some((status.state, since));
        status.transition_time = Some(status::timestamp(since));
    }

    fn routes(&self, serving: Option<&AppSpec>, candidate: Option<&AppSpec>) -> Vec<Route> {
        let mut routes: BTreeMap<String, Route> = BTreeMap::new();
        let mut add = |spec: &AppSpec, active: &Routed, standby: &Routed| {
            for service in &spec.services {
                let Run::Functions {
                    functions, timeout, ..
                } = &service.run
                else {
                    continue;
                };
                let routable = Routable {
                    application: &self.record.application,
                    service: &service.name,
                    functions: functions.iter().map(|(name, _)| name.clone()).collect(),
                    timeout: *timeout,
                };
                let route = routable.route(active, standby);
                routes.insert(service.name.clone(), route);
            }
        };
        if matches!(self.order.target, Target::Absent { .. }) {
            return Vec::new();
        }
        let none = Routed::default();
        let old = serving.zip(self.routed(Role::Serving));
        let new = candidate.zip(self.routed(Role::Candidate));
        match (old, new) {
            (Some((serving, old)), Some((candidate, new))) if self.is_displaced() => {
                add(serving, &old, &none);
                add(candidate, &new, &none);
            }
            (Some((serving, old)), Some((candidate, new))) => {
                // Services that only the candidate has are known, and wait for it.
                add(candidate, &new, &none);
                add(serving, &old, &new);
            }
            (Some((spec, only)), None) | (None, Some((spec, only))) => add(spec, &only, &none),
            (None, None) => {
                // A function that failed is known and unavailable, not unknown.
                let is_new = self.record.releases().next().is_none();
                if is_new && let Target::Run { pin, spec } = &self.order.target {
                    add(spec, &Routed::any_of(pin.revision), &none);
                }
            }
        }
        routes.into_values().collect()
    }

    /// What runtimes of a release attach as: with what they were told.
    fn routed(&self, role: Role) -> Option<Routed> {
        let release = self.record.release(role)?;
        Some(Routed {
            revision: release.told_revision(),
            release: self.key(release.number).label(),
        })
    }

    /// Whether what serves is stopped for the candidate, so that nothing else can take calls.
    fn is_displaced(&self) -> bool {
        let candidate = self.record.candidate.as_ref();
        candidate.is_some_and(|candidate| candidate.is_exclusive)
    }

    /// Instances whose logs exist: those of the releases, and the past ones that are kept.
    fn sources(&self) -> Vec<LogSource> {
        let past = self.record.past.iter().map(|past| LogSource {
            id: past.id.clone(),
            service: past.service.clone(),
        });
        let slots = self.record.releases().flat_map(|release| &release.slots);
        let current = slots.filter_map(|slot| {
            Some(LogSource {
                id: slot.instance.clone()?,
                service: slot.service.clone(),
            })
        });
        past.chain(current).collect()
    }

    fn running(&self) -> Vec<InstanceId> {
        let instances = self.observed.instances.iter();
        instances
            .filter(|(_, seen)| matches!(seen.phase, crate::observed::Phase::Running(_)))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

fn has_memory_limit(spec: &AppSpec) -> bool {
    let mut services = spec.services.iter();
    services.any(|service| service.limits.memory_bytes.is_some())
}
