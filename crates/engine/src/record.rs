//! What is durable about one application: what serves, what is being tried, what failed.
//!
//! The record is written before anything visible happens, so it always names every instance that
//! may exist. Changes are pure functions here; the engine persists the result and then acts.

use std::collections::BTreeMap;
use std::time::SystemTime;

use baetyl_process::InstanceId;
use baetyl_shadow::Digest;
use serde::{Deserialize, Serialize};

use crate::dependency::StoredRecord;
use crate::desired::Pin;
use crate::driver::Termination;
use crate::spec::AppSpec;

/// Raised when an older engine would misread the record.
const VERSION: u32 = 1;

/// Ended instances whose logs are kept, per application.
const MAX_PAST: usize = 8;

/// Everything durable about one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    version: u32,
    /// Name of the application.
    pub application: String,
    /// Number of the next release.
    next_release: u64,
    /// What passed its gate last.
    pub serving: Option<Release>,
    /// What is on its way through the gate.
    pub candidate: Option<Candidate>,
    /// What was tried last and failed.
    pub failed: Option<Failure>,
    /// Ended instances whose logs are kept, oldest first.
    pub past: Vec<PastInstance>,
    /// The last state that was reported (number in the contract), and since when.
    pub reported: Option<(i32, SystemTime)>,
}

/// A pin that was given instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Never used twice in an application.
    pub number: u64,
    /// What it runs. Reloaded inputs change in place, all else stays.
    pub pin: Pin,
    /// Revision under which it was begun. Its instances say so, also after a later revision that
    /// changed nothing they run; 0 in records from before it was kept.
    #[serde(default)]
    pub begun_revision: u64,
    /// One per copy of each service.
    pub slots: Vec<Slot>,
}

/// A release that has not passed its gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The release.
    pub release: Release,
    /// What serves is stopped meanwhile, since both want the same port.
    pub is_exclusive: bool,
}

/// One copy of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Name of the service.
    pub service: String,
    /// Which copy, from 0.
    pub index: u32,
    /// The instance that was started last.
    pub instance: Option<InstanceId>,
    /// Ports by name, fixed and allocated ones.
    pub ports: BTreeMap<String, u16>,
    /// How often it was started again.
    pub restarts: u32,
    /// Failures in a row.
    pub failures: u32,
    /// It came to its wanted end and is not started again.
    pub is_completed: bool,
    /// How the last instance ended.
    pub last_termination: Option<Termination>,
}

/// A pin that failed; it stays so until its digests or its retry counter change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried.
    pub pin: Pin,
    /// Stable word from [`crate::reason`].
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// An instance that is no longer wanted; its log is kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastInstance {
    /// Its id.
    pub id: InstanceId,
    /// Name of its service.
    pub service: String,
    /// Revision of the application.
    pub revision: u64,
}

/// Which of the two releases of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// What passed its gate.
    Serving,
    /// What is on its way.
    Candidate,
}

/// A stored record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The text is no record.
    #[error("the record cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// A newer engine wrote it.
    #[error("the record has version {0}, which this engine does not know")]
    Version(u32),
    /// Another kind of engine wrote it: the node ran applications in another way before.
    #[error("the record was written by an engine for {0:?}; remove the node's applications first")]
    Engine(String),
}

/// What every record says of itself, whoever wrote it.
#[derive(Deserialize)]
struct Header {
    version: u32,
    /// Only records of processes say nothing.
    #[serde(default = "Header::process")]
    engine: String,
}

impl Header {
    fn process() -> String {
        "process".to_owned()
    }
}

/// Checks that a record was written by this kind of engine, in a version that it knows.
///
/// # Errors
/// [`RecordError`].
pub(crate) fn check_header(text: &[u8], engine: &str, version: u32) -> Result<(), RecordError> {
    let header: Header = serde_json::from_slice(text)?;
    if header.engine != engine {
        return Err(RecordError::Engine(header.engine));
    }
    if header.version > version {
        return Err(RecordError::Version(header.version));
    }
    Ok(())
}

impl AppRecord {
    /// A record of an application of which nothing is known yet.
    #[must_use]
    pub fn new(application: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            application: application.into(),
            next_release: 1,
            serving: None,
            candidate: None,
            failed: None,
            past: Vec::new(),
            reported: None,
        }
    }

    /// Writes the form in which it is stored. It holds digests, ids and numbers, nothing secret.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and maps with text keys are always json")
    }

    /// Reads what [`Self::encode`] wrote, now or in an earlier release.
    ///
    /// # Errors
    /// [`RecordError`]; the store should say which application it is about.
    pub fn decode(text: &[u8]) -> Result<Self, RecordError> {
        check_header(text, "process", VERSION)?;
        Ok(serde_json::from_slice(text)?)
    }

    /// Returns what is stored.
    #[must_use]
    pub fn stored(&self) -> StoredRecord {
        StoredRecord {
            application: self.application.clone(),
            bytes: self.encode(),
            references: self.referenced_digests(),
        }
    }

    /// Returns every body that must be kept to go on, or to go back.
    #[must_use]
    pub fn referenced_digests(&self) -> Vec<Digest> {
        let mut digests: Vec<Digest> = self
            .releases()
            .flat_map(|release| release.pin.digests().copied())
            .collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    /// Returns the releases that exist, the serving one first.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.release);
        self.serving.iter().chain(candidate)
    }

    /// Returns a release.
    #[must_use]
    pub fn release(&self, role: Role) -> Option<&Release> {
        match role {
            Role::Serving => self.serving.as_ref(),
            Role::Candidate => self.candidate.as_ref().map(|candidate| &candidate.release),
        }
    }

    fn release_mut(&mut self, role: Role) -> Option<&mut Release> {
        match role {
            Role::Serving => self.serving.as_mut(),
            Role::Candidate => self
                .candidate
                .as_mut()
                .map(|candidate| &mut candidate.release),
        }
    }

    /// Returns the slot that an instance was started for.
    #[must_use]
    pub fn slot_of(&self, id: &InstanceId) -> Option<(Role, &Slot)> {
        let find = |role| {
            let mut slots = self.release(role)?.slots.iter();
            slots
                .find(|slot| slot.instance.as_ref() == Some(id))
                .map(|slot| (role, slot))
        };
        find(Role::Serving).or_else(|| find(Role::Candidate))
    }

    /// Whether the log of an ended instance is kept.
    #[must_use]
    pub fn is_past(&self, id: &InstanceId) -> bool {
        self.past.iter().any(|past| past.id == *id)
    }

    /// Starts to try a pin.
    pub(crate) fn begin(&mut self, pin: Pin, spec: &AppSpec, is_exclusive: bool) {
        self.drop_candidate();
        let number = self.next_release;
        self.next_release += 1;
        let slots = spec
            .services
            .iter()
            .flat_map(|service| (0..spec.replicas).map(move |index| (service, index)))
            .map(|(service, index)| Slot::new(&service.name, index))
            .collect();
        self.candidate = Some(Candidate {
            release: Release {
                number,
                begun_revision: pin.revision,
                pin,
                slots,
            },
            is_exclusive,
        });
    }

    /// Stops trying the candidate, without calling it a failure.
    pub(crate) fn drop_candidate(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.retire(candidate.release);
        }
    }

    /// The candidate passed its gate.
    pub(crate) fn promote(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        self.failed = None;
        if let Some(old) = self.serving.replace(candidate.release) {
            self.retire(old);
        }
    }

    /// The pin failed, and with it the candidate. What was stopped for it comes back only when
    /// `keeps_serving`.
    pub(crate) fn fail(&mut self, failure: Failure, keeps_serving: bool) {
        self.drop_candidate();
        if !keeps_serving && let Some(serving) = self.serving.take() {
            self.retire(serving);
        }
        self.failed = Some(failure);
    }

    /// A release goes on under another pin: nothing that runs is touched by the difference.
    pub(crate) fn repin(&mut self, role: Role, pin: Pin) {
        if let Some(release) = self.release_mut(role) {
            release.pin = pin;
        }
        self.failed = None;
    }

    /// Gives a slot its next instance.
    pub(crate) fn assign(&mut self, role: Role, place: &SlotKey, next: Assignment) {
        let Some(release) = self.release_mut(role) else {
            return;
        };
        let revision = release.pin.revision;
        let Some(slot) = release.slots.iter_mut().find(|slot| place.is(slot)) else {
            return;
        };
        slot.ports = next.ports;
        let old = slot.instance.replace(next.id);
        if let Some(id) = old {
            slot.restarts = slot.restarts.saturating_add(1);
            let service = slot.service.clone();
            self.remember(PastInstance {
                id,
                service,
                revision,
            });
        }
    }

    /// Takes a stopped instance out of its slot, which the next one gets as if it were the first;
    /// false when it has none.
    pub(crate) fn vacate(&mut self, id: &InstanceId) -> bool {
        for role in [Role::Serving, Role::Candidate] {
            let Some(release) = self.release_mut(role) else {
                continue;
            };
            let revision = release.pin.revision;
            let slot = release
                .slots
                .iter_mut()
                .find(|slot| slot.instance.as_ref() == Some(id));
            if let Some(slot) = slot {
                slot.instance = None;
                let past = PastInstance {
                    id: id.clone(),
                    service: slot.service.clone(),
                    revision,
                };
                self.remember(past);
                return true;
            }
        }
        false
    }

    /// Notes how an instance ended.
    pub(crate) fn note_end(&mut self, id: &InstanceId, end: &End) {
        let slots = [Role::Serving, Role::Candidate].into_iter();
        for role in slots {
            let Some(release) = self.release_mut(role) else {
                continue;
            };
            let slot = release
                .slots
                .iter_mut()
                .find(|slot| slot.instance.as_ref() == Some(id));
            if let Some(slot) = slot {
                slot.last_termination = Some(end.termination.clone());
                slot.is_completed = end.is_completed;
                slot.failures = end.failures;
            }
        }
    }

    fn retire(&mut self, release: Release) {
        let revision = release.pin.revision;
        for slot in release.slots {
            if let Some(id) = slot.instance {
                self.remember(PastInstance {
                    id,
                    service: slot.service,
                    revision,
                });
            }
        }
    }

    fn remember(&mut self, past: PastInstance) {
        self.past.push(past);
        let excess = self.past.len().saturating_sub(MAX_PAST);
        self.past.drain(..excess);
    }
}

impl Release {
    /// Returns the revision that its instances say they are of.
    #[must_use]
    pub fn told_revision(&self) -> u64 {
        match self.begun_revision {
            0 => self.pin.revision,
            begun => begun,
        }
    }
}

impl Slot {
    fn new(service: &str, index: u32) -> Self {
        Self {
            service: service.to_owned(),
            index,
            instance: None,
            ports: BTreeMap::new(),
            restarts: 0,
            failures: 0,
            is_completed: false,
            last_termination: None,
        }
    }

    /// Returns what names it in its release.
    #[must_use]
    pub fn key(&self) -> SlotKey {
        SlotKey {
            service: self.service.clone(),
            index: self.index,
        }
    }
}

/// Names a slot of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotKey {
    /// Name of the service.
    pub service: String,
    /// Which copy, from 0.
    pub index: u32,
}

impl SlotKey {
    fn is(&self, slot: &Slot) -> bool {
        slot.service == self.service && slot.index == self.index
    }
}

/// The next instance of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) id: InstanceId,
    pub(crate) ports: BTreeMap<String, u16>,
}

/// The end of an instance, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) termination: Termination,
    pub(crate) is_completed: bool,
    /// Failures in a row, this one included.
    pub(crate) failures: u32,
}

#[cfg(test)]
mod tests;
