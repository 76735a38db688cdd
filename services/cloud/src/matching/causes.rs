//! Which change a document follows from, for traces only: in memory, and lost without harm.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::{Commit, Key, Write};

/// Announced changes that are remembered; those whose commit failed stay until there are as many.
const MOST: usize = 1024;

/// The trace contexts of what happens in one namespace.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// By resource that is about to change.
    announced: HashMap<Key, Arc<str>>,
    /// Of the newest change that waits to be worked off.
    waiting: Option<Arc<str>>,
}

impl Causes {
    /// Remembers who is about to change one resource.
    pub(super) fn announce(&mut self, key: Key, traceparent: Arc<str>) {
        if self.announced.len() >= MOST {
            self.announced.clear();
        }
        self.announced.insert(key, traceparent);
    }

    /// The change is in the view now.
    pub(super) fn arrived(&mut self, key: &Key) {
        if let Some(traceparent) = self.announced.remove(key) {
            self.waiting = Some(traceparent);
        }
    }

    /// What is worked off now.
    pub(super) fn waiting(&self) -> Option<Arc<str>> {
        self.waiting.clone()
    }

    /// Everything that waited was worked off.
    pub(super) fn done(&mut self) {
        self.waiting = None;
    }
}

/// The resources that a commit changes.
pub(super) fn changed(commit: &Commit) -> impl Iterator<Item = &Key> {
    commit.writes.iter().filter_map(|write| match write {
        Write::Put(put) => Some(&put.key),
        Write::Delete(key) => Some(key),
        Write::Touch(_)
        | Write::DropRevisions(..)
        | Write::PutRecord(..)
        | Write::DeleteRecord(_)
        | Write::DeleteRecords(_) => None,
    })
}

#[cfg(test)]
mod tests;
