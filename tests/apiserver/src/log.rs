//! The log of requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

/// A request as it was answered; a watch as it was opened.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its place since the server started; the first is 1.
    pub number: u64,
    /// When it was answered.
    pub at: SystemTime,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query; empty when there is none.
    pub query: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `deployments.apps`, `pods/log`; empty for discovery.
    pub resource: String,
    /// Namespace of the path; empty when there is none.
    pub namespace: String,
    /// Name of the path; empty when there is none.
    pub name: String,
    /// Who asked; empty when that is not known.
    pub user: String,
    /// HTTP status of the answer; 0 when the connection was cut instead.
    pub status: u16,
    /// Whether nothing was to be stored.
    pub is_dry_run: bool,
}

#[derive(Debug, Default)]
struct Entries {
    newest: u64,
    requests: VecDeque<Request>,
    counts: BTreeMap<(String, String), u64>,
}

/// The last requests, and counts of all.
#[derive(Debug)]
pub struct RequestLog {
    entries: Mutex<Entries>,
    limit: usize,
    open_watches: AtomicUsize,
}

impl RequestLog {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: Mutex::new(Entries::default()),
            limit: limit.max(1),
            open_watches: AtomicUsize::new(0),
        }
    }

    pub(crate) fn add(&self, mut request: Request) {
        let mut entries = self.entries.lock();
        entries.newest += 1;
        request.number = entries.newest;
        let what = (request.verb.clone(), request.resource.clone());
        *entries.counts.entry(what).or_default() += 1;
        entries.requests.push_back(request);
        while entries.requests.len() > self.limit {
            entries.requests.pop_front();
        }
    }

    /// Counts a watch as open for as long as what is returned lives.
    pub(crate) fn open_watch(self: &Arc<Self>) -> OpenWatch {
        self.open_watches.fetch_add(1, Ordering::Relaxed);
        OpenWatch(Arc::clone(self))
    }

    /// Returns what is kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Request> {
        self.entries.lock().requests.iter().cloned().collect()
    }

    /// Counts requests of those that are kept.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&Request) -> bool) -> usize {
        let entries = self.entries.lock();
        entries.requests.iter().filter(|r| matches(r)).count()
    }

    /// Returns how many requests there were since [`clear`](Self::clear), by verb and resource;
    /// forgotten ones count.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.entries.lock().counts.clone()
    }

    /// Returns how many watches are open now.
    #[must_use]
    pub fn open_watches(&self) -> usize {
        self.open_watches.load(Ordering::Relaxed)
    }

    /// Forgets all requests and counts.
    pub fn clear(&self) {
        let mut entries = self.entries.lock();
        entries.requests.clear();
        entries.counts.clear();
    }
}

/// A watch that is open.
#[derive(Debug)]
pub(crate) struct OpenWatch(Arc<RequestLog>);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.open_watches.fetch_sub(1, Ordering::Relaxed);
    }
}
