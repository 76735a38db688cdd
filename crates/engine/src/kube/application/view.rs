//! What the supervisor sees of an application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baetyl_proto::function::v1::Route;
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};

use super::{Application, Target};
use crate::kube::record::{Release, Role};
use crate::kube::spec::KubeSpec;
use crate::kube::status::{self, Asked};
use crate::route::{Routable, Routed};
use crate::spec::Claim;

/// The order that a view is about which was not seen yet: none.
const UNSEEN: u64 = 0;

/// What the supervisor sees of an application.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kube) struct View {
    /// Name of the application.
    pub(in crate::kube) name: String,
    /// The order that this is about.
    pub(in crate::kube) sequence: u64,
    pub(in crate::kube) status: Arc<ApplicationStatus>,
    /// The desired revision runs with the desired inputs, and nothing else is left.
    pub(in crate::kube) is_converged: bool,
    /// What only one application can have, and this one still has.
    pub(in crate::kube) claims: BTreeSet<Claim>,
    pub(in crate::kube) routes: Vec<Route>,
}

impl Application {
    /// Sends the view when it changed.
    pub(super) async fn show(&mut self) {
        let is_unseen = !self.sight.is_listed && self.blindness().is_none();
        let view = match is_unseen {
            true => self.recalled(),
            false => self.view(),
        };
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
        let situation = self.situation(serving.as_deref(), candidate.as_deref());
        let mut status = status::describe(&situation, self.asked());
        let is_clean = self.record.leaving.is_empty() && self.record.candidate.is_none();
        let is_converged = is_clean
            && matches!(self.order.target, Target::Run { .. })
            && status::is_converged(&status);
        let mut claims = BTreeSet::new();
        for spec in [&serving, &candidate].into_iter().flatten() {
            claims.extend(spec.claims.iter().cloned());
        }
        if self.has_leftovers() {
            // What is on its way out has its ports until it is gone.
            claims.append(&mut self.claims);
        }
        self.claims.clone_from(&claims);
        let before = self.record.reported.as_ref().map(|shown| shown.state);
        status::stamp(&mut status, &mut self.record, std::time::SystemTime::now());
        // Where it came to rest outlives the engine; what is on its way is not worth a write.
        let is_at_rest = !matches!(
            status.state(),
            ApplicationState::Progressing | ApplicationState::Unknown | ApplicationState::Removing
        );
        self.is_dirty |= is_at_rest && before != Some(status.state);
        View {
            name: self.record.application.clone(),
            sequence: self.order.sequence,
            is_converged,
            claims,
            routes: self.routes(serving.as_deref(), candidate.as_deref()),
            status: Arc::new(status),
        }
    }

    /// What is shown until the cluster was seen for the first time: what was reported before.
    fn recalled(&self) -> View {
        View {
            name: self.record.application.clone(),
            sequence: UNSEEN,
            status: Arc::new(status::recall(&self.record, self.asked().revision)),
            is_converged: false,
            claims: BTreeSet::new(),
            routes: Vec::new(),
        }
    }

    /// Whether something is there that no release has.
    fn has_leftovers(&self) -> bool {
        let is_left = |release: &str| self.record.releases().all(|one| one.label != release);
        let mut pods = self.sight.facts.pods.values();
        !self.record.leaving.is_empty() || pods.any(|pod| pod.is_deleting || is_left(&pod.release))
    }

    fn asked(&self) -> Asked<'_> {
        let none = Asked {
            revision: 0,
            pin: None,
            obstacle: None,
            is_removed: false,
            is_store_failing: self.blocked_until.is_some(),
            blindness: self.blindness(),
        };
        match &self.order.target {
            Target::Unknown => Asked {
                revision: self
                    .record
                    .releases()
                    .last()
                    .map_or(0, |last| last.pin.revision),
                ..none
            },
            Target::Run { pin, .. } => Asked {
                revision: pin.revision,
                pin: Some(pin),
                ..none
            },
            Target::Blocked { revision, obstacle } => Asked {
                revision: *revision,
                obstacle: Some(obstacle),
                ..none
            },
            Target::Absent { .. } => Asked {
                is_removed: true,
                ..none
            },
        }
    }

    /// Where calls of functions go: to what serves, and to the candidate once nothing else is left.
    fn routes(&self, serving: Option<&KubeSpec>, candidate: Option<&KubeSpec>) -> Vec<Route> {
        if matches!(self.order.target, Target::Absent { .. }) {
            return Vec::new();
        }
        let record = &self.record;
        let mut routes = BTreeMap::new();
        let mut add = |spec: &KubeSpec, active: &Routed, standby: &Routed| {
            for function in &spec.functions {
                let routable = Routable {
                    application: &record.application,
                    service: &function.name,
                    functions: function.functions.clone(),
                    timeout: function.timeout,
                };
                let route = routable.route(active, standby);
                routes.insert(function.name.clone(), route);
            }
        };
        let none = Routed::default();
        let old = record.release(Role::Serving).map(routed);
        let new = record.release(Role::Candidate).map(routed);
        match (serving.zip(old), candidate.zip(new)) {
            (Some((_, old)), Some((candidate, new))) if self.is_taken_over() => {
                add(candidate, &new, &old);
            }
            (Some((serving, old)), Some((candidate, new))) => {
                // Services that only the candidate has are known, and wait for it.
                add(candidate, &new, &none);
                add(serving, &old, &new);
            }
            (Some((spec, only)), None) | (None, Some((spec, only))) => add(spec, &only, &none),
            (None, None) => {
                // A function that failed is known and unavailable, not unknown.
                if let Target::Run { pin, spec } = &self.order.target {
                    add(spec, &Routed::any_of(pin.revision), &none);
                }
            }
        }
        routes.into_values().collect()
    }

    /// Whether the candidate's pods are all that can serve.
    fn is_taken_over(&self) -> bool {
        let label = |role| self.record.release(role).map(|one| one.label.as_str());
        let serves = |label: Option<&str>| {
            let mut pods = self.sight.facts.pods.values();
            pods.any(|pod| Some(pod.release.as_str()) == label && pod.is_ready && !pod.is_deleting)
        };
        serves(label(Role::Candidate)) && !serves(label(Role::Serving))
    }
}

/// What runtimes of a release attach as: the label of their pods.
fn routed(release: &Release) -> Routed {
    Routed {
        revision: release.revision,
        release: release.label.clone(),
    }
}
