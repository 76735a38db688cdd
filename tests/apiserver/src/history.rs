//! The changes of the past: what watches send, and how lists of the past are rebuilt.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::object::Key;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was written.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) resource: Arc<str>,
    pub(crate) key: Key,
    pub(crate) kind: ChangeKind,
    /// The new state; of a deleted object the last one, with the version of the deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) before: Option<Arc<Value>>,
}

/// A reader asked for changes that are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// The oldest version that can be asked for.
    pub(crate) oldest: u64,
}

/// The last changes, at most `limit`.
#[derive(Debug)]
pub(crate) struct History {
    records: VecDeque<Record>,
    limit: usize,
    oldest: u64,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            records: VecDeque::new(),
            limit: limit.max(1),
            oldest: 0,
        }
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.records.push_back(record);
        while self.records.len() > self.limit {
            if let Some(forgotten) = self.records.pop_front() {
                self.oldest = forgotten.version;
            }
        }
    }

    /// Forgets everything up to now.
    pub(crate) fn compact(&mut self, now: u64) {
        self.records.clear();
        self.oldest = now;
    }

    /// What happened after a version, oldest first.
    ///
    /// # Errors
    /// Some of it is forgotten.
    pub(crate) fn since(&self, version: u64) -> Result<impl Iterator<Item = &Record>, TooOld> {
        if version < self.oldest {
            return Err(TooOld {
                oldest: self.oldest,
            });
        }
        let start = self.records.partition_point(|r| r.version <= version);
        Ok(self.records.range(start..))
    }

    /// The last changes of a resource up to a version, oldest first.
    pub(crate) fn before(&self, resource: &str, version: u64, most: usize) -> Vec<Record> {
        let end = self.records.partition_point(|r| r.version <= version);
        let found = self.records.range(..end).rev();
        let found = found.filter(|record| &*record.resource == resource);
        let mut found: Vec<_> = found.take(most).cloned().collect();
        found.reverse();
        found
    }
}
