//! Keeps one worker running, and gives it calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use baetyl_service_kit::backoff::Backoff;
use baetyl_service_kit::fault::chain;
use baetyl_service_kit::telemetry::propagation;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::call::{self, Job};
use crate::error::Error;
use crate::metrics;
use crate::pool::Pool;
use crate::session::refused;
use crate::worker::{Next, StartError, Starter, Worker};

/// What the slots of a host share.
pub(crate) struct Slots {
    pub(crate) starter: Starter,
    pub(crate) pool: Arc<Pool>,
    /// Numbers workers.
    pub(crate) serial: AtomicU64,
    /// Set when the host cannot go on.
    pub(crate) fatal: watch::Sender<Option<Error>>,
    /// Set once a worker has loaded the functions: then a failure need not be the code's.
    pub(crate) has_loaded: CancellationToken,
    /// Workers are to end.
    pub(crate) stop: CancellationToken,
}

/// What a worker did before it had gone.
enum Served {
    /// It took calls.
    Calls,
    /// It died idle.
    Nothing,
    /// It served until all workers were to end.
    ToTheEnd,
}

/// Keeps the worker of a slot running until all are stopped.
pub(crate) async fn run(slots: Arc<Slots>, number: usize, mut jobs: mpsc::Receiver<Job>) {
    let mut backoff = Backoff::default();
    while !slots.stop.is_cancelled() {
        match start(&slots).await {
            Ok(worker) => {
                backoff.healthy(Instant::now());
                slots.has_loaded.cancel();
                slots.pool.came_up(number);
                match slots.serve(number, worker, &mut jobs).await {
                    Served::Calls => {
                        // What ended it was a call; the next ones must not wait for its sake.
                        backoff = Backoff::default();
                        continue;
                    }
                    Served::Nothing => {}
                    Served::ToTheEnd => return,
                }
            }
            Err(StartError::Stopped) => return,
            Err(error) => {
                let text = chain(&error);
                tracing::warn!(error = text, "worker did not come up");
                slots.judge(error);
            }
        }
        let delay = backoff.next_delay(Instant::now());
        tokio::select! {
            () = slots.stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

async fn start(slots: &Slots) -> Result<Worker, StartError> {
    metrics::WORKER_STARTS.add(1, &[]);
    let serial = slots.serial.fetch_add(1, Ordering::Relaxed);
    slots.starter.start(serial, &slots.stop).await
}

impl Slots {
    /// Gives calls to a worker until it has gone.
    async fn serve(
        &self,
        number: usize,
        mut worker: Worker,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Served {
        let mut served = Served::Nothing;
        loop {
            let job = tokio::select! {
                // A call that was given must be taken, whatever else happened.
                biased;
                Some(job) = jobs.recv() => job,
                next = worker.next() => {
                    self.idle_worker_gone(number, &next, jobs).await;
                    worker.kill().await;
                    return served;
                }
                () = self.stop.cancelled() => {
                    self.refuse_last(number, jobs).await;
                    worker.stop().await;
                    return Served::ToTheEnd;
                }
            };
            served = Served::Calls;
            if !self.call(number, &mut worker, job).await {
                worker.kill().await;
                return served;
            }
        }
    }

    /// Runs a call; false when the worker is to be replaced.
    async fn call(&self, number: usize, worker: &mut Worker, job: Job) -> bool {
        let session = job.session.clone();
        let settings = &self.starter.settings;
        let span = tracing::info_span!(
            "function",
            service = settings.config.service,
            function = settings.config.functions[job.function].name,
            invocation = job.call.invocation_id,
        );
        propagation::set_parent_from_traceparent(&span, &job.call.traceparent);
        let end = call::run(worker, job, settings).instrument(span).await;
        if end.is_worker_good {
            self.pool.finished(number, &session, end.result);
            return true;
        }
        let reason = end.result.failure.as_ref().map(|each| each.reason.clone());
        tracing::warn!(reason, "worker is replaced");
        self.pool.lost(&session, end.result);
        false
    }

    async fn idle_worker_gone(&self, number: usize, next: &Next, jobs: &mut mpsc::Receiver<Job>) {
        match next {
            Next::Gone => tracing::warn!("idle worker died"),
            Next::Frame(_) => tracing::warn!("idle worker spoke of a call"),
        }
        self.refuse_last(number, jobs).await;
    }

    /// Takes the slot back, and refuses the call that was given to it at the last moment.
    async fn refuse_last(&self, number: usize, jobs: &mut mpsc::Receiver<Job>) {
        if self.pool.went_down(number) {
            return;
        }
        if let Some(job) = jobs.recv().await {
            let result = refused(job.call.call_id, "the worker ended before the call began");
            self.pool.lost(&job.session, result);
        }
    }

    /// Decides whether trying again can help.
    fn judge(&self, error: StartError) {
        let StartError::Code(error) = error else {
            return;
        };
        if self.has_loaded.is_cancelled() {
            return;
        }
        let error = Error::CodeNotLoaded {
            function: error.function,
            error_type: error.r#type,
            message: error.message,
            stack: error.stack,
        };
        self.fatal.send_if_modified(|fatal| {
            let is_first = fatal.is_none();
            fatal.get_or_insert(error);
            is_first
        });
    }
}
