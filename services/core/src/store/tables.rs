//! What a store is made of: a few tables of bytes by text, changed by whole commits.

use std::fmt;

use super::StoreError;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Single values by name.
    Meta,
    /// Bodies by digest.
    Bodies,
    /// The engine's records by application.
    Records,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 3] = [Self::Meta, Self::Bodies, Self::Records];
}

/// One change: a value, or `None` to remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// Under which key.
    pub key: String,
    /// What.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets a value.
    pub fn put(table: Table, key: impl Into<String>, value: Vec<u8>) -> Self {
        let (key, value) = (key.into(), Some(value));
        Self { table, key, value }
    }

    /// Removes a value; one that is not there is no error.
    pub fn remove(table: Table, key: impl Into<String>) -> Self {
        Self {
            table,
            key: key.into(),
            value: None,
        }
    }
}

/// Tables with whole commits: after a crash a commit is there, or nothing of it.
///
/// The store is its only user and never commits twice at a time.
pub trait Tables: fmt::Debug + Send + Sync {
    /// Reads one value.
    ///
    /// # Errors
    /// The storage failed.
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads all keys of a table, sorted.
    ///
    /// # Errors
    /// The storage failed.
    fn keys(&self, table: Table) -> Result<Vec<String>, StoreError>;

    /// Reads a whole table, sorted by key.
    ///
    /// # Errors
    /// The storage failed.
    fn list(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Makes all changes, durably, or none.
    ///
    /// # Errors
    /// The storage failed; nothing was changed, or all of it was.
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError>;
}
