//! Takes in how operations ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::task::JoinError;
use tokio::time::Instant;

use super::Application;
use super::operation::{Done, Outcome, Prepared, Purpose, Setback};
use crate::desired::Pin;
use crate::kube::cluster::Deleted;
use crate::kube::health::{own_pods, pod_name};
use crate::kube::object::ObjectKey;
use crate::kube::plan::{Attempt, Refused};
use crate::kube::record::{Happening, Role};
use crate::reason;

/// How long the watches may take to show what was applied.
const SIGHT_BOUND: Duration = Duration::from_secs(30);

/// Pauses between two repairs of the same object.
const REPAIR_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Pauses between two looks at what is on its way out.
const REMOVAL_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Pauses between two deletions of the same pod, and two words to the same pods.
const POD_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// What the cluster refuses for good, and is to be the case all the same, is tried this often.
const FINAL_PAUSE: Duration = Duration::from_secs(300);

impl Application {
    pub(super) fn take_outcome(&mut self, outcome: Result<Outcome, JoinError>) {
        self.work.is_busy = false;
        self.underway = None;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // Another order ended it.
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(
                    app.name = self.record.application,
                    error = %error,
                    "operation of an application died"
                );
                self.blocked_until = Some(Instant::now() + self.context.pause(super::MAX_FAILURES));
                return;
            }
        };
        match outcome {
            Outcome::Prepared { pin, result } => self.take_prepared(pin, result),
            Outcome::Applied {
                role,
                done,
                replaced,
                hooks,
                result,
            } => {
                for key in &replaced {
                    let message = "a field of it cannot be changed in place";
                    self.note(false, reason::REPLACED, message, key);
                }
                for key in &hooks {
                    let message = "hooks of charts are not run";
                    self.note(true, reason::HOOK_SKIPPED, message, key);
                }
                self.take_applied(role, done, result);
            }
            Outcome::Repaired {
                asked,
                done,
                changed,
                failures,
                failure,
                is_renewal,
            } => {
                self.tell_repaired(&asked, &changed);
                self.take_repaired(done, &failures, is_renewal);
                if let Some(setback) = failure {
                    self.warn(&setback, "objects were not made right");
                }
            }
            Outcome::Touched(result) => {
                // Successful or not, the pods tell; they are asked again when they do not.
                let (first, longest) = POD_PAUSE;
                self.work.touches.again(Instant::now(), first, longest);
                if let Err(setback) = result {
                    self.warn(&setback, "pods were not told of changed inputs");
                }
            }
            Outcome::Deleted {
                purpose,
                targets,
                result,
            } => self.take_deleted(purpose, targets, result),
            Outcome::Removed => {
                self.context
                    .watches
                    .follow(&self.record.application, BTreeSet::new());
                self.is_removed = true;
            }
        }
    }

    fn take_prepared(&mut self, pin: Pin, result: Result<Box<Prepared>, Setback>) {
        match result {
            Ok(prepared) => {
                self.work.draft = Some(prepared.draft.clone());
                self.prepared = Some(*prepared);
            }
            Err(setback) => self.refuse(pin, &setback),
        }
    }

    /// Notes that a pin could not be prepared or applied, and when to try again.
    fn refuse(&mut self, pin: Pin, setback: &Setback) {
        let before = self.work.refused(&pin);
        let failures = before.map_or(0, |before| before.failures);
        let since = before.map_or_else(Instant::now, |before| before.since);
        let refusal = &setback.refusal;
        // It is tried again and again; once is enough to tell.
        if before.is_none_or(|before| before.refusal != *refusal) {
            self.warn(setback, "revision was not accepted");
        }
        let pause = match refusal.is_final {
            true => FINAL_PAUSE,
            false => self.context.pause(failures),
        };
        self.work.refuse(Refused {
            pin,
            refusal: refusal.clone(),
            retry_at: Instant::now() + setback.retry_after.map_or(pause, |least| least.max(pause)),
            failures: failures.saturating_add(1),
            since,
        });
    }

    fn take_applied(&mut self, role: Role, done: Done, result: Result<(), Setback>) {
        let pin = done.pin.clone();
        self.take_done(done);
        // A candidate that was replaced by another one meanwhile has nothing of this.
        let release = self.record.release(role);
        let is_same = release.is_some_and(|release| Some(&release.pin) == pin.as_ref());
        match result {
            Ok(()) if is_same => {
                self.record.applied(role, SystemTime::now());
                if let Some(pin) = &pin {
                    self.work.accept(pin);
                }
                self.work.touches = Attempt::default();
            }
            Ok(()) => {}
            Err(setback) => {
                if let Some(pin) = pin {
                    self.refuse(pin, &setback);
                }
            }
        }
    }

    /// Notes what objects are now.
    fn take_done(&mut self, done: Done) {
        let until = Instant::now() + SIGHT_BOUND;
        for key in done.marks.keys() {
            self.work.unseen.insert(key.clone(), until);
        }
        self.is_dirty |= !done.marks.is_empty() || !done.renewals.is_empty();
        self.record.mark(done.marks);
        self.record.renewals.extend(done.renewals);
    }

    /// Notes what was made right, and lets the next time wait.
    fn tell_repaired(&mut self, asked: &BTreeSet<ObjectKey>, changed: &BTreeSet<ObjectKey>) {
        for key in asked {
            let (first, longest) = REPAIR_PAUSE;
            let attempt = self.work.repairs.entry(key.clone()).or_default();
            attempt.again(Instant::now(), first, longest);
        }
        for key in changed.intersection(asked) {
            tracing::info!(
                app.name = self.record.application,
                object = %key,
                "object was made right again"
            );
            let message = "somebody changed or removed it";
            self.note(true, reason::REPAIRED, message, key);
        }
    }

    fn take_repaired(
        &mut self,
        done: Done,
        failures: &BTreeMap<ObjectKey, Setback>,
        is_renewal: bool,
    ) {
        if is_renewal {
            let (first, longest) = REMOVAL_PAUSE;
            match done.renewals.is_empty() {
                true => self.work.renewals.again(Instant::now(), first, longest),
                false => self.work.renewals = Attempt::default(),
            }
        }
        for (key, setback) in failures {
            self.warn(setback, "object was not made right");
            if setback.refusal.reason == reason::FIELD_CONFLICT {
                self.give_way(key, setback);
            }
        }
        self.take_done(done);
    }

    /// Somebody declares a field: it stays as it is until he, or the application, changes.
    fn give_way(&mut self, key: &ObjectKey, setback: &Setback) {
        let message = setback.refusal.message.clone();
        self.note(true, reason::FIELD_CONFLICT, &message, key);
        if let Some(object) = self.sight.facts.object(key) {
            self.record.give_way(key, object, message);
        }
    }

    fn take_deleted(
        &mut self,
        purpose: Purpose,
        targets: BTreeMap<ObjectKey, Option<String>>,
        result: Result<Deleted, Setback>,
    ) {
        if purpose != Purpose::Prune {
            self.take_recycled(targets, result);
            return;
        }
        let deleted = match result {
            Ok(deleted) => deleted,
            Err(setback) => {
                self.warn(&setback, "objects were not deleted; trying again");
                let keys = targets.into_keys().collect();
                self.postpone(keys);
                return;
            }
        };
        let mut gone: BTreeSet<ObjectKey> = deleted.gone.into_iter().collect();
        for (key, why) in deleted.kept {
            tracing::warn!(
                app.name = self.record.application,
                object = %key,
                detail = why,
                "object is left where it is"
            );
            self.note(true, reason::KEPT, &why, &key);
            gone.insert(key.clone());
            self.work.kept.insert(key);
        }
        self.record.forget(&gone);
        self.is_dirty |= !gone.is_empty();
        let rest = deleted.terminating.into_iter().chain(deleted.waiting);
        self.postpone(rest.collect());
    }

    /// Pods were deleted, and jobs that failed: others are to be made in their place.
    fn take_recycled(
        &mut self,
        targets: BTreeMap<ObjectKey, Option<String>>,
        result: Result<Deleted, Setback>,
    ) {
        self.work.obstructing.clear();
        let is_done = result.is_ok();
        if let Err(setback) = result {
            self.warn(&setback, "pods were not deleted");
        }
        for (key, uid) in targets {
            match uid.filter(|_| key.kind == "Pod") {
                Some(uid) => {
                    let (first, longest) = POD_PAUSE;
                    let attempt = self.work.recycled.entry(uid.clone()).or_default();
                    attempt.again(Instant::now(), first, longest);
                    if is_done {
                        self.work.deleted.insert(uid);
                    }
                }
                None if is_done => {
                    self.record.marks.remove(&key);
                    self.is_dirty = true;
                }
                None => {}
            }
        }
    }

    fn postpone(&mut self, keys: Vec<ObjectKey>) {
        let (first, longest) = REMOVAL_PAUSE;
        for key in keys {
            let attempt = self.work.removals.entry(key).or_default();
            attempt.again(Instant::now(), first, longest);
        }
    }

    /// What keeps a candidate that failed from another attempt: its jobs, and its pods that wait
    /// longer and longer.
    pub(super) fn obstructions(&self) -> BTreeMap<ObjectKey, String> {
        let spec = self.spec(Role::Candidate);
        let situation = self.situation(None, spec.as_deref());
        let Some(subject) = situation.subject(Role::Candidate) else {
            return BTreeMap::new();
        };
        let jobs = subject
            .release
            .objects
            .iter()
            .filter(|key| key.kind == "Job");
        let jobs = jobs.filter_map(|key| {
            let seen = self.sight.facts.object(key)?;
            Some((key.clone(), seen.uid.clone()))
        });
        let pods = own_pods(&subject).filter(|(_, pod)| !pod.is_ready);
        let pods = pods.map(|(name, pod)| {
            let key = ObjectKey::namespaced("v1", "Pod", &pod.namespace, pod_name(name));
            (key, pod.uid.clone())
        });
        jobs.chain(pods).collect()
    }

    /// Notes an event about an object.
    fn note(&mut self, is_warning: bool, reason: &str, message: &str, object: &ObjectKey) {
        self.record.note(Happening {
            at: SystemTime::now(),
            is_warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
            object: object.to_string(),
            count: 1,
        });
        self.is_dirty = true;
    }

    fn warn(&self, setback: &Setback, what: &'static str) {
        tracing::warn!(
            app.name = self.record.application,
            reason = setback.refusal.reason,
            detail = setback.refusal.message,
            what,
            "operation failed"
        );
    }
}
