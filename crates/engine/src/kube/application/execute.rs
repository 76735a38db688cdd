//! Carries out a plan: the record first, durably, then what is visible.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use baetyl_service_kit::telemetry::propagation;
use tracing::Instrument as _;

use super::operation::{self, Basis, Purpose};
use super::{Application, Target};
use crate::crash;
use crate::desired::Pin;
use crate::kube::cluster::ApplyOptions;
use crate::kube::health::own_pods;
use crate::kube::object::ObjectKey;
use crate::kube::plan::{Action, Failing};
use crate::kube::record::{Draft, Failure, Happening, KubeRecord, Reload, Role};
use crate::reason;

/// A visible step that waits for the record to be durable.
enum Effect {
    Prepare(Pin),
    Apply(Role),
    Again {
        objects: BTreeSet<ObjectKey>,
        services: BTreeSet<String>,
    },
    Touch(Vec<(String, String)>, String),
    Delete(Purpose, BTreeMap<ObjectKey, Option<String>>),
    Remove,
}

impl Application {
    /// Carries out actions; false when the record could not be made durable, and nothing was done.
    pub(super) async fn execute(&mut self, actions: Vec<Action>) -> bool {
        let mut record = self.record.clone();
        let mut effects = Vec::new();
        let mut is_switch = false;
        for action in actions {
            is_switch |= action == Action::Promote;
            effects.extend(self.change(&mut record, action));
        }
        if self.is_dirty || record != self.record {
            crash::point(if is_switch {
                "before_switch"
            } else {
                "before_persist"
            });
            if !self.save(&record).await {
                return false;
            }
            crash::point(if is_switch {
                "after_switch"
            } else {
                "after_persist"
            });
            self.is_dirty = false;
            self.record = record;
            self.follow();
        }
        for effect in effects {
            self.perform(effect);
        }
        true
    }

    /// Makes one change of the record; what is visible is returned.
    fn change(&self, record: &mut KubeRecord, action: Action) -> Option<Effect> {
        match action {
            Action::Prepare(pin) => return Some(Effect::Prepare(pin)),
            Action::Apply(role) => return Some(Effect::Apply(role)),
            Action::Repair(objects) => {
                let services = BTreeSet::new();
                return Some(Effect::Again { objects, services });
            }
            Action::Renew(services) => {
                let objects = BTreeSet::new();
                return Some(Effect::Again { objects, services });
            }
            Action::Touch(pods, inputs) => return Some(Effect::Touch(pods, inputs)),
            Action::Prune(targets) => return Some(Effect::Delete(Purpose::Prune, targets)),
            Action::Recycle(pods) => return Some(Effect::Delete(Purpose::Recycle, known(pods))),
            Action::Clear(objects) => return Some(Effect::Delete(Purpose::Clear, known(objects))),
            Action::Remove => return Some(Effect::Remove),
            Action::Begin(draft) => {
                let pods = self.sight.facts.pods.values();
                record.begin(draft, pods.map(|pod| pod.uid.clone()).collect());
            }
            Action::Repin(role, draft) => {
                let reload = self.reload(role, &draft);
                record.repin(role, draft, reload);
            }
            Action::Forgive => record.failed = None,
            Action::Drop => record.drop_candidate(),
            Action::Promote => self.promote(record),
            Action::Fail(failing) => self.fail(record, failing),
            Action::FailServing(failing) => {
                self.tell_failure(record, &failing);
                record.fail_serving(failure(failing), SystemTime::now());
            }
            Action::Complete => record.complete(),
            Action::Take(role) => self.take(record, role),
            Action::Leave { seen, remove_data } => record.leave(seen, remove_data),
        }
        None
    }

    /// The pods that must be told when a release goes on under a draft, as far as its inputs
    /// differ.
    fn reload(&self, role: Role, draft: &Draft) -> Option<Reload> {
        let release = self.record.release(role)?;
        let spec = self.spec(role)?;
        let is_told = release.pin.inputs == draft.pin.inputs || release.label != draft.label;
        if is_told || !spec.labels_pods() {
            return None;
        }
        let situation = self.situation(Some(&spec), Some(&spec));
        let pods = own_pods(&situation.subject(role)?);
        Some(Reload {
            inputs: draft.inputs.clone(),
            pods: pods.map(|(_, pod)| pod.uid.clone()).collect(),
        })
    }

    fn promote(&self, record: &mut KubeRecord) {
        let was_failed = record.is_candidate_failed();
        record.promote();
        let revision = record.serving.as_ref().map_or(0, |one| one.pin.revision);
        tracing::info!(
            app.name = record.application,
            app.revision = revision,
            "revision serves"
        );
        let message = match was_failed {
            true => format!("revision {revision} became ready after all, and serves"),
            false => format!("revision {revision} serves"),
        };
        note(record, false, reason::PROMOTED, message);
    }

    fn fail(&self, record: &mut KubeRecord, failing: Failing) {
        self.tell_failure(record, &failing);
        let goes_back = failing.goes_back;
        record.fail(failure(failing), goes_back);
    }

    fn tell_failure(&self, record: &mut KubeRecord, failing: &Failing) {
        let Failing {
            pin,
            reason,
            message,
            goes_back,
        } = failing;
        tracing::warn!(
            app.name = record.application,
            app.revision = pin.revision,
            reason,
            detail = message,
            "revision failed"
        );
        let revision = pin.revision;
        let serving = record.serving.as_ref().map(|one| one.pin.revision);
        let has_candidate = record.candidate.is_some();
        match serving {
            Some(old) if has_candidate && *goes_back => {
                let text = format!("back to revision {old}, since {revision} failed: {message}");
                note(record, true, reason::ROLLED_BACK, text);
            }
            Some(old) if !has_candidate => {
                let text = format!("revision {old} stays, since {revision} failed: {message}");
                note(record, true, reason::REVISION_FAILED, text);
            }
            Some(_) | None => {
                let text = format!("revision {revision} failed: {message}");
                note(record, true, reason::REVISION_FAILED, text);
            }
        }
    }

    fn take(&self, record: &mut KubeRecord, role: Role) {
        record.take(role);
        let revision = record.release(role).map_or(0, |one| one.pin.revision);
        let message = format!("instances of revision {revision} have the changed inputs");
        note(record, false, reason::RELOADED, message);
    }

    fn perform(&mut self, effect: Effect) {
        let context = self.context.clone();
        self.work.is_busy = true;
        self.underway = None;
        match effect {
            Effect::Prepare(pin) => self.prepare(pin),
            Effect::Apply(role) => self.apply(role),
            Effect::Again { objects, services } => {
                let pin = self
                    .record
                    .current()
                    .map(|(_, release)| release.pin.clone());
                match pin {
                    Some(pin) => {
                        let basis = self.basis(pin);
                        let repairing = operation::repair(basis, objects, services);
                        self.operations.spawn(repairing);
                    }
                    None => self.work.is_busy = false,
                }
            }
            Effect::Touch(pods, inputs) => {
                self.operations
                    .spawn(operation::touch(context, pods, inputs));
            }
            Effect::Delete(purpose, targets) => {
                let application = self.record.application.clone();
                let deleting = operation::delete(context, purpose, application, targets);
                self.operations.spawn(deleting);
            }
            Effect::Remove => {
                let application = self.record.application.clone();
                self.operations
                    .spawn(operation::remove(context, application));
            }
        }
    }

    fn prepare(&mut self, pin: Pin) {
        self.prepared = None;
        self.work.draft = None;
        let span = self.span("prepare application", &pin);
        self.underway = Some(pin.clone());
        let preparing = operation::prepare(self.basis(pin));
        self.operations.spawn(preparing.instrument(span));
    }

    fn apply(&mut self, role: Role) {
        let release = self.record.release(role);
        let pin = release.map(|release| release.pin.clone());
        self.work.draft = None;
        // The plan applies only what was prepared.
        let (Some(prepared), Some(pin)) = (self.prepared.take(), pin) else {
            self.work.is_busy = false;
            return;
        };
        let span = self.span("apply application", &pin);
        let options = self.options(&pin);
        let facts = self.sight.facts.clone();
        self.underway = Some(pin);
        let applying = operation::apply(self.context.clone(), role, prepared, facts, options);
        self.operations.spawn(applying.instrument(span));
    }

    /// What is done for the ordered pin belongs to the trace of who ordered it.
    fn span(&self, name: &'static str, pin: &Pin) -> tracing::Span {
        let span = tracing::info_span!(
            "application",
            otel.name = name,
            app.name = self.record.application,
            app.revision = pin.revision,
        );
        let is_ordered =
            matches!(&self.order.target, Target::Run { pin: ordered, .. } if ordered == pin);
        if is_ordered && let Some(cause) = &self.order.cause {
            propagation::set_parent_from_traceparent(&span, cause);
        }
        span
    }

    fn basis(&self, pin: Pin) -> Basis {
        let own = self.record.releases().find(|release| release.pin == pin);
        Basis {
            context: self.context.clone(),
            known: self.known_labels(),
            marks: self.record.marks.clone(),
            unseen: self.work.unseen.clone(),
            renewals: self.record.renewals.clone(),
            facts: self.sight.facts.clone(),
            is_completed: own.is_some_and(|release| release.is_completed),
            first_replicas: self
                .specs
                .known
                .get(&pin.digest)
                .and_then(|spec| spec.first_replicas),
            options: self.options(&pin),
            pin,
        }
    }

    /// Labels of pods that may be there, with the revision that they name.
    fn known_labels(&self) -> Vec<(String, u64)> {
        let facts = &self.sight.facts;
        // What was applied and is not seen yet, or by an operation that never told, may be of any of
        // them.
        let current = self.record.current();
        let is_settled = current.is_some_and(|(_, release)| release.is_applied);
        let is_unsure = !is_settled || !self.work.unseen.is_empty();
        let may_be_there = |label: &str| {
            is_unsure
                || facts.pods.values().any(|pod| pod.release == label)
                || facts.objects.values().any(|object| object.release == label)
        };
        let releases: Vec<_> = self.record.releases().collect();
        // The newest first: of two with the same label its pods are the ones that are there.
        let releases = releases.into_iter().rev();
        let current = releases.map(|one| (one.label.clone(), one.revision));
        let past = self.record.past.iter();
        let past = past.filter(|(label, _)| may_be_there(label)).cloned();
        current.chain(past).collect()
    }

    fn options(&self, pin: &Pin) -> ApplyOptions {
        let spec = self.specs.known.get(&pin.digest);
        ApplyOptions {
            force_conflicts: spec.is_some_and(|spec| spec.force_conflicts),
        }
    }
}

fn known(targets: BTreeMap<ObjectKey, String>) -> BTreeMap<ObjectKey, Option<String>> {
    let targets = targets.into_iter();
    targets.map(|(key, uid)| (key, Some(uid))).collect()
}

fn failure(failing: Failing) -> Failure {
    Failure {
        pin: failing.pin,
        reason: failing.reason.to_owned(),
        message: failing.message,
        at: SystemTime::now(),
    }
}

/// Notes an event about the application itself.
fn note(record: &mut KubeRecord, is_warning: bool, reason: &str, message: String) {
    record.note(Happening {
        at: SystemTime::now(),
        is_warning,
        reason: reason.to_owned(),
        message,
        object: String::new(),
        count: 1,
    });
}
