//! Events of one kind in order, whether of one tenant or of the tenants themselves.
//!
//! Every tenant has an event table of its own, in which its own creation and deletion stand, too;
//! there is no order between two tables. For who watches the tenants, each of their changes is
//! written into one short log besides, in the same commit.

use std::collections::VecDeque;

use baetyl_model::{Kind, Name, NamespaceName, Revision, Uid};
use serde::{Deserialize, Serialize};

use super::namespace_key;
use crate::error::Error;
use crate::records::{self, INSTALLATION};
use crate::store::{Change, Commit, Key, RecordKey, Store, StoreError, Stored, Table};

/// Changes of tenants that are kept: tenants change rarely, and the log is written whole.
const KEPT: usize = 256;

/// Where events of a kind come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// One kind of one tenant.
    Tenant(NamespaceName, Kind),
    /// The tenants.
    Tenants,
}

/// One change of a resource of the feed.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: Key,
    pub(super) uid: Uid,
    pub(super) revision: Revision,
    pub(super) change: Change,
    pub(super) sequence: u64,
}

/// What was read at once.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// Everything up to here was read, also what is of other kinds.
    pub(super) sequence: u64,
}

impl Feed {
    pub(super) fn new(namespace: NamespaceName, kind: Kind) -> Self {
        match kind {
            Kind::Namespace => Self::Tenants,
            Kind::Node
            | Kind::Application
            | Kind::Configuration
            | Kind::Secret
            | Kind::Certificate
            | Kind::Registry => Self::Tenant(namespace, kind),
        }
    }

    /// What tells feeds apart in tokens.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Tenant(namespace, kind) => format!("{namespace}/{}", kind.word()),
            Self::Tenants => INSTALLATION.to_owned(),
        }
    }

    /// How many resources are read at once: large ones are not held by the hundred.
    fn page(&self) -> usize {
        match self {
            Self::Tenant(_, Kind::Configuration) => 8,
            Self::Tenant(_, Kind::Application | Kind::Certificate) => 32,
            Self::Tenant(_, Kind::Namespace | Kind::Node | Kind::Secret | Kind::Registry)
            | Self::Tenants => 128,
        }
    }

    /// Returns the next resources by name, and whether they are the last.
    pub(super) async fn resources(
        &self,
        store: &dyn Store,
        after: Option<&Name>,
    ) -> Result<(Vec<Stored>, bool), Error> {
        let limit = self.page();
        let found = match self {
            Self::Tenant(namespace, kind) => store.list(namespace, *kind, after, limit).await?,
            Self::Tenants => {
                let after = after.and_then(|after| NamespaceName::parse(after.as_str()).ok());
                store.namespaces(after.as_ref(), limit).await?
            }
        };
        let is_last = found.len() < limit;
        Ok((found, is_last))
    }

    /// Returns the newest sequence.
    pub(super) async fn sequence(&self, store: &dyn Store) -> Result<u64, Error> {
        match self {
            Self::Tenant(namespace, _) => Ok(store.sequence(namespace).await?),
            Self::Tenants => Ok(read(store).await?.value.newest),
        }
    }

    /// Returns what happened after a sequence.
    pub(super) async fn steps(
        &self,
        store: &dyn Store,
        after: u64,
        limit: usize,
    ) -> Result<Steps, Error> {
        match self {
            Self::Tenant(namespace, kind) => {
                let events = store.events(namespace, after, limit).await?;
                let sequence = events.last().map_or(after, |event| event.sequence);
                let of_kind = events.into_iter().filter(|event| event.key.kind == *kind);
                let step = |event: crate::store::Event| Step {
                    key: event.key,
                    uid: event.uid,
                    revision: event.revision,
                    change: event.change,
                    sequence: event.sequence,
                };
                Ok(Steps {
                    steps: of_kind.map(step).collect(),
                    sequence,
                })
            }
            Self::Tenants => read(store).await?.value.after(after),
        }
    }
}

/// The changes of tenants.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    /// Sequence of the newest one.
    newest: u64,
    /// The newest ones, without gaps.
    entries: VecDeque<Entry>,
}

/// One change of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    name: NamespaceName,
    uid: Uid,
    revision: Revision,
    change: Word,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Added,
    Modified,
    Deleted,
}

impl Log {
    fn after(&self, after: u64) -> Result<Steps, Error> {
        let kept = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        let oldest = self.newest - kept;
        if after < oldest || after > self.newest {
            return Err(Error::ResumeTokenExpired);
        }
        let skipped = usize::try_from(after - oldest).unwrap_or(usize::MAX);
        let numbered = (oldest + 1..).zip(&self.entries).skip(skipped);
        let step = |(sequence, entry): (u64, &Entry)| Step {
            key: namespace_key(&entry.name),
            uid: entry.uid.clone(),
            revision: entry.revision,
            change: match entry.change {
                Word::Added => Change::Added,
                Word::Modified => Change::Modified,
                Word::Deleted => Change::Deleted,
            },
            sequence,
        };
        Ok(Steps {
            steps: numbered.map(step).collect(),
            sequence: self.newest,
        })
    }
}

fn log_key() -> RecordKey {
    records::key(INSTALLATION, Table::System, "namespace-log")
}

async fn read(store: &dyn Store) -> Result<records::Versioned<Log>, StoreError> {
    records::read_or_default(store, &log_key()).await
}

/// A tenant is made.
pub(super) fn added(stored: &Stored) -> Entry {
    entry(stored, Word::Added)
}

/// A tenant gets a new revision.
pub(super) fn modified(stored: &Stored) -> Entry {
    entry(stored, Word::Modified)
}

/// A tenant is deleted.
pub(super) fn deleted(stored: &Stored) -> Entry {
    entry(stored, Word::Deleted)
}

fn entry(stored: &Stored, change: Word) -> Entry {
    Entry {
        name: stored.key.namespace.clone(),
        uid: stored.uid.clone(),
        revision: stored.revision,
        change,
    }
}

/// Writes down changes of tenants in the commit that makes them.
pub(super) async fn record(
    store: &dyn Store,
    commit: &mut Commit,
    entries: &[Entry],
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut log = read(store).await?;
    for entry in entries {
        log.value.newest += 1;
        log.value.entries.push_back(entry.clone());
    }
    let surplus = log.value.entries.len().saturating_sub(KEPT);
    log.value.entries.drain(..surplus);
    let guard = records::unchanged(log_key(), &log);
    commit.preconditions.push(guard);
    commit.writes.push(records::put(log_key(), &log.value));
    Ok(())
}
