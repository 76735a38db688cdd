//! What is durable about one application in a cluster: what serves, what is being tried, what
//! failed, and the key of every object that may exist.
//!
//! The record is written before anything visible happens, so the next engine finds all of its own
//! again, whatever the watches see. Changes are pure functions here; the engine persists the result
//! and then acts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use baetyl_shadow::Digest;
use serde::{Deserialize, Serialize};

use super::object::ObjectKey;
use crate::dependency::StoredRecord;
use crate::desired::{InputKey, Pin};
pub use crate::record::{Failure, RecordError, Role};

mod change;
mod pairs;

pub use change::Draft;

/// What records of this engine say of themselves.
const ENGINE: &str = "kube";

/// Raised when an older engine would misread the record.
const VERSION: u32 = 1;

/// The engine's own events that are kept, per application.
const MAX_EVENTS: usize = 10;

/// Releases of the past that are remembered, per application: a pod of an earlier one is long gone.
const MAX_PAST: usize = 8;

/// Everything durable about one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeRecord {
    engine: String,
    version: u32,
    /// Name of the application.
    pub application: String,
    /// What passed its gate last.
    pub serving: Option<Release>,
    /// What is on its way through the gate, or failed there with nothing to go back to.
    pub candidate: Option<Candidate>,
    /// What was tried last and failed.
    pub failed: Option<Failure>,
    /// Releases that are no more, the last one first: label of their pods and the revision that
    /// these name. Some may still be there, and need not be replaced when the same is wanted again.
    #[serde(default)]
    pub past: Vec<(String, u64)>,
    /// Objects that are to go.
    pub leaving: BTreeSet<ObjectKey>,
    /// What the objects were when they were applied last.
    #[serde(with = "pairs")]
    pub marks: BTreeMap<ObjectKey, Mark>,
    /// What somebody else declares, one sentence by object.
    #[serde(with = "pairs")]
    pub conflicts: BTreeMap<ObjectKey, String>,
    /// When the certificate of each service must be renewed.
    pub renewals: BTreeMap<String, SystemTime>,
    /// The engine's own events, oldest first.
    pub events: Vec<Happening>,
    /// What was reported last, stored with whatever changes next.
    pub reported: Option<Reported>,
}

/// What was reported, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The state, as its number in the contract.
    pub state: i32,
    /// The word that said why.
    pub reason: String,
    /// The sentence that said why.
    pub message: String,
    /// Since when.
    pub since: SystemTime,
    /// Status of each condition, and since when.
    pub conditions: BTreeMap<String, (i32, SystemTime)>,
}

/// A pin that was given objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What it is. Changes that replace no pod come in place.
    pub pin: Pin,
    /// Label of its pods; equal ones mean that no pod has to be replaced.
    pub label: String,
    /// Revision that its pods were made of, which may be older than the pin's.
    pub revision: u64,
    /// The objects that it consists of, data included.
    pub objects: BTreeSet<ObjectKey>,
    /// Whether the objects were applied as the pin says.
    pub is_applied: bool,
    /// What turned the pin into objects; another rendering is applied again.
    pub rendering: String,
    /// The inputs that its pods have taken.
    pub taken: BTreeMap<InputKey, Digest>,
    /// A reload that some pods may not have seen.
    pub reload: Option<Reload>,
    /// A job that came to its end.
    pub is_completed: bool,
}

/// A release that has not passed its gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The release.
    pub release: Release,
    /// When all of its objects were applied; the gate's deadline counts from here.
    pub applied_at: Option<SystemTime>,
    /// Uids of the pods that were there before it.
    pub older_pods: BTreeSet<String>,
}

/// Pods that are told to look at changed files at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// What the annotation of a pod says that was told.
    pub inputs: String,
    /// Uids of the pods that ran before the change.
    pub pods: BTreeSet<String>,
}

/// What an object was when it was applied last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its identity.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// Differs when somebody wrote something else than the status.
    pub content: String,
    /// Digest of what was applied.
    pub digest: Digest,
    /// The number of replicas that was applied with it.
    pub replicas: Option<i64>,
}

/// An event of the engine's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When it last happened.
    pub at: SystemTime,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// `UPPER_SNAKE` word.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// What it is about: `Deployment baetyl-edge/web`; empty for the application itself.
    pub object: String,
    /// How often it happened.
    pub count: u32,
}

impl KubeRecord {
    /// A record of an application of which nothing is known yet.
    #[must_use]
    pub fn new(application: impl Into<String>) -> Self {
        Self {
            engine: ENGINE.to_owned(),
            version: VERSION,
            application: application.into(),
            serving: None,
            candidate: None,
            failed: None,
            past: Vec::new(),
            leaving: BTreeSet::new(),
            marks: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            renewals: BTreeMap::new(),
            events: Vec::new(),
            reported: None,
        }
    }

    /// Returns what is stored. It holds digests, names and numbers, nothing secret.
    #[must_use]
    pub fn stored(&self) -> StoredRecord {
        StoredRecord {
            application: self.application.clone(),
            bytes: serde_json::to_vec(self)
                .expect("texts, numbers and maps with text keys are always json"),
            references: self.referenced_digests(),
        }
    }

    /// Reads what was stored, now or in an earlier release.
    ///
    /// # Errors
    /// [`RecordError`]: another kind of engine or a newer one wrote it, or it is no record.
    pub fn decode(text: &[u8]) -> Result<Self, RecordError> {
        crate::record::check_header(text, ENGINE, VERSION)?;
        Ok(serde_json::from_slice(text)?)
    }

    /// Every body that must be kept to go on, or to go back; sorted.
    fn referenced_digests(&self) -> Vec<Digest> {
        let releases = self.releases();
        let mut digests: Vec<Digest> = releases
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

    /// Returns the release that the objects in the cluster are brought to.
    #[must_use]
    pub fn current(&self) -> Option<(Role, &Release)> {
        let candidate = self.release(Role::Candidate);
        let candidate = candidate.map(|release| (Role::Candidate, release));
        candidate.or_else(|| Some((Role::Serving, self.serving.as_ref()?)))
    }

    /// Returns the key of every object that may exist, data of earlier releases left out.
    #[must_use]
    pub fn inventory(&self) -> BTreeSet<&ObjectKey> {
        let objects = self.releases().flat_map(|release| &release.objects);
        objects.chain(&self.leaving).collect()
    }

    /// Whether the candidate failed and stays, since there is nothing to go back to.
    #[must_use]
    pub fn is_candidate_failed(&self) -> bool {
        match (&self.candidate, &self.failed) {
            (Some(candidate), Some(failed)) => candidate.release.pin == failed.pin,
            (_, None) | (None, _) => false,
        }
    }
}

/// Whether an object holds data, which goes only when the node is told so.
#[must_use]
pub fn is_data(key: &ObjectKey) -> bool {
    key.kind == "PersistentVolumeClaim" && key.group().is_empty()
}

#[cfg(test)]
mod tests;
