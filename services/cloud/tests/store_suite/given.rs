//! Words in which the tests are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baetyl_cloud::store::sqlite::{SqliteSettings, SqliteStore};
use baetyl_cloud::store::{
    Commit, Key, Precondition, RecordKey, Store, StoreError, Stored, Table, Write,
};
use baetyl_model::{Digest, Kind, Name, NamespaceName, Revision, Uid};
use baetyl_pki::Sealer;
use bytes::Bytes;

/// A folder with a store in it, and the keys that open it.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        file_in(self.path())
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        open_in(self.path()).await
    }

    pub(crate) async fn open_with(&self, settings: SqliteSettings) -> SqliteStore {
        let store = SqliteStore::open_with(self.file(), sealer_in(self.path()), settings).await;
        store.expect("the store opens")
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("store.db")
}

pub(crate) async fn open_in(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open(file_in(folder), sealer_in(folder)).await;
    store.expect("the store opens")
}

/// The same sealer each time.
pub(crate) fn sealer_in(folder: &Path) -> Sealer {
    let wrapped_file = folder.join("wrapped");
    let wrapped = std::fs::read(&wrapped_file).ok();
    let opened = Sealer::open_or_create(&folder.join("key"), wrapped.as_deref()).expect("opens");
    if let Some(new) = opened.new_wrapped_key {
        std::fs::write(wrapped_file, new).expect("the folder can be written");
    }
    opened.sealer
}

pub(crate) fn namespace(text: &str) -> NamespaceName {
    NamespaceName::parse(text).expect("a namespace")
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

pub(crate) fn revision(number: u64) -> Revision {
    Revision::new(number).expect("not 0")
}

/// A key in the namespace `default`.
pub(crate) fn key(kind: Kind, text: &str) -> Key {
    key_in("default", kind, text)
}

pub(crate) fn key_in(tenant: &str, kind: Kind, text: &str) -> Key {
    Key {
        namespace: namespace(tenant),
        kind,
        name: name(text),
    }
}

pub(crate) fn configuration(text: &str) -> Key {
    key(Kind::Configuration, text)
}

/// A time that is not round.
pub(crate) fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000 + seconds, 123_456_789)
}

/// The first revision of a resource.
pub(crate) fn first(key: &Key, body: impl Into<Bytes>) -> Stored {
    let body = body.into();
    Stored {
        key: key.clone(),
        uid: Uid::random(),
        revision: Revision::FIRST,
        digest: Digest::of(&body),
        body,
        labels: BTreeMap::new(),
        references: Vec::new(),
        author: "somebody".to_owned(),
        create_time: time(0),
        update_time: time(0),
    }
}

/// The revision after another.
pub(crate) fn next(stored: &Stored, body: impl Into<Bytes>) -> Stored {
    let body = body.into();
    let revision = stored.revision.next().expect("not the last");
    Stored {
        revision,
        digest: Digest::of(&body),
        body,
        update_time: time(revision.number()),
        ..stored.clone()
    }
}

/// The same revision with other references.
pub(crate) fn referring(stored: Stored, references: &[(Kind, &str)]) -> Stored {
    let references = references.iter().map(|(kind, text)| (*kind, name(text)));
    Stored {
        references: references.collect(),
        ..stored
    }
}

pub(crate) fn put(stored: &Stored) -> Write {
    Write::Put(Box::new(stored.clone()))
}

pub(crate) fn record(table: Table, text: &str) -> RecordKey {
    record_in("default", table, text)
}

pub(crate) fn record_in(tenant: &str, table: Table, text: &str) -> RecordKey {
    RecordKey {
        namespace: tenant.to_owned(),
        table,
        key: text.to_owned(),
    }
}

pub(crate) fn put_record(key: &RecordKey, value: impl Into<Bytes>) -> Write {
    Write::PutRecord(key.clone(), value.into())
}

pub(crate) async fn write(
    store: &dyn Store,
    writes: impl IntoIterator<Item = Write>,
) -> Result<(), StoreError> {
    write_if(store, [], writes).await
}

pub(crate) async fn write_if(
    store: &dyn Store,
    preconditions: impl IntoIterator<Item = Precondition>,
    writes: impl IntoIterator<Item = Write>,
) -> Result<(), StoreError> {
    let commit = Commit {
        preconditions: preconditions.into_iter().collect(),
        writes: writes.into_iter().collect(),
    };
    store.commit(commit).await
}

/// Creates a resource and returns its first revision.
pub(crate) async fn created(store: &dyn Store, key: &Key, body: &str) -> Stored {
    let stored = first(key, body.to_owned());
    write(store, [put(&stored)]).await.expect("it is created");
    stored
}

/// The precondition that a refused commit names.
#[track_caller]
pub(crate) fn refused(outcome: Result<(), StoreError>) -> Precondition {
    match outcome {
        Err(StoreError::Precondition(precondition)) => *precondition,
        other => panic!("expected a failed precondition, got {other:?}"),
    }
}

/// Waits for something that happens anyway, with a bound that only a broken store reaches.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let bounded = tokio::time::timeout(Duration::from_secs(180), future).await;
    bounded.expect("it happens within a minute")
}
