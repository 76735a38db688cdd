//! The calls of one attach stream: each has one end, and what comes for it finds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::{Call, CallResult, Chunk, Failure, FailureOrigin, Started};
use bytes::{Bytes, BytesMut};
use opentelemetry::KeyValue;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::call::{Job, Payload};
use crate::metrics;
use crate::outbox::Outbox;
use crate::pool::Pool;
use crate::settings::MAX_PAYLOAD_BYTES;

#[cfg(test)]
mod tests;

/// Bytes of a payload's chunks that the function service may send before it gets credit.
pub(crate) const UPLOAD_WINDOW_BYTES: u32 = 256 * 1024;

/// Credit that a call may pile up; more is a service that does not count.
const MAX_CREDIT_BYTES: usize = 1 << 30;

/// What reaches a call while it runs.
#[derive(Debug)]
pub(crate) struct Control {
    cancelled: CancellationToken,
    is_timeout: AtomicBool,
    /// Bytes of the answer's chunks that may be sent.
    credit: Semaphore,
}

impl Control {
    /// Completes when the call is not wanted any more. Cancel safe.
    pub(crate) fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.cancelled.cancelled()
    }

    /// Whether it was cancelled for its deadline.
    pub(crate) fn is_timeout(&self) -> bool {
        self.is_timeout.load(Ordering::Relaxed)
    }

    /// Waits for room for some bytes and takes it. Cancel safe.
    pub(crate) async fn take_credit(&self, bytes: u32) {
        let permit = self.credit.acquire_many(bytes).await;
        permit.expect("the semaphore is never closed").forget();
    }
}

/// The calls of one stream.
#[derive(Debug)]
pub(crate) struct Session {
    outbox: Outbox,
    calls: Mutex<HashMap<u64, Arc<Control>>>,
    active: watch::Sender<usize>,
    /// Set by Welcome: bytes of an answer's chunks before credit.
    window: Mutex<u32>,
}

impl Session {
    /// Creates a stream without calls.
    pub(crate) fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            calls: Mutex::default(),
            active: watch::Sender::new(0),
            window: Mutex::new(0),
        }
    }

    /// What waits to be sent.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Sets what Welcome said.
    pub(crate) fn set_window(&self, bytes: u32) {
        *self.window.lock() = bytes;
    }

    /// Bytes of an answer's chunks that may be sent before credit.
    pub(crate) fn window(&self) -> u32 {
        *self.window.lock()
    }

    /// Number of calls that have no result yet; a level to watch.
    pub(crate) fn active(&self) -> watch::Receiver<usize> {
        self.active.subscribe()
    }

    /// Takes a call up. `None` when there is one of this id.
    fn begin(&self, call_id: u64) -> Option<Arc<Control>> {
        let window = usize::try_from(self.window()).unwrap_or(MAX_CREDIT_BYTES);
        let control = Arc::new(Control {
            cancelled: CancellationToken::new(),
            is_timeout: AtomicBool::new(false),
            credit: Semaphore::new(window.min(MAX_CREDIT_BYTES)),
        });
        let mut calls = self.calls.lock();
        if calls.contains_key(&call_id) {
            return None;
        }
        calls.insert(call_id, control.clone());
        self.active.send_replace(calls.len());
        Some(control)
    }

    /// Says that a call runs.
    pub(crate) fn started(&self, call_id: u64) {
        let call_ids = vec![call_id];
        self.outbox.push(Kind::Started(Started { call_ids }));
    }

    /// Sends a piece of an answer, for which credit was taken.
    pub(crate) fn chunk(&self, call_id: u64, data: Bytes, end: bool) {
        let chunk = Chunk { call_id, data, end };
        self.outbox.push(Kind::Chunk(chunk));
    }

    /// Ends a call. Only the first end of a call is sent.
    pub(crate) fn end(&self, result: CallResult) {
        let mut calls = self.calls.lock();
        if calls.remove(&result.call_id).is_none() {
            return;
        }
        let outcome = match &result.failure {
            None => "ok",
            Some(failure) => failure.origin().as_str_name(),
        };
        metrics::CALLS.add(1, &[KeyValue::new("outcome", outcome)]);
        self.outbox.push(Kind::Result(result));
        self.active.send_replace(calls.len());
    }

    /// Makes a call stop.
    pub(crate) fn cancel(&self, call_id: u64, reason: &str) {
        if let Some(control) = self.calls.lock().get(&call_id) {
            let is_timeout = reason == "FUNCTION_TIMEOUT";
            control.is_timeout.store(is_timeout, Ordering::Relaxed);
            control.cancelled.cancel();
        }
    }

    /// Makes every call stop.
    pub(crate) fn cancel_all(&self) {
        for control in self.calls.lock().values() {
            control.cancelled.cancel();
        }
    }

    /// Adds room for a call's chunks.
    pub(crate) fn credit(&self, call_id: u64, bytes: u32) {
        if let Some(control) = self.calls.lock().get(&call_id) {
            let room = MAX_CREDIT_BYTES.saturating_sub(control.credit.available_permits());
            let bytes = usize::try_from(bytes).unwrap_or(room);
            control.credit.add_permits(bytes.min(room));
        }
    }
}

/// The end of a call that did not run: another attempt is safe.
pub(crate) fn refused(call_id: u64, message: &str) -> CallResult {
    failed(call_id, FailureOrigin::Overload, "OVERLOADED", message)
}

/// The bad end of a call, without anything from the user's code.
pub(crate) fn failed(
    call_id: u64,
    origin: FailureOrigin,
    reason: &str,
    message: &str,
) -> CallResult {
    let failure = Failure {
        origin: origin.into(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    };
    CallResult {
        call_id,
        failure: Some(failure),
        ..CallResult::default()
    }
}

/// Takes calls from the stream and gives them to workers; owned by the task that reads.
pub(crate) struct Intake {
    session: Arc<Session>,
    pool: Arc<Pool>,
    /// Place of each function in the configuration, by its number on this stream.
    functions: HashMap<u32, usize>,
    uploads: HashMap<u64, Upload>,
    is_draining: bool,
}

/// A payload that comes in pieces.
struct Upload {
    buffer: BytesMut,
    whole: oneshot::Sender<Result<Bytes, &'static str>>,
}

impl Intake {
    /// Creates the intake of a stream that was welcomed.
    pub(crate) fn new(session: Arc<Session>, pool: Arc<Pool>, function_ids: &[u32]) -> Self {
        let functions = function_ids.iter().copied().zip(0..).collect();
        Self {
            session,
            pool,
            functions,
            uploads: HashMap::new(),
            is_draining: false,
        }
    }

    /// Takes no more calls from now on.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Takes a call.
    pub(crate) fn call(&mut self, mut call: Call) {
        let call_id = call.call_id;
        let Some(control) = self.session.begin(call_id) else {
            tracing::warn!("function service repeated the id of a running call");
            metrics::FRAMES_IGNORED.add(1, &[]);
            return;
        };
        if self.is_draining {
            return self
                .session
                .end(refused(call_id, "the runtime is draining"));
        }
        let Some(&function) = self.functions.get(&call.function_id) else {
            let message = "the runtime serves no function of this number";
            let origin = FailureOrigin::Runtime;
            return self
                .session
                .end(failed(call_id, origin, "PROTOCOL_ERROR", message));
        };
        let payload = std::mem::take(&mut call.payload);
        let payload = if call.more {
            let (whole, coming) = oneshot::channel();
            let buffer = BytesMut::from(payload);
            self.uploads.insert(call_id, Upload { buffer, whole });
            Payload::Coming(coming)
        } else {
            Payload::Whole(payload)
        };
        let job = Job {
            session: self.session.clone(),
            control,
            call,
            function,
            payload,
            came: Instant::now(),
        };
        if !self.pool.dispatch(job) {
            self.uploads.remove(&call_id);
            let message = "every worker of the runtime is busy";
            self.session.end(refused(call_id, message));
        }
    }

    /// Takes a piece of a payload.
    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        let call_id = chunk.call_id;
        let Some(mut upload) = self.uploads.remove(&call_id) else {
            // Its call has ended, or never was.
            metrics::FRAMES_IGNORED.add(1, &[]);
            return;
        };
        if upload.buffer.len() + chunk.data.len() > MAX_PAYLOAD_BYTES {
            upload.whole.send(Err("its payload is too large")).ok();
            return;
        }
        let bytes = u32::try_from(chunk.data.len()).expect("payloads are bounded far below");
        upload.buffer.extend_from_slice(&chunk.data);
        if chunk.end {
            upload.whole.send(Ok(upload.buffer.freeze())).ok();
        } else if !upload.whole.is_closed() {
            self.session.outbox().grant(call_id, bytes);
            self.uploads.insert(call_id, upload);
        }
    }
}
