//! What all parts of a running server share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::log::RequestLog;
use crate::options::Options;
use crate::pod_logs::PodLogs;
use crate::rbac::Users;
use crate::state::State;
use crate::usage::Usage;

/// The inside of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    /// Counts calls for bookmarks.
    pub(crate) bookmarks: watch::Sender<u64>,
    pub(crate) faults: Faults,
    pub(crate) log: Arc<RequestLog>,
    pub(crate) pod_logs: PodLogs,
    pub(crate) usage: Usage,
    pub(crate) users: Users,
    /// Ends the server.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            log: Arc::new(RequestLog::new(options.request_log)),
            state: Mutex::new(State::new(options)),
            version: watch::Sender::new(1),
            bookmarks: watch::Sender::new(0),
            faults: Faults::default(),
            pod_logs: PodLogs::default(),
            usage: Usage::default(),
            users: Users::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Runs something under the lock; whoever waits for changes then looks.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (result, version) = {
            let mut state = self.state.lock();
            let result = work(&mut state);
            (result, state.version())
        };
        self.version.send_if_modified(|known| {
            let is_new = *known < version;
            *known = version.max(*known);
            is_new
        });
        result
    }

    /// The level that rises with every change.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}
