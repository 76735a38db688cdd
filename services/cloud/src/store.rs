//! What the control plane keeps, and the one trait that every store implements.
//!
//! A store holds two families of facts. *Resources* are what people declare: each write of a
//! changed spec makes an immutable revision and an event in the order of its namespace.
//! *Records* are everything else that must survive a restart (desired documents, reports,
//! certificates, tokens): small keyed values with a version for compare-and-set.
//!
//! Reads are snapshots; the only way to write is [`Store::commit`], which takes
//! preconditions and writes and does all of them or none. Every implementation passes the
//! suite in `tests/store_suite`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use baetyl_model::{Kind, Name, NamespaceName, Revision, Uid};
use baetyl_shadow::Digest;
use bytes::Bytes;
use tokio::sync::watch;

mod debug;
mod error;
pub mod memory;
pub mod sqlite;

pub use error::StoreError;

/// How many events of each namespace are kept: the newest ones.
pub const EVENTS_KEPT: u64 = 10_000;

/// Names one resource. Namespaces themselves live in the namespace of their own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The tenant.
    pub namespace: NamespaceName,
    /// What kind of resource it is.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for Key {
    /// Prints `namespace/kind/name`, the kind in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.kind.word(), self.name)
    }
}

/// One revision of a resource as it is stored.
#[derive(Clone, PartialEq)]
pub struct Stored {
    /// Which resource.
    pub key: Key,
    /// Differs after delete and create.
    pub uid: Uid,
    /// From 1, one higher with each changed spec.
    pub revision: Revision,
    /// SHA-256 over `body`.
    pub digest: Digest,
    /// The encoded spec; never encoded again. Secrets are sealed at rest and open here.
    pub body: Bytes,
    /// Labels of the spec, for selectors.
    pub labels: BTreeMap<String, String>,
    /// What the spec refers to, sorted.
    pub references: Vec<(Kind, Name)>,
    /// Who wrote this revision.
    pub author: String,
    /// When the resource was created.
    pub create_time: SystemTime,
    /// When this revision was written.
    pub update_time: SystemTime,
}

impl Stored {
    /// What writing this revision does to its resource.
    fn change(&self) -> Change {
        if self.revision == Revision::FIRST {
            return Change::Added;
        }
        Change::Modified
    }

    /// What must be the newest revision before this one is written.
    fn follows(&self) -> Precondition {
        match Revision::new(self.revision.number() - 1) {
            None => Precondition::Absent(self.key.clone()),
            Some(previous) => Precondition::At(self.key.clone(), self.uid.clone(), previous),
        }
    }
}

/// The part of a [`Stored`] that a writer gives; the store adds nothing of its own.
pub type NewRevision = Stored;

/// What happened to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Added,
    /// Its spec or, for a node, its status changed.
    Modified,
    /// It was deleted; the event's revision is its last.
    Deleted,
}

/// One line of the event table. Sequences rise by one in each namespace, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position in the namespace, from 1.
    pub sequence: u64,
    /// Which resource.
    pub key: Key,
    /// Which life of it.
    pub uid: Uid,
    /// The revision that the change made, or left.
    pub revision: Revision,
    /// What happened.
    pub change: Change,
    /// When.
    pub time: SystemTime,
}

/// Kinds of records. Every key starts with the namespace, as everything does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Desired documents, by node uid.
    Desired,
    /// Report entries, by `node uid/section/key`.
    Report,
    /// What the cloud observed of a node (last seen, epochs), by node uid.
    NodeState,
    /// Wanted properties and retry counters of a node, by node uid.
    NodeWish,
    /// Issued certificates, by serial.
    Certificate,
    /// Join tokens, by token id.
    JoinToken,
    /// Bearer tokens, by name; in the namespace `*`.
    Token,
    /// Answers of idempotent creates, by `kind/request id`.
    Request,
    /// Nodes and applications that the matching controller must look at.
    Dirty,
    /// Deleted nodes that must still be told, by node uid.
    Decommission,
    /// Keys and settings of the installation; in the namespace `*`; sealed at rest.
    System,
}

impl Table {
    /// Returns its name in lower case with underscores, as a store may keep it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Report => "report",
            Self::NodeState => "node_state",
            Self::NodeWish => "node_wish",
            Self::Certificate => "certificate",
            Self::JoinToken => "join_token",
            Self::Token => "token",
            Self::Request => "request",
            Self::Dirty => "dirty",
            Self::Decommission => "decommission",
            Self::System => "system",
        }
    }
}

/// One record.
#[derive(Clone, PartialEq)]
pub struct Record {
    /// Key inside its table and namespace.
    pub key: String,
    /// From 1, one higher with each write of the same record.
    pub version: u64,
    /// The bytes.
    pub value: Bytes,
}

/// Names a record. `namespace` is a tenant's name, or `*` for the installation's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The tenant, or `*`.
    pub namespace: String,
    /// Which table.
    pub table: Table,
    /// Key inside it.
    pub key: String,
}

/// Something that must hold for a commit to happen. Looked at before the first write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The resource does not exist.
    Absent(Key),
    /// The resource exists with this uid and revision.
    At(Key, Uid, Revision),
    /// The resource exists.
    Exists(Key),
    /// No resource but the listed ones refers to this one.
    Unreferenced(Key, Vec<Key>),
    /// The record has this version; 0 means that it does not exist.
    RecordAt(RecordKey, u64),
}

impl Precondition {
    /// Tells whether the newest uid and revision of the resource, if it exists, are as wanted;
    /// true for those that are about something else.
    fn allows(&self, newest: Option<&(Uid, Revision)>) -> bool {
        match self {
            Self::Absent(_) => newest.is_none(),
            Self::Exists(_) => newest.is_some(),
            Self::At(_, uid, revision) => {
                newest.is_some_and(|found| (&found.0, &found.1) == (uid, revision))
            }
            Self::Unreferenced(..) | Self::RecordAt(..) => true,
        }
    }
}

/// One write of a commit. Writes happen in order; [`Write::needs`] says what each relies on.
#[derive(Clone, PartialEq)]
pub enum Write {
    /// Makes this the newest revision of its resource, and an event. The first revision of a
    /// resource that does not exist, or the one after the newest of one that does.
    Put(Box<NewRevision>),
    /// Deletes a resource that exists with all its revisions, and makes an event.
    Delete(Key),
    /// Makes a `Modified` event although the spec is the same: a status changed.
    Touch(Key),
    /// Drops old revisions, those that are there; the newest is never dropped.
    DropRevisions(Key, Vec<Revision>),
    /// Writes a record.
    PutRecord(RecordKey, Bytes),
    /// Deletes a record; nothing happens when there is none.
    DeleteRecord(RecordKey),
    /// Deletes every record of a table whose key starts with this one's.
    DeleteRecords(RecordKey),
}

impl Write {
    /// Returns what must hold when this write's turn comes, whatever preconditions the commit
    /// has: a revision is never written twice, and only what exists is deleted or touched.
    pub fn needs(&self) -> Option<Precondition> {
        match self {
            Self::Put(put) => Some(put.follows()),
            Self::Delete(key) | Self::Touch(key) => Some(Precondition::Exists(key.clone())),
            Self::DropRevisions(..)
            | Self::PutRecord(..)
            | Self::DeleteRecord(_)
            | Self::DeleteRecords(_) => None,
        }
    }
}

/// Preconditions and writes that happen together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// All must hold, else nothing is written.
    pub preconditions: Vec<Precondition>,
    /// Done in order.
    pub writes: Vec<Write>,
}

impl Commit {
    /// Refuses a body under a digest that is not its own: nobody could ever use it.
    fn check_digests(&self) -> Result<(), StoreError> {
        for write in &self.writes {
            let Write::Put(put) = write else { continue };
            check_digest(put)?;
        }
        Ok(())
    }
}

fn check_digest(stored: &Stored) -> Result<(), StoreError> {
    if Digest::of(&stored.body) == stored.digest {
        return Ok(());
    }
    let Stored { key, revision, .. } = stored;
    Err(StoreError::Corrupt(format!(
        "the digest of {key} revision {revision} is not that of its body"
    )))
}

/// The control plane's memory. All methods may be called at once from many tasks.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Identity of this store, drawn when it was created; part of every resume token.
    fn id(&self) -> &str;

    /// The newest revision of a resource.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// One revision of a resource.
    async fn get_revision(
        &self,
        key: &Key,
        revision: Revision,
    ) -> Result<Option<Stored>, StoreError>;

    /// Revisions of a resource from the newest down, those below `before`.
    async fn revisions(
        &self,
        key: &Key,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError>;

    /// Newest revisions of all resources of a kind, by name, those after `after`.
    async fn list(
        &self,
        namespace: &NamespaceName,
        kind: Kind,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError>;

    /// All namespaces, by name, those after `after`.
    async fn namespaces(
        &self,
        after: Option<&NamespaceName>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError>;

    /// Resources whose newest revision refers to this one, sorted.
    async fn referrers(&self, key: &Key) -> Result<Vec<Key>, StoreError>;

    /// One record.
    async fn record(&self, key: &RecordKey) -> Result<Option<Record>, StoreError>;

    /// Records whose key starts with `prefix.key`, by key, those after `after`.
    async fn records(
        &self,
        prefix: &RecordKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Events of a namespace after a sequence. [`StoreError::Compacted`] when some of them
    /// were dropped, only the newest [`EVENTS_KEPT`] are kept, and when `after` is above the
    /// newest sequence: it was seen in a life of the store that a backup has undone.
    async fn events(
        &self,
        namespace: &NamespaceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;

    /// The newest sequence of a namespace; 0 when nothing happened yet.
    async fn sequence(&self, namespace: &NamespaceName) -> Result<u64, StoreError>;

    /// Does everything or nothing, durably. [`StoreError::Precondition`] names the first
    /// precondition that did not hold, of the commit or of one of its writes.
    ///
    /// A caller that stops waiting does not stop the commit: it happens whole, or not at all.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// A counter that rises after each commit: what a waiter looks at before it reads again.
    fn commits(&self) -> watch::Receiver<u64>;
}
