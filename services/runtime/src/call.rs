//! One call on one worker: payload in, answer out, within deadline and credit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_proto::function::v1::{Call, CallResult, Failure, FailureOrigin};
use baetyl_service_kit::telemetry::propagation;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::protocol::{self, CallHeader, ErrorKind, Frame, WorkerError};
use crate::session::{Control, Session, failed};
use crate::settings::{MAX_PAYLOAD_BYTES, Settings};
use crate::worker::{Next, Worker, told};

/// How long user code may take to stop when its caller went away.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// How long it may take when its deadline has passed: nobody waits for it any more.
const TIMEOUT_GRACE: Duration = Duration::from_millis(250);

/// Answers up to this, and last pieces, travel inside of the result.
const INLINE_BYTES: usize = 32 * 1024;

/// Largest piece of an answer.
const CHUNK_BYTES: usize = 64 * 1024;

const MAX_TYPE_BYTES: usize = 256;
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
const MAX_STACK_BYTES: usize = 16 * 1024;

/// A call on its way to a worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// The stream that it came by.
    pub(crate) session: Arc<Session>,
    pub(crate) control: Arc<Control>,
    /// As it came, without its payload.
    pub(crate) call: Call,
    /// Place of the function in the configuration.
    pub(crate) function: usize,
    pub(crate) payload: Payload,
    /// When it came.
    pub(crate) came: Instant,
}

/// The payload of a call.
#[derive(Debug)]
pub(crate) enum Payload {
    /// It is here.
    Whole(Bytes),
    /// It comes in pieces; the text says why it will not.
    Coming(oneshot::Receiver<Result<Bytes, &'static str>>),
}

/// When a call is interrupted next.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// At its deadline, or when it is cancelled.
    Deadline(Instant),
    /// When its worker did not stop it in time.
    Grace(Instant),
}

/// Completes when the limit is reached, with whether that is for the deadline. Cancel safe.
async fn interrupted(limit: Limit, control: &Control) -> bool {
    match limit {
        Limit::Grace(until) => {
            sleep_until(until).await;
            true
        }
        Limit::Deadline(deadline) => tokio::select! {
            () = sleep_until(deadline) => true,
            () = control.cancelled() => control.is_timeout(),
        },
    }
}

/// How a call ended, and whether its worker can take another one.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) result: CallResult,
    pub(crate) is_worker_good: bool,
}

/// Runs a call to its end. A worker that is not good afterwards is to be killed.
pub(crate) async fn run(worker: &mut Worker, mut job: Job, settings: &Settings) -> End {
    let budget = Duration::from_micros(job.call.timeout_us);
    let budget = if budget.is_zero() {
        settings.timeout
    } else {
        budget.min(settings.timeout)
    };
    let payload = std::mem::replace(&mut job.payload, Payload::Whole(Bytes::new()));
    let mut run = Run {
        deadline: job.came + budget,
        giving_up: None,
        worker,
        job: &job,
    };
    let payload = match run.whole(payload).await {
        Ok(payload) => payload,
        // It did not run.
        Err(result) => {
            return End {
                result,
                is_worker_good: true,
            };
        }
    };
    job.session.started(job.call.call_id);
    if !run.begin(payload, settings).await {
        return run.gone().await;
    }
    run.follow().await
}

/// A call that runs.
struct Run<'a> {
    worker: &'a mut Worker,
    job: &'a Job,
    deadline: Instant,
    /// Set when the call is not wanted any more: until when its worker may stop it, and its end.
    giving_up: Option<(Instant, CallResult)>,
}

impl Run<'_> {
    fn failed(&self, origin: FailureOrigin, reason: &str, message: &str) -> CallResult {
        failed(self.job.call.call_id, origin, reason, message)
    }

    async fn whole(&self, payload: Payload) -> Result<Bytes, CallResult> {
        let coming = match payload {
            Payload::Whole(payload) if payload.len() <= MAX_PAYLOAD_BYTES => return Ok(payload),
            Payload::Whole(_) => {
                let message = "its payload is too large";
                return Err(self.failed(FailureOrigin::Runtime, "PROTOCOL_ERROR", message));
            }
            Payload::Coming(coming) => coming,
        };
        tokio::select! {
            payload = coming => match payload {
                Ok(Ok(payload)) => Ok(payload),
                Ok(Err(message)) => {
                    Err(self.failed(FailureOrigin::Runtime, "PROTOCOL_ERROR", message))
                }
                Err(_) => Err(self.unwanted(false)),
            },
            is_timeout = interrupted(self.limit(), &self.job.control) => Err(self.unwanted(is_timeout)),
        }
    }

    /// Hands the call to the worker; false when that has gone.
    async fn begin(&mut self, payload: Bytes, settings: &Settings) -> bool {
        let call = &self.job.call;
        let config = &settings.config;
        let traceparent = propagation::traceparent();
        let traceparent = traceparent.as_deref().unwrap_or(&call.traceparent);
        let mut context: BTreeMap<&str, &str> = call
            .metadata
            .iter()
            .map(|entry| (entry.key.as_str(), entry.value.as_str()))
            .collect();
        context.insert("serviceName", &config.service);
        context.insert("functionName", &config.functions[self.job.function].name);
        context.insert("invokeId", &call.invocation_id);
        if !traceparent.is_empty() {
            context.insert("traceparent", traceparent);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let header = CallHeader {
            function: self.job.function,
            stream: call.stream_response,
            timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            context,
        };
        let frame = protocol::call(call.call_id, &header, payload.len());
        let sent = tokio::time::timeout_at(
            self.deadline + TIMEOUT_GRACE,
            self.worker.send(frame, payload),
        );
        matches!(sent.await, Ok(Ok(())))
    }

    async fn follow(mut self) -> End {
        loop {
            let limit = self.limit();
            let next = tokio::select! {
                next = self.worker.next() => Ok(next),
                is_timeout = interrupted(limit, &self.job.control) => Err(is_timeout),
            };
            let next = match next {
                Ok(next) => next,
                Err(is_timeout) if self.give_up(is_timeout).await => continue,
                Err(_) => return self.gone().await,
            };
            let own = self.job.call.call_id;
            match next {
                Next::Frame(Frame::Chunk { call, data }) if call == own => {
                    self.emit(data).await;
                }
                Next::Frame(Frame::Result {
                    call,
                    run_us,
                    payload,
                }) if call == own => {
                    let payload = self.emit_long(payload).await;
                    return self.ended(run_us, payload, None);
                }
                Next::Frame(Frame::Error {
                    call,
                    run_us,
                    error,
                }) if call == own => return self.ended(run_us, Bytes::new(), Some(error)),
                Next::Frame(_) => {
                    tracing::warn!("worker spoke of a call that it does not have");
                    return self.gone().await;
                }
                Next::Gone => return self.gone().await,
            }
        }
    }

    fn limit(&self) -> Limit {
        match &self.giving_up {
            Some((until, _)) => Limit::Grace(*until),
            None => Limit::Deadline(self.deadline),
        }
    }

    fn unwanted(&self, is_timeout: bool) -> CallResult {
        if is_timeout {
            let message = "the function did not finish in time";
            return self.failed(FailureOrigin::Timeout, "FUNCTION_TIMEOUT", message);
        }
        let message = "the call was cancelled";
        self.failed(FailureOrigin::Cancelled, "CALL_CANCELLED", message)
    }

    /// Asks the worker to stop the call; false when it has been asked and did not, or has gone.
    async fn give_up(&mut self, is_timeout: bool) -> bool {
        if self.giving_up.is_some() {
            return false;
        }
        let grace = if is_timeout {
            TIMEOUT_GRACE
        } else {
            CANCEL_GRACE
        };
        let until = Instant::now() + grace;
        self.giving_up = Some((until, self.unwanted(is_timeout)));
        let frame = protocol::cancel(self.job.call.call_id);
        let sent = tokio::time::timeout_at(until, self.worker.send(frame, Bytes::new()));
        matches!(sent.await, Ok(Ok(())))
    }

    /// Sends one yielded value.
    async fn emit(&mut self, data: Bytes) {
        let last = self.pieces(data, 0).await;
        if let Some(last) = last {
            self.piece(last, true).await;
        }
    }

    /// Sends a long answer up to its last piece, which goes into the result.
    async fn emit_long(&mut self, payload: Bytes) -> Bytes {
        self.pieces(payload, INLINE_BYTES).await.unwrap_or_default()
    }

    /// Sends pieces until at most `rest_bytes` are left, or the last piece when that is 0, and
    /// returns it; `None` when the call is not wanted any more.
    async fn pieces(&mut self, mut data: Bytes, rest_bytes: usize) -> Option<Bytes> {
        let window = usize::try_from(self.job.session.window()).unwrap_or(CHUNK_BYTES);
        let largest = CHUNK_BYTES.min(window.max(1));
        while data.len() > largest.max(rest_bytes) {
            let piece = data.split_to(largest);
            if !self.piece(piece, false).await {
                return None;
            }
        }
        Some(data)
    }

    /// Sends a piece when there is credit for it; false when the call is not wanted any more. Its
    /// worker waits meanwhile, since nobody reads what it says.
    async fn piece(&mut self, piece: Bytes, is_end: bool) -> bool {
        if self.giving_up.is_some() {
            return false;
        }
        let bytes = u32::try_from(piece.len()).expect("pieces are small");
        let is_timeout = tokio::select! {
            // Credit that is there is taken even when the deadline passes at this moment.
            biased;
            () = self.job.control.take_credit(bytes) => {
                self.job.session.chunk(self.job.call.call_id, piece, is_end);
                return true;
            }
            // Nobody is interested; the call ends in its own time.
            () = self.job.session.outbox().closed() => return false,
            is_timeout = interrupted(self.limit(), &self.job.control) => is_timeout,
        };
        // A worker that has gone is found out by the next read.
        self.give_up(is_timeout).await;
        false
    }

    /// The worker ended the call.
    fn ended(self, run_us: u64, payload: Bytes, error: Option<WorkerError>) -> End {
        let mut result = match (self.giving_up, error) {
            (Some((_, result)), _) => result,
            (None, error) => CallResult {
                call_id: self.job.call.call_id,
                failure: error.map(failure),
                payload,
                ..CallResult::default()
            },
        };
        result.run_us = run_us;
        End {
            result,
            is_worker_good: true,
        }
    }

    /// The worker has gone, or did not stop in time.
    async fn gone(self) -> End {
        let result = match self.giving_up {
            Some((_, result)) => result,
            None => {
                let message = format!("the worker died: {}", told(&self.worker.kill().await));
                failed(
                    self.job.call.call_id,
                    FailureOrigin::Runtime,
                    "RUNTIME_DIED",
                    &message,
                )
            }
        };
        End {
            result,
            is_worker_good: false,
        }
    }
}

fn failure(error: WorkerError) -> Failure {
    let (origin, reason) = match error.kind {
        ErrorKind::Raised => (FailureOrigin::Function, "FUNCTION_RAISED"),
        ErrorKind::NotEncodable => (FailureOrigin::Runtime, "RESULT_NOT_ENCODABLE"),
        ErrorKind::TooLarge => (FailureOrigin::Runtime, "RESULT_TOO_LARGE"),
        // Only a call that is being given up is cancelled, and that has its end already.
        ErrorKind::Cancelled => (FailureOrigin::Cancelled, "CALL_CANCELLED"),
    };
    Failure {
        origin: origin.into(),
        reason: reason.to_owned(),
        message: cut(error.message, MAX_MESSAGE_BYTES),
        error_type: cut(error.r#type, MAX_TYPE_BYTES),
        stack: cut(error.stack, MAX_STACK_BYTES),
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}
