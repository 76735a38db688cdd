//! Reading changes, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::history::{ChangeKind, Record};
use crate::shared::Shared;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object was written or deleted.
    Written {
        /// Its resource.
        resource: Arc<str>,
        /// What happened.
        kind: ChangeKind,
        /// The new state; of a deleted object the last one.
        object: Arc<Value>,
        /// The state before; `None` for new objects.
        before: Option<Arc<Value>>,
        /// The version of the change.
        version: u64,
    },
    /// The history went past this reader: it lists again.
    Lagged,
}

/// A reader of changes.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
    position: u64,
    /// At most what the history holds.
    ready: VecDeque<Change>,
    versions: watch::Receiver<u64>,
}

impl Changes {
    pub(super) fn since(shared: Arc<Shared>, version: u64) -> Self {
        Self {
            position: version,
            ready: VecDeque::new(),
            versions: shared.versions(),
            shared,
        }
    }

    /// Waits for the next change.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped before it is done.
    pub async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return change;
            }
            self.versions.mark_unchanged();
            self.fetch();
            if self.ready.is_empty() && self.versions.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn fetch(&mut self) {
        let position = self.position;
        let (found, newest) = self.shared.with(|state| {
            let found = state.history.since(position);
            let found = found.map(|records| records.map(change_of).collect::<VecDeque<_>>());
            (found, state.version())
        });
        self.position = newest;
        self.ready = found.unwrap_or_else(|_| VecDeque::from([Change::Lagged]));
    }
}

fn change_of(record: &Record) -> Change {
    Change::Written {
        resource: Arc::clone(&record.resource),
        kind: record.kind,
        object: Arc::clone(&record.object),
        before: record.before.clone(),
        version: record.version,
    }
}
