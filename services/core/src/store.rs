//! The edge store: the whole desired state with every body, and what the engine must remember.
//!
//! One set of rules over a few tables; the tables are a trait with a durable form
//! ([`Durable`], one redb file) and a fake ([`Memory`]). Whatever belongs together is one commit:
//! a generation that was accepted is fully on disk, and nothing is written that is there already.
//! The methods block; async code calls them through [`Store::run`].

mod durable;
mod error;
mod memory;
mod references;
mod tables;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use baetyl_pki::Sealer;
use baetyl_proto::sync::v1::DesiredDocument;
use baetyl_shadow::{Admission, Digest, Stamp, UnixMillis, admit};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use durable::Durable;
pub use error::StoreError;
pub use memory::Memory;
pub use references::{BodyKind, Wanted, fence_of, wanted};
pub use tables::{Table, Tables, Write};

/// The form of the tables that this program writes.
const FORMAT: &[u8] = b"1";

/// Calls that work at once, each on a thread; writes wait for one another anyway.
const TURNS: usize = 4;

/// Keys of [`Table::Meta`].
mod key {
    pub(super) const FORMAT: &str = "format";
    pub(super) const SEALING_KEY: &str = "sealing-key";
    pub(super) const NODE_UID: &str = "node-uid";
    pub(super) const STAMP: &str = "desired-stamp";
    pub(super) const DOCUMENT: &str = "desired-document";
    pub(super) const PREVIOUS: &str = "previous-references";
    pub(super) const CONVERGED: &str = "converged";
    pub(super) const PROPERTIES: &str = "properties";
    pub(super) const ROUTES: &str = "routes";
    pub(super) const AUTHORITY: &str = "authority";
}

/// How a stored body begins.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// A desired state as it is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its place in the order, and its digest.
    pub stamp: Stamp,
    /// What is desired.
    pub document: DesiredDocument,
}

/// A desired state that the cloud offers, with the bodies that were fetched for it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the cloud says that it is.
    pub stamp: Stamp,
    /// The encoded document; its digest is the stamp's.
    pub document: Bytes,
    /// Bodies that the store lacked, by digest.
    pub bodies: BTreeMap<Digest, Bytes>,
    /// The time now, for properties that change with it.
    pub now: UnixMillis,
}

/// One record of the engine, with the bodies that it needs to start again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub name: String,
    /// The record itself.
    pub bytes: Vec<u8>,
    /// Bodies that must outlive the desired state that brought them.
    pub references: BTreeSet<Digest>,
}

/// The edge store.
pub struct Store {
    tables: Box<dyn Tables>,
    sealer: Sealer,
    /// Held over each read-then-commit, so that two of them cannot mix.
    writing: Mutex<()>,
    /// The work of [`Store::run`], which goes on when its caller is gone.
    work: TaskTracker,
    /// Turns of those who want something of the store: each takes a thread of its own.
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store over tables; the key file seals what is secret, and is made for a new store.
    ///
    /// # Errors
    /// The tables cannot be read, are of a newer form, or the key file does not open them.
    pub fn open(tables: Box<dyn Tables>, key_file: &Path) -> Result<Self, StoreError> {
        match tables.get(Table::Meta, key::FORMAT)? {
            Some(format) if format != FORMAT => return Err(StoreError::FormatUnknown),
            Some(_) | None => {}
        }
        let wrapped = tables.get(Table::Meta, key::SEALING_KEY)?;
        let opened = Sealer::open_or_create(key_file, wrapped.as_deref())?;
        if let Some(wrapped) = opened.new_wrapped_key {
            tables.commit(&[
                Write::put(Table::Meta, key::FORMAT, FORMAT.to_vec()),
                Write::put(Table::Meta, key::SEALING_KEY, wrapped),
            ])?;
        }
        Ok(Self {
            tables,
            sealer: opened.sealer,
            writing: Mutex::new(()),
            work: TaskTracker::new(),
            turns: Arc::new(Semaphore::new(TURNS)),
        })
    }

    /// Runs blocking work on the store away from the async threads.
    ///
    /// # Errors
    /// Those of the work, and [`StoreError::Interrupted`] when it panicked.
    ///
    /// # Cancel safety
    /// Work that has begun goes on to its end when the future is dropped.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self);
        let turn = self.turns.clone().acquire_owned().await;
        let work = move || {
            let _turn = turn;
            work(&store)
        };
        match self.work.spawn_blocking(work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Interrupted),
        }
    }

    /// Waits for work whose callers are gone; afterwards nothing here holds the store.
    pub async fn settled(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// Makes sure that the store belongs to a node: what another node left is forgotten. Says
    /// whether something was.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn claim(&self, node_uid: &str) -> Result<bool, StoreError> {
        let owner = self.tables.get(Table::Meta, key::NODE_UID)?;
        if owner.as_deref() == Some(node_uid.as_bytes()) {
            return Ok(false);
        }
        let mut writes = self.forgetting()?;
        writes.push(Write::put(Table::Meta, key::NODE_UID, node_uid.into()));
        self.tables.commit(&writes)?;
        Ok(owner.is_some())
    }

    /// Forgets everything but the key that seals: the node was deleted.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn forget(&self) -> Result<(), StoreError> {
        let writes = self.forgetting()?;
        self.commit_changes(writes)
    }

    fn forgetting(&self) -> Result<Vec<Write>, StoreError> {
        let kept = [key::FORMAT, key::SEALING_KEY];
        let mut writes = Vec::new();
        for table in Table::ALL {
            for name in self.tables.keys(table)? {
                if table != Table::Meta || !kept.contains(&name.as_str()) {
                    writes.push(Write::remove(table, name));
                }
            }
        }
        Ok(writes)
    }

    /// Reads the stamp of the desired state on disk, if there is one.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        self.json(key::STAMP)
    }

    /// Reads the desired state on disk, if there is one.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn held(&self) -> Result<Option<Held>, StoreError> {
        let Some(stamp) = self.stamp()? else {
            return Ok(None);
        };
        let bytes = self.tables.get(Table::Meta, key::DOCUMENT)?;
        let bytes = bytes.ok_or_else(|| StoreError::corrupt(key::DOCUMENT))?;
        let document = DesiredDocument::decode(bytes.as_slice())
            .map_err(|_| StoreError::corrupt(key::DOCUMENT))?;
        Ok(Some(Held { stamp, document }))
    }

    /// Returns the bodies of a document that are not on disk, sorted by digest.
    ///
    /// # Errors
    /// The tables cannot be read, or the document names a body wrongly.
    pub fn missing(&self, document: &DesiredDocument) -> Result<Vec<Wanted>, StoreError> {
        let held: BTreeSet<String> = self.tables.keys(Table::Bodies)?.into_iter().collect();
        let wanted = wanted(document)?.into_values();
        Ok(wanted
            .filter(|body| !held.contains(&body.digest.to_string()))
            .collect())
    }

    /// Takes an offered desired state, in one commit with its bodies, its wanted properties, and
    /// the removal of what nothing needs any more. Nothing is written unless it is newer.
    ///
    /// # Errors
    /// The document is not what its stamp says, is for another node, or lacks a body; or the
    /// tables cannot be read or written. The store is then as it was.
    pub fn accept(&self, offer: &Offer) -> Result<Admission, StoreError> {
        let _writing = self.writing.lock();
        let admission = admit(self.stamp()?.as_ref(), &offer.stamp);
        if admission != Admission::Newer {
            return Ok(admission);
        }
        let document = self.checked(offer)?;
        let wanted = wanted(&document)?;
        let mut writes = self.body_writes(&wanted, &offer.bodies)?;
        let previous = match self.held()? {
            Some(held) => references::digests(&held.document),
            None => BTreeSet::new(),
        };
        let mut keep: BTreeSet<Digest> = wanted.into_keys().collect();
        keep.extend(&previous);
        writes.extend(self.garbage(&keep)?);

        let mut properties = self.properties()?;
        references::take_desired(&mut properties.desired, &document, offer.now);
        writes.push(meta(key::PROPERTIES, &properties));
        writes.push(meta(key::PREVIOUS, &previous));
        writes.push(meta(key::STAMP, &offer.stamp));
        let bytes = offer.document.to_vec();
        writes.push(Write::put(Table::Meta, key::DOCUMENT, bytes));
        self.commit_changes(writes)?;
        Ok(admission)
    }

    fn checked(&self, offer: &Offer) -> Result<DesiredDocument, StoreError> {
        let invalid = |why| StoreError::DocumentInvalid { why };
        if Digest::of(&offer.document) != offer.stamp.digest {
            return Err(invalid("its digest is another one"));
        }
        let document = DesiredDocument::decode(offer.document.clone())
            .map_err(|_| invalid("it cannot be read"))?;
        if fence_of(document.fence.as_ref()) != offer.stamp.fence {
            return Err(invalid("its fence is another one"));
        }
        let owner = self.tables.get(Table::Meta, key::NODE_UID)?;
        if owner.as_deref() != Some(document.node_uid.as_bytes()) {
            return Err(invalid("it is for another node"));
        }
        Ok(document)
    }

    fn body_writes(
        &self,
        wanted: &BTreeMap<Digest, Wanted>,
        bodies: &BTreeMap<Digest, Bytes>,
    ) -> Result<Vec<Write>, StoreError> {
        let held: BTreeSet<String> = self.tables.keys(Table::Bodies)?.into_iter().collect();
        let mut writes = Vec::new();
        for (digest, body) in wanted {
            let name = digest.to_string();
            if held.contains(&name) {
                continue;
            }
            let bytes = bodies.get(digest).ok_or(StoreError::BodyMissing(*digest))?;
            if Digest::of(bytes) != *digest {
                return Err(StoreError::BodyMissing(*digest));
            }
            let value = self.encoded(body.kind, &name, bytes);
            writes.push(Write::put(Table::Bodies, name, value));
        }
        Ok(writes)
    }

    fn encoded(&self, kind: BodyKind, name: &str, bytes: &Bytes) -> Vec<u8> {
        match kind {
            BodyKind::Secret | BodyKind::Certificate | BodyKind::Registry => {
                let sealed = self.sealer.seal(&body_place(name), bytes);
                [&[SEALED], sealed.as_slice()].concat()
            }
            BodyKind::Application | BodyKind::Configuration => [&[PLAIN], &bytes[..]].concat(),
        }
    }

    /// Reads a body, opened if it was sealed.
    ///
    /// # Errors
    /// The tables cannot be read, or the body cannot be opened.
    pub fn body(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let name = digest.to_string();
        let Some(value) = self.tables.get(Table::Bodies, &name)? else {
            return Ok(None);
        };
        let value = Bytes::from(value);
        match value.first() {
            Some(&PLAIN) => Ok(Some(value.slice(1..))),
            Some(&SEALED) => {
                let opened = self.sealer.open(&body_place(&name), &value[1..])?;
                Ok(Some(Bytes::copy_from_slice(&opened)))
            }
            Some(_) | None => Err(StoreError::corrupt("body")),
        }
    }

    /// Removes the bodies that neither the desired state, nor the one before it, nor a record
    /// needs. Returns how many there were.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn collect_garbage(&self) -> Result<usize, StoreError> {
        let _writing = self.writing.lock();
        let mut keep: BTreeSet<Digest> = self.json(key::PREVIOUS)?.unwrap_or_default();
        if let Some(held) = self.held()? {
            keep.extend(references::digests(&held.document));
        }
        let writes = self.garbage(&keep)?;
        let count = writes.len();
        self.commit_changes(writes)?;
        Ok(count)
    }

    fn garbage(&self, keep: &BTreeSet<Digest>) -> Result<Vec<Write>, StoreError> {
        let mut kept: BTreeSet<String> = keep.iter().map(Digest::to_string).collect();
        for record in self.records()? {
            kept.extend(record.references.iter().map(Digest::to_string));
        }
        let names = self.tables.keys(Table::Bodies)?;
        let unneeded = names.into_iter().filter(|name| !kept.contains(name));
        Ok(unneeded
            .map(|name| Write::remove(Table::Bodies, name))
            .collect())
    }

    /// Reads the engine's records, sorted by name.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        let rows = self.tables.list(Table::Records)?;
        rows.into_iter()
            .map(|(name, value)| references::decode_record(name, &value))
            .collect()
    }

    /// Writes a record of the engine.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn save_record(&self, record: &Record) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        let value = references::encode_record(record);
        self.commit_changes(vec![Write::put(Table::Records, record.name.clone(), value)])
    }

    /// Removes a record of the engine.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn remove_record(&self, name: &str) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        self.commit_changes(vec![Write::remove(Table::Records, name)])
    }

    /// What seals the secrets of this store.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let Some(value) = self.tables.get(Table::Meta, name)? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&value).map_err(|_| StoreError::corrupt(name))?;
        Ok(Some(read))
    }

    /// Commits what differs from what is there; nothing at all when nothing does, so that an idle
    /// node writes nothing.
    fn commit_changes(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            if self.tables.get(write.table, &write.key)? != write.value {
                changes.push(write);
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.tables.commit(&changes)
    }
}

/// Binds a sealed body to its place.
fn body_place(name: &str) -> Vec<u8> {
    format!("body {name}").into_bytes()
}

fn meta<T: Serialize>(name: &'static str, value: &T) -> Write {
    let value = serde_json::to_vec(value).expect("numbers, texts and maps of texts are json");
    Write::put(Table::Meta, name, value)
}

#[cfg(test)]
mod tests;
