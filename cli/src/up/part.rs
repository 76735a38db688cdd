//! The services in this process, each with an end of its own.

use std::future::Future;
use std::time::Duration;

use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// How long one service may take to end; core stops its applications within it.
const DRAIN_DEADLINE: Duration = Duration::from_secs(40);

/// One service.
pub(super) struct Part {
    shutdown: Shutdown,
    ended: oneshot::Receiver<Result<(), Failure>>,
}

impl Part {
    /// Starts a service that ends when its shutdown drains.
    pub(super) fn start<F, R>(name: &'static str, run: F) -> Self
    where
        F: FnOnce(Shutdown) -> R,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let shutdown = Shutdown::new();
        let running = run(shutdown.clone());
        let (sender, ended) = oneshot::channel();
        shutdown.spawn(name, OnCancel::Wait, async move {
            // Nobody waits when the program ends at once.
            sender.send(running.await).ok();
        });
        Self { shutdown, ended }
    }

    async fn end(self) -> Result<(), Failure> {
        self.shutdown.begin();
        let outcome = tokio::time::timeout(DRAIN_DEADLINE, self.ended).await;
        self.shutdown.drain(Duration::from_secs(1)).await;
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(Failure::failed("a service did not end in time".to_owned())),
        }
    }
}

/// All services, in the order of their start.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Adds a service.
    pub(super) fn add(&mut self, part: Part) {
        self.0.push(part);
    }

    /// Ends them, the last one first: whoever uses another ends before it.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for part in self.0.into_iter().rev() {
            outcome = outcome.and(part.end().await);
        }
        outcome
    }
}
