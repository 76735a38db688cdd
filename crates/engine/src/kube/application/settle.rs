//! What time and new sights do to what is known, before anything is planned.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Application, Target};
use crate::kube::health::is_seen;
use crate::kube::object::ObjectKey;
use crate::kube::plan::Attempt;
use crate::kube::record::Role;
use crate::kube::status;

/// How long a pod may outlive what kept it, until it is deleted by itself.
const STRAY_PATIENCE: Duration = Duration::from_secs(10);

/// What went well for so long begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

impl Application {
    /// Takes in what the watches show now.
    pub(super) fn look(&mut self) {
        self.sight.facts = self.facts.borrow_and_update().clone();
        self.sight.cluster = self.cluster.borrow_and_update().clone();
        self.sight.is_listed = *self.listed.borrow_and_update();
        let now = SystemTime::now();
        match (self.is_blind(), self.sight.blind_since) {
            (true, None) => {
                let since = self.sight.cluster.blind_since;
                self.sight.blind_since = Some(since.unwrap_or(now));
            }
            (false, Some(since)) => {
                self.sight.blind_since = None;
                self.excuse(since, now);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether nothing can be decided by what the watches show.
    pub(super) fn is_blind(&self) -> bool {
        let cluster = &self.sight.cluster;
        !self.sight.is_listed
            || cluster.blind_since.is_some()
            || cluster.forbidden.contains_key(&self.namespace())
    }

    /// Why the application cannot be judged, once that has been so for long enough.
    pub(super) fn blindness(&self) -> Option<&str> {
        if !self.sight.is_listed {
            let is_long = self.sight.started.elapsed() >= self.context.patience();
            let why = match self.sight.cluster.blind_reason.as_str() {
                "" => "the objects of the cluster have not been listed yet",
                why => why,
            };
            return is_long.then_some(why);
        }
        let (namespace, patience) = (self.namespace(), self.context.patience());
        status::blindness(&self.sight.cluster, &namespace, patience, SystemTime::now())
    }

    /// When blindness will have been long enough to be told.
    pub(super) fn patience_at(&self) -> Option<Instant> {
        if self.blindness().is_some() {
            return None;
        }
        if !self.sight.is_listed {
            return Some(self.sight.started + self.context.patience());
        }
        let since = self.sight.cluster.blind_since?;
        let blind = SystemTime::now().duration_since(since).unwrap_or_default();
        Some(Instant::now() + self.context.patience().saturating_sub(blind))
    }

    fn namespace(&self) -> String {
        let ordered = match &self.order.target {
            Target::Run { spec, .. } => Some(spec.clone()),
            Target::Unknown | Target::Blocked { .. } | Target::Absent { .. } => None,
        };
        let spec = ordered
            .or_else(|| self.spec(Role::Candidate))
            .or_else(|| self.spec(Role::Serving));
        let named = spec.map(|spec| spec.namespace.clone());
        let named = named.filter(|namespace| !namespace.is_empty());
        named.unwrap_or_else(|| self.context.settings.namespace.clone())
    }

    /// While nothing could be seen, the gate of the candidate had no time: nor had, most likely,
    /// the cluster.
    fn excuse(&mut self, since: SystemTime, now: SystemTime) {
        if let Some(candidate) = &mut self.record.candidate
            && let Some(applied_at) = &mut candidate.applied_at
        {
            let blind_from = since.max(*applied_at);
            *applied_at += now.duration_since(blind_from).unwrap_or_default();
            self.is_dirty = true;
        }
    }

    /// Drops what is over.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        let facts = self.sight.facts.clone();
        let marks = &self.record.marks;
        let is_waited_for = |key: &ObjectKey, until: &Instant| {
            let mark = marks.get(key);
            now < *until && mark.is_some_and(|mark| !is_seen(key, mark, &facts))
        };
        if !self.is_blind() {
            self.work
                .unseen
                .retain(|key, until| is_waited_for(key, until));
        }
        let is_fresh = |attempt: &Attempt| {
            let next_at = attempt.next_at;
            next_at.is_some_and(|next_at| now < next_at + FORGIVEN_AFTER)
        };
        self.work.repairs.retain(|_, attempt| is_fresh(attempt));
        let leaving = &self.record.leaving;
        self.work.removals.retain(|key, _| leaving.contains(key));
        let is_there = |uid: &String| facts.pods.values().any(|pod| pod.uid == *uid);
        self.work.recycled.retain(|uid, _| is_there(uid));
        self.work.deleted.retain(|uid| is_there(uid));
        self.forget_refusals();
        self.note_strays(now);
    }

    /// What failed for good, or is not wanted any more, is asked anew when it is wanted again.
    fn forget_refusals(&mut self) {
        let record = &self.record;
        let failed = record.failed.as_ref().map(|failed| &failed.pin);
        let wanted = match &self.order.target {
            Target::Run { pin, .. } => Some(pin).filter(|pin| Some(*pin) != failed),
            Target::Unknown | Target::Blocked { .. } | Target::Absent { .. } => None,
        };
        self.work.refused.retain(|refused| {
            let is_release = record.releases().any(|one| one.pin == refused.pin);
            is_release || wanted == Some(&refused.pin)
        });
    }

    /// Pods that outlive what kept them get a while to go by themselves.
    fn note_strays(&mut self, now: Instant) {
        let is_over = matches!(self.order.target, Target::Absent { .. })
            && self.record.leaving.is_empty()
            && self.record.current().is_none();
        if !is_over {
            return;
        }
        for pod in self
            .sight
            .facts
            .pods
            .values()
            .filter(|pod| !pod.is_deleting)
        {
            let recycled = &mut self.work.recycled;
            recycled.entry(pod.uid.clone()).or_insert(Attempt {
                count: 0,
                next_at: Some(now + STRAY_PATIENCE),
            });
        }
    }

    /// Somebody asks for another attempt.
    pub(super) fn retry(&mut self) {
        if self.record.failed.is_none() {
            return;
        }
        if self.record.is_candidate_failed() {
            self.work.obstructing = self.obstructions();
            self.record.retry();
        } else {
            self.record.failed = None;
        }
        self.work.refused.clear();
        self.is_dirty = true;
    }
}
