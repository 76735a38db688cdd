//! What happens to a record. No change loses the key of an object that may exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::{
    Candidate, Failure, Happening, KubeRecord, MAX_EVENTS, MAX_PAST, Mark, Release, Reload, Role,
    is_data,
};
use baetyl_shadow::Digest;

use crate::desired::Pin;
use crate::kube::facts::ObjectFacts;
use crate::kube::object::ObjectKey;

/// What a pin was rendered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The pin.
    pub pin: Pin,
    /// Label of its pods.
    pub label: String,
    /// Revision that its pods name: that under which they were made, when they are there already.
    pub revision: u64,
    /// The objects.
    pub objects: BTreeSet<ObjectKey>,
    /// What rendered them.
    pub rendering: String,
    /// What pods are told when inputs that reload have changed.
    pub inputs: String,
}

impl KubeRecord {
    /// Starts to try a draft. A candidate that was there goes; its objects leave.
    pub(crate) fn begin(&mut self, draft: Draft, older_pods: BTreeSet<String>) {
        let old = self.candidate.take().map(|old| old.release);
        let release = Release {
            revision: draft.revision,
            taken: draft.pin.inputs.clone(),
            pin: draft.pin,
            label: draft.label,
            objects: draft.objects,
            is_applied: false,
            rendering: draft.rendering,
            reload: None,
            is_completed: false,
        };
        self.candidate = Some(Candidate {
            release,
            applied_at: None,
            older_pods,
        });
        self.failed = None;
        self.retire(old);
    }

    /// Stops trying the candidate, without calling it a failure; what serves is made right again.
    pub(crate) fn drop_candidate(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        if let Some(serving) = &mut self.serving {
            serving.is_applied = false;
        }
        self.retire(Some(candidate.release));
    }

    /// The candidate passed its gate.
    pub(crate) fn promote(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let pin = &candidate.release.pin;
        self.failed = self.failed.take().filter(|failed| failed.pin != *pin);
        let old = self.serving.replace(candidate.release);
        self.retire(old);
    }

    /// The pin failed. With `goes_back` what served before comes back, if there is any; otherwise
    /// what was applied stays.
    pub(crate) fn fail(&mut self, failure: Failure, goes_back: bool) {
        if goes_back && self.serving.is_some() {
            self.drop_candidate();
        }
        self.failed = Some(failure);
    }

    /// What serves failed for good: a job. Nothing serves any more, its objects stay.
    pub(crate) fn fail_serving(&mut self, failure: Failure, now: SystemTime) {
        self.drop_candidate();
        if let Some(release) = self.serving.take() {
            self.candidate = Some(Candidate {
                release,
                applied_at: Some(now),
                older_pods: BTreeSet::new(),
            });
        }
        self.failed = Some(failure);
    }

    /// A release goes on under another pin: no pod is replaced. `running` are the pods that must
    /// be told of changed files, with what they are told.
    pub(crate) fn repin(&mut self, role: Role, draft: Draft, running: Option<Reload>) {
        let Some(release) = self.release_mut(role) else {
            return;
        };
        let old = release.clone();
        release.pin = draft.pin;
        release.label = draft.label;
        release.revision = draft.revision;
        release.objects = draft.objects;
        release.rendering = draft.rendering;
        release.is_applied = false;
        release.reload = running.or_else(|| release.reload.take());
        // Under another pin a candidate that failed gets its time again.
        let has_failed = self.failed.as_ref().is_some_and(|one| one.pin == old.pin);
        if role == Role::Candidate && has_failed {
            self.retry();
        }
        self.retire(Some(old));
    }

    /// All objects of a release were applied.
    pub(crate) fn applied(&mut self, role: Role, at: SystemTime) {
        if let Some(release) = self.release_mut(role) {
            release.is_applied = true;
        }
        if role == Role::Candidate
            && let Some(candidate) = &mut self.candidate
            && candidate.applied_at.is_none()
        {
            candidate.applied_at = Some(at);
        }
    }

    /// Objects were applied.
    pub(crate) fn mark(&mut self, marks: BTreeMap<ObjectKey, Mark>) {
        self.conflicts.retain(|key, _| !marks.contains_key(key));
        self.marks.extend(marks);
    }

    /// Somebody declares a field of an object: what he made of it is no drift. The next revision
    /// asks for the field again.
    pub(crate) fn give_way(&mut self, key: &ObjectKey, object: &ObjectFacts, message: String) {
        if let Some(mark) = self.marks.get_mut(key) {
            mark.uid.clone_from(&object.uid);
            mark.resource_version.clone_from(&object.resource_version);
            mark.content.clone_from(&object.content);
            mark.digest = Digest::of(b"");
            self.conflicts.insert(key.clone(), message);
        }
    }

    /// Every pod of a release has what its pin says.
    pub(crate) fn take(&mut self, role: Role) {
        if let Some(release) = self.release_mut(role) {
            release.reload = None;
            release.taken = release.pin.inputs.clone();
        }
    }

    /// The serving job came to its end.
    pub(crate) fn complete(&mut self) {
        if let Some(serving) = &mut self.serving {
            serving.is_completed = true;
        }
    }

    /// The application goes: all objects leave, data only when that is wanted. `seen` are those
    /// that the watches know of.
    pub(crate) fn leave(&mut self, seen: BTreeSet<ObjectKey>, remove_data: bool) {
        let releases = [
            self.serving.take(),
            self.candidate.take().map(|old| old.release),
        ];
        for release in releases.into_iter().flatten() {
            self.remember(&release);
            self.leaving.extend(release.objects);
        }
        self.leaving.extend(seen);
        self.leaving.retain(|key| remove_data || !is_data(key));
        self.failed = None;
        self.renewals.clear();
    }

    /// These objects are gone.
    pub(crate) fn forget(&mut self, gone: &BTreeSet<ObjectKey>) {
        self.leaving.retain(|key| !gone.contains(key));
        self.tidy();
    }

    /// The candidate gets its time again, and all of it is applied again.
    pub(crate) fn retry(&mut self) {
        self.failed = None;
        if let Some(candidate) = &mut self.candidate {
            candidate.applied_at = None;
            candidate.release.is_applied = false;
        }
    }

    /// Notes an event; the same again only counts.
    pub(crate) fn note(&mut self, event: Happening) {
        let is_same = |known: &&mut Happening| {
            known.reason == event.reason
                && known.object == event.object
                && known.message == event.message
        };
        if let Some(known) = self.events.last_mut().filter(is_same) {
            known.at = event.at;
            known.count = known.count.saturating_add(1);
            return;
        }
        self.events.push(event);
        let excess = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..excess);
    }

    /// Forgets what is known of objects that are no more.
    fn tidy(&mut self) {
        let kept: BTreeSet<ObjectKey> = self.inventory().into_iter().cloned().collect();
        self.marks.retain(|key, _| kept.contains(key));
        self.conflicts.retain(|key, _| kept.contains(key));
    }

    pub(crate) fn release_mut(&mut self, role: Role) -> Option<&mut Release> {
        match role {
            Role::Serving => self.serving.as_mut(),
            Role::Candidate => self
                .candidate
                .as_mut()
                .map(|candidate| &mut candidate.release),
        }
    }

    /// Remembers how the pods of a release that is no more can be told.
    fn remember(&mut self, old: &Release) {
        self.past.retain(|(label, _)| *label != old.label);
        self.past.insert(0, (old.label.clone(), old.revision));
        self.past.truncate(MAX_PAST);
    }

    /// Objects of a release that is no more leave, unless another release has them; data stays
    /// where it is.
    fn retire(&mut self, old: Option<Release>) {
        if let Some(old) = &old {
            self.remember(old);
        }
        let wanted: BTreeSet<_> = self
            .releases()
            .flat_map(|release| release.objects.iter().map(identity))
            .map(|identity| identity.map(str::to_owned))
            .collect();
        let is_wanted = |key: &ObjectKey| wanted.contains(&identity(key).map(str::to_owned));
        let objects = old.into_iter().flat_map(|old| old.objects);
        self.leaving.extend(objects);
        self.leaving.retain(|key| !is_data(key) && !is_wanted(key));
        self.tidy();
    }
}

/// What an object is, whichever version of its API names it.
fn identity(key: &ObjectKey) -> [&str; 4] {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    [key.group(), &key.kind, namespace, &key.name]
}
