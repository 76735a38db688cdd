//! Structured tasks and an orderly end: drain under a deadline, then abort.
//!
//! Every task is spawned here, with a name and a policy. The order of an end is: readiness false,
//! a short settle, [`Shutdown::begin`] (listeners stop, streams end themselves), tasks in flight
//! finish, [`Shutdown::drain`] returns, telemetry is flushed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

#[cfg(test)]
mod tests;

/// How long tasks get to be dropped after an abort; dropping is synchronous, so this is only
/// exceeded by a task that blocks its thread.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// What happens to a task when draining begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCancel {
    /// The task watches [`Shutdown::draining`] and finishes by itself; it is dropped only when the
    /// deadline passed or a second signal came.
    Wait,
    /// The task is dropped at its next await point: for loops without half-done work.
    Abort,
}

/// What happens when a task returns an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The error is logged, the service goes on.
    Log,
    /// The error is logged and kept as [`Shutdown::failure`], and draining begins: the service is
    /// no use without this task.
    Stop,
}

/// How draining ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// Every task finished by itself.
    Clean,
    /// The deadline passed or a second signal came; these tasks were dropped.
    Aborted(Vec<&'static str>),
}

/// A handle to the life of a service; clones share it, [`Shutdown::child`] makes a part of it.
#[derive(Clone)]
pub struct Shutdown {
    draining: CancellationToken,
    aborting: CancellationToken,
    tracker: TaskTracker,
    /// The trackers of the parents, which wait for this part's tasks too.
    ancestors: Arc<[TaskTracker]>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    next_id: AtomicU64,
    running: Mutex<BTreeMap<u64, &'static str>>,
    failure: Mutex<Option<String>>,
}

/// Removes a task's name when the task ends in whatever way.
struct Registered {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.running.lock().remove(&self.id);
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("draining", &self.draining.is_cancelled())
            .field("aborting", &self.aborting.is_cancelled())
            .field("tasks", &self.tracker.len())
            .finish_non_exhaustive()
    }
}

impl Shutdown {
    /// Creates the root handle of a program or of a test.
    #[must_use]
    pub fn new() -> Self {
        Self {
            draining: CancellationToken::new(),
            aborting: CancellationToken::new(),
            tracker: TaskTracker::new(),
            ancestors: Arc::new([]),
            shared: Arc::default(),
        }
    }

    /// Creates a part that can be drained alone and is drained with the whole. A failure of the
    /// part is its own: whoever made it decides what follows.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut ancestors = self.ancestors.to_vec();
        ancestors.push(self.tracker.clone());
        Self {
            draining: self.draining.child_token(),
            aborting: self.aborting.child_token(),
            tracker: TaskTracker::new(),
            ancestors: ancestors.into(),
            shared: Arc::default(),
        }
    }

    /// Spawns a task that cannot fail. A panic is logged and begins draining.
    pub fn spawn<F>(&self, name: &'static str, on_cancel: OnCancel, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let future = future.map(Ok::<(), std::convert::Infallible>);
        self.spawn_fallible(name, on_cancel, OnError::Log, future);
    }

    /// Spawns a task that can fail. A panic is logged and begins draining.
    pub fn spawn_fallible<F, E>(
        &self,
        name: &'static str,
        on_cancel: OnCancel,
        on_error: OnError,
        future: F,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        self.shared.running.lock().insert(id, name);
        let registered = Registered {
            shared: self.shared.clone(),
            id,
        };
        let tokens: Vec<_> = self.ancestors.iter().map(TaskTracker::token).collect();
        let dropped_by = match on_cancel {
            OnCancel::Wait => self.aborting.clone(),
            // Aborting implies draining: see `abort`.
            OnCancel::Abort => self.draining.clone(),
        };
        let this = self.clone();
        self.tracker.spawn(async move {
            let _held_to_the_end = (registered, tokens);
            let caught = AssertUnwindSafe(future).catch_unwind();
            // The outcome is read first when both are ready, so that no error is lost.
            tokio::select! {
                biased;
                outcome = caught => this.conclude(name, on_error, outcome),
                () = dropped_by.cancelled() => {}
            }
        });
    }

    fn conclude<E: std::error::Error>(
        &self,
        name: &'static str,
        on_error: OnError,
        outcome: std::thread::Result<Result<(), E>>,
    ) {
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) if on_error == OnError::Log => {
                let error = crate::fault::chain(&error);
                tracing::warn!(task = name, error, "task ended with an error");
            }
            Ok(Err(error)) => {
                let error = crate::fault::chain(&error);
                tracing::error!(task = name, error, "task failed, stopping");
                self.fail(format!("{name}: {error}"));
            }
            Err(_) => {
                // The panic hook printed the message and the place.
                tracing::error!(task = name, "task panicked, stopping");
                self.fail(format!("{name}: panicked"));
            }
        }
    }

    /// Records why the service cannot go on (the first reason stays) and begins draining.
    pub fn fail(&self, reason: String) {
        self.shared.failure.lock().get_or_insert(reason);
        self.begin();
    }

    /// Why the service stopped itself, if it did: the program's exit code follows from it.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }

    /// Completes when draining begins. Cancel safe.
    pub fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.draining.cancelled()
    }

    /// Whether draining began.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// A token that is cancelled when draining begins, for code that takes tokens.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Begins draining, without waiting.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Drops every task at its next await point.
    pub fn abort(&self) {
        self.draining.cancel();
        self.aborting.cancel();
    }

    /// Begins draining on the first SIGTERM or SIGINT, aborts on the second. Called once, by the
    /// program, on the root handle.
    ///
    /// # Errors
    /// The handlers could not be installed, which only happens without a runtime's IO driver.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let this = self.clone();
        // Not spawned on the tracker: it must outlive draining, to see the second signal. It holds
        // no work and ends with the runtime.
        let listener = async move {
            for is_first in [true, false] {
                // Both arms are cancel safe: a signal stays pending in its stream.
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if is_first {
                    tracing::info!(signal = name, "draining");
                    this.begin();
                    continue;
                }
                tracing::warn!(signal = name, "aborting on the second signal");
                this.abort();
            }
        };
        drop(tokio::spawn(listener));
        Ok(())
    }

    /// Begins draining and waits for every task, at most `deadline`; then drops what is left.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.begin();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = self.aborting.cancelled() => {}
            () = tokio::time::sleep(deadline) => {}
        }
        let left: Vec<&'static str> = self.shared.running.lock().values().copied().collect();
        if self.tracker.is_empty() {
            return Drained::Clean;
        }
        tracing::warn!(tasks = ?left, "tasks did not finish in time, dropping them");
        self.abort();
        if tokio::time::timeout(ABORT_GRACE, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("a dropped task still blocks its thread");
        }
        Drained::Aborted(left)
    }
}
