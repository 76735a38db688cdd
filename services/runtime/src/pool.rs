//! Which workers are idle, and what the function service knows of it.
//!
//! A slot of the function service is a live worker. When a worker goes with a call, the slot is
//! taken back before the call's result, which frees it; when it comes back from a call of an
//! earlier stream, its slot is new to this one. So the calls that are out never exceed the workers
//! that can take them, whichever way frames cross.

use std::sync::Arc;

use baetyl_proto::function::v1::CallResult;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::call::Job;
use crate::session::Session;

#[cfg(test)]
pub(crate) mod tests;

/// The workers of a host, by number.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    levels: watch::Sender<Levels>,
}

/// How many workers can take calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Workers that have loaded their functions.
    pub(crate) live: u32,
    /// Those without a call.
    pub(crate) idle: u32,
}

#[derive(Debug)]
struct State {
    /// Idle workers; the one that was busy last is the next, its caches are warm.
    idle: Vec<usize>,
    /// Workers that have loaded their functions.
    live: u32,
    jobs: Vec<mpsc::Sender<Job>>,
    session: Option<Arc<Session>>,
}

impl Pool {
    /// Creates a pool of workers that are not up yet, with what gives each its calls.
    pub(crate) fn new(workers: usize) -> (Self, Vec<mpsc::Receiver<Job>>) {
        // A worker is given a call only when it is idle, so one place is enough.
        let (jobs, receivers) = (0..workers).map(|_| mpsc::channel(1)).unzip();
        let state = State {
            idle: Vec::new(),
            live: 0,
            jobs,
            session: None,
        };
        let pool = Self {
            state: Mutex::new(state),
            levels: watch::Sender::default(),
        };
        (pool, receivers)
    }

    /// How many workers can take calls; a level to watch.
    pub(crate) fn levels(&self) -> watch::Receiver<Levels> {
        self.levels.subscribe()
    }

    /// Makes a stream the one that is told of changes; `begin` makes it from the number of workers
    /// that are idle at this moment. `None` when there is none.
    pub(crate) fn attach(&self, begin: impl FnOnce(u32) -> Arc<Session>) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        let idle = state.levels().idle;
        if idle == 0 {
            return None;
        }
        let session = begin(idle);
        state.session = Some(session.clone());
        Some(session)
    }

    /// The stream is gone.
    pub(crate) fn detach(&self) {
        self.state.lock().session = None;
    }

    /// Gives a call to an idle worker; false when there is none.
    pub(crate) fn dispatch(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        let Some(worker) = state.idle.pop() else {
            return false;
        };
        self.publish(&state);
        state.jobs[worker].try_send(job).is_ok()
    }

    /// A worker has loaded its functions.
    pub(crate) fn came_up(&self, worker: usize) {
        let mut state = self.state.lock();
        state.idle.push(worker);
        state.live += 1;
        state.add_slot(1);
        self.publish(&state);
    }

    /// A worker has gone. False when it has a call that it did not begin: that must be ended, by
    /// [`Self::lost`].
    pub(crate) fn went_down(&self, worker: usize) -> bool {
        let mut state = self.state.lock();
        let before = state.idle.len();
        state.idle.retain(|each| *each != worker);
        if state.idle.len() == before {
            return false;
        }
        state.live -= 1;
        state.add_slot(-1);
        self.publish(&state);
        true
    }

    /// A worker has ended its call and takes the next one.
    pub(crate) fn finished(&self, worker: usize, session: &Arc<Session>, result: CallResult) {
        let mut state = self.state.lock();
        // Before the result, which may bring the next call at once.
        state.idle.push(worker);
        if !state.is_current(session) {
            state.add_slot(1);
        }
        self.publish(&state);
        session.end(result);
    }

    /// A worker has gone with its call.
    pub(crate) fn lost(&self, session: &Arc<Session>, result: CallResult) {
        let mut state = self.state.lock();
        state.live -= 1;
        if state.is_current(session) {
            state.add_slot(-1);
        }
        self.publish(&state);
        session.end(result);
    }

    fn publish(&self, state: &State) {
        self.levels.send_replace(state.levels());
    }
}

impl State {
    fn levels(&self) -> Levels {
        Levels {
            live: self.live,
            idle: u32::try_from(self.idle.len()).unwrap_or(u32::MAX),
        }
    }

    fn is_current(&self, session: &Arc<Session>) -> bool {
        self.session
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
    }

    fn add_slot(&self, delta: i32) {
        if let Some(session) = &self.session {
            session.outbox().add_slots(delta);
        }
    }
}
