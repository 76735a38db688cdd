//! Typed records: what the line to the edge keeps in a store besides resources.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Precondition, RecordKey, Store, StoreError, Table, Write};

/// How often a compare-and-set is tried before the caller is told to come back.
pub(crate) const ATTEMPTS: usize = 16;

/// How many records are read at a time.
pub(crate) const PAGE: usize = 500;

/// The namespace of what belongs to the installation as a whole.
pub(crate) const INSTALLATION: &str = "*";

/// A record as it was read, with what is needed to write it again.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    /// The record, or its default when there is none.
    pub(crate) value: T,
    /// Its version; 0 when there is none.
    pub(crate) version: u64,
}

/// Names a record.
pub(crate) fn key(namespace: &str, table: Table, key: impl Into<String>) -> RecordKey {
    RecordKey {
        namespace: namespace.to_owned(),
        table,
        key: key.into(),
    }
}

/// Reads a record.
pub(crate) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    key: &RecordKey,
) -> Result<Option<Versioned<T>>, StoreError> {
    let Some(record) = store.record(key).await? else {
        return Ok(None);
    };
    Ok(Some(Versioned {
        value: parse(key.table, &record.value)?,
        version: record.version,
    }))
}

/// Reads a record, or takes its default.
pub(crate) async fn read_or_default<T: DeserializeOwned + Default>(
    store: &dyn Store,
    key: &RecordKey,
) -> Result<Versioned<T>, StoreError> {
    let read = read(store, key).await?;
    Ok(read.unwrap_or_else(|| Versioned {
        value: T::default(),
        version: 0,
    }))
}

/// Decodes a record's bytes.
pub(crate) fn parse<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Corrupt(format!("a record of {table:?}: {error}")))
}

/// Writes a record.
pub(crate) fn put<T: Serialize>(key: RecordKey, value: &T) -> Write {
    let bytes = serde_json::to_vec(value).expect("records are maps with text keys");
    Write::PutRecord(key, bytes.into())
}

/// The record is still as it was read.
pub(crate) fn unchanged<T>(key: RecordKey, read: &Versioned<T>) -> Precondition {
    Precondition::RecordAt(key, read.version)
}

/// Reads every record whose key starts with that of `prefix`.
pub(crate) async fn all(
    store: &dyn Store,
    prefix: &RecordKey,
) -> Result<Vec<crate::store::Record>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.records(prefix, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|record| record.key.clone());
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

impl baetyl_service_kit::fault::Fault for StoreError {
    fn code(&self) -> baetyl_service_kit::fault::Code {
        use baetyl_service_kit::fault::Code;
        match self {
            Self::Precondition(_) => Code::Aborted,
            Self::Compacted { .. } => Code::OutOfRange,
            Self::Unwritable(_) | Self::Unavailable(_) => Code::Unavailable,
            Self::Corrupt(_) => Code::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Precondition(_) => "CONCURRENT_CHANGE",
            Self::Compacted { .. } => "EVENTS_COMPACTED",
            Self::Unwritable(_) => "STORE_UNWRITABLE",
            Self::Corrupt(_) => "STORE_CORRUPT",
            Self::Unavailable(_) => "STORE_UNAVAILABLE",
        }
    }
}
