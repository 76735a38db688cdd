//! What waits to be written to one endpoint, in the order in which it goes out.
//!
//! Control goes before calls, calls before a pong and that before chunks; chunks of several calls
//! take turns. There is no timer: what is ready when the transport asks makes one batch. The queues have no cap of
//! their own, since what they hold is bounded elsewhere: a call, a cancel, a credit and an upload
//! at most per slot, and one ping and one pong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::calls::CallId;
use super::endpoint::EndpointId;
use super::invocation::{CancelReason, Invocation};

/// Most commands in one batch.
pub const MAX_BATCH: usize = 64;
/// A batch ends with the command that takes it over this.
pub const MAX_BATCH_BYTES: usize = 64 * 1024;
/// Payloads up to this travel inside of their call.
pub const INLINE_BYTES: usize = 64 * 1024;
/// What a call may send before the next one's turn.
const QUANTUM_BYTES: usize = 16 * 1024;

/// The first thing that an attached runtime is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The registration's number.
    pub epoch: EndpointId,
    /// Names the lease.
    pub lease_id: String,
    /// How many functions the runtime named; they are numbered from 0.
    pub functions: u32,
}

/// The last thing that an endpoint is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway {
    /// Stable UPPER_SNAKE word.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
    /// When to come back; `None` for the runtime's own backoff.
    pub reconnect_after: Option<Duration>,
}

/// A call to be sent.
#[derive(Debug, Clone)]
pub struct CallCommand {
    /// Its id for this attempt.
    pub id: CallId,
    /// Number of the function on this endpoint.
    pub function: u32,
    /// 1 for the first try.
    pub attempt: u32,
    /// What to run.
    pub invocation: Arc<Invocation>,
    /// The payload, or its first piece.
    pub payload: Bytes,
    /// Whether chunks follow.
    pub has_more: bool,
}

/// One thing to be told to an endpoint.
#[derive(Debug)]
pub enum Command {
    /// It is registered.
    Welcome(Welcome),
    /// A call.
    Call(CallCommand),
    /// A piece of a payload.
    Chunk {
        /// Which call.
        id: CallId,
        /// The piece.
        data: Bytes,
        /// Whether it is the last.
        is_last: bool,
    },
    /// Room for bytes of an answer.
    Credit {
        /// Which call.
        id: CallId,
        /// How many more bytes.
        bytes: u32,
    },
    /// A call is not wanted any more.
    Cancel {
        /// Which call.
        id: CallId,
        /// Why.
        reason: CancelReason,
    },
    /// Is it alive?
    Ping(u64),
    /// The proxy is.
    Pong(u64),
    /// The end.
    GoAway(GoAway),
}

/// The queue of one endpoint: filled by the pool, emptied by a transport.
#[derive(Debug)]
pub struct Outbox {
    /// Whether the transport takes large payloads in pieces.
    is_chunked: bool,
    queues: Mutex<Queues>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Queues {
    /// Bytes of chunks that each call may send ahead of credit.
    window: u32,
    welcome: Option<Welcome>,
    pong: Option<u64>,
    ping: Option<u64>,
    cancels: VecDeque<(CallId, CancelReason)>,
    credits: VecDeque<(CallId, u32)>,
    calls: VecDeque<CallCommand>,
    /// Uploads with credit, in turn.
    uploads: VecDeque<Upload>,
    /// Uploads without.
    parked: Vec<Upload>,
    farewell: Option<GoAway>,
    is_closed: bool,
    has_spoken: bool,
    waker: Option<Waker>,
}

/// The rest of a payload.
#[derive(Debug)]
struct Upload {
    id: CallId,
    rest: Bytes,
    credit: u32,
}

impl Outbox {
    /// The queue of a transport that takes large payloads in chunks, `window` bytes per call
    /// ahead of the runtime's credit.
    #[must_use]
    pub fn chunked(window: u32) -> Self {
        Self::new(true, window)
    }

    /// The queue of a transport that takes payloads whole.
    #[must_use]
    pub fn unchunked() -> Self {
        Self::new(false, 0)
    }

    fn new(is_chunked: bool, window: u32) -> Self {
        let queues = Queues {
            window,
            ..Queues::default()
        };
        Self {
            is_chunked,
            queues: Mutex::new(queues),
            closed: CancellationToken::new(),
        }
    }

    /// Changes the window of calls that are sent from now on, to what the runtime asks for.
    pub fn set_window(&self, window: u32) {
        self.queues.lock().window = window;
    }

    /// Tells that the endpoint is registered; goes before everything else.
    pub fn welcome(&self, welcome: Welcome) {
        self.push(|queues| queues.welcome = Some(welcome));
    }

    /// Asks for a sign of life.
    pub fn ping(&self, nonce: u64) {
        self.push(|queues| queues.ping = Some(nonce));
    }

    /// Answers a ping; of several that wait, the last is answered.
    pub fn pong(&self, nonce: u64) {
        self.push(|queues| queues.pong = Some(nonce));
    }

    /// Sends a call.
    pub(super) fn call(
        &self,
        id: CallId,
        function: u32,
        attempt: u32,
        invocation: Arc<Invocation>,
    ) {
        let whole = invocation.payload.clone();
        let has_more = self.is_chunked && whole.len() > INLINE_BYTES;
        let payload = if has_more {
            whole.slice(..INLINE_BYTES)
        } else {
            whole
        };
        let command = CallCommand {
            id,
            function,
            attempt,
            invocation,
            payload,
            has_more,
        };
        self.push(|queues| queues.calls.push_back(command));
    }

    /// Takes a call back. True when it had not left yet, so that the runtime never hears of it.
    pub(super) fn cancel(&self, id: CallId, reason: CancelReason) -> bool {
        let mut is_unsent = false;
        self.push(|queues| {
            let before = queues.calls.len();
            queues.calls.retain(|call| call.id != id);
            is_unsent = queues.calls.len() < before;
            queues.drop_pieces(id);
            if !is_unsent {
                queues.cancels.push_back((id, reason));
            }
        });
        is_unsent
    }

    /// Drops what still waits to be sent for a call that has ended.
    pub(super) fn forget(&self, id: CallId) {
        let mut queues = self.queues.lock();
        queues.drop_pieces(id);
        queues.cancels.retain(|(each, _)| *each != id);
    }

    /// Gives the endpoint room for more bytes of an answer.
    pub(super) fn grant(&self, id: CallId, bytes: u32) {
        self.push(|queues| {
            let waiting = queues.credits.iter_mut().find(|(each, _)| *each == id);
            match waiting {
                Some((_, sum)) => *sum = sum.saturating_add(bytes),
                None => queues.credits.push_back((id, bytes)),
            }
        });
    }

    /// Takes credit from the endpoint: more bytes of a payload may be sent. Credit for a call
    /// that has nothing to send is of no use and dropped.
    pub fn credited(&self, id: CallId, bytes: u32) {
        self.push(|queues| {
            if let Some(upload) = queues.uploads.iter_mut().find(|each| each.id == id) {
                upload.credit = upload.credit.saturating_add(bytes);
                return;
            }
            let parked = queues.parked.iter().position(|each| each.id == id);
            if let Some(index) = parked.filter(|_| bytes > 0) {
                let mut upload = queues.parked.swap_remove(index);
                upload.credit = bytes;
                queues.uploads.push_back(upload);
            }
        });
    }

    /// Ends the endpoint: nothing but the farewell is sent any more. Returns the calls that had
    /// not left yet.
    pub(super) fn close(&self, farewell: Option<GoAway>) -> Vec<CallId> {
        let mut unsent = Vec::new();
        self.push(|queues| {
            unsent.extend(queues.calls.iter().map(|call| call.id));
            *queues = Queues {
                // Who is sent away before it was welcomed hears only that.
                farewell,
                is_closed: true,
                waker: queues.waker.take(),
                ..Queues::default()
            };
        });
        self.closed.cancel();
        unsent
    }

    /// Refuses an endpoint that was never registered.
    pub fn refuse(&self, farewell: GoAway) {
        self.close(Some(farewell));
    }

    /// Completes when the endpoint was ended from this side. Cancel safe.
    pub fn closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    /// Whether anything was sent since this was last asked.
    pub fn has_spoken(&self) -> bool {
        std::mem::take(&mut self.queues.lock().has_spoken)
    }

    /// The next batch, at least one command; `None` at the end.
    pub fn poll_batch(&self, context: &Context<'_>) -> Poll<Option<Vec<Command>>> {
        let mut queues = self.queues.lock();
        let batch = queues.batch();
        if !batch.is_empty() {
            queues.has_spoken = true;
            return Poll::Ready(Some(batch));
        }
        if queues.is_closed {
            return Poll::Ready(None);
        }
        match &mut queues.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => queues.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Changes the queues, unless they are closed, and wakes the transport.
    fn push(&self, change: impl FnOnce(&mut Queues)) {
        let mut queues = self.queues.lock();
        if queues.is_closed {
            return;
        }
        change(&mut queues);
        let waker = queues.waker.take();
        drop(queues);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queues {
    fn drop_pieces(&mut self, id: CallId) {
        self.credits.retain(|(each, _)| *each != id);
        self.uploads.retain(|each| each.id != id);
        self.parked.retain(|each| each.id != id);
    }

    fn batch(&mut self) -> Vec<Command> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Some(command) = self.next() else {
                break;
            };
            bytes += match &command {
                Command::Call(call) => call.payload.len(),
                Command::Chunk { data, .. } => data.len(),
                _ => 0,
            };
            batch.push(command);
        }
        batch
    }

    fn next(&mut self) -> Option<Command> {
        if let Some(command) = self.next_control() {
            return Some(command);
        }
        if let Some(call) = self.calls.pop_front() {
            if call.has_more {
                self.park_or_queue(Upload {
                    id: call.id,
                    rest: call.invocation.payload.slice(call.payload.len()..),
                    credit: self.window,
                });
            }
            return Some(Command::Call(call));
        }
        // Behind the calls: a runtime that drains leaves when its ping is answered, and must have
        // every call by then that was sent to it.
        if let Some(nonce) = self.pong.take() {
            return Some(Command::Pong(nonce));
        }
        self.uploads
            .pop_front()
            .map(|upload| self.next_chunk(upload))
    }

    fn next_control(&mut self) -> Option<Command> {
        if let Some(welcome) = self.welcome.take() {
            return Some(Command::Welcome(welcome));
        }
        if let Some(farewell) = self.farewell.take() {
            return Some(Command::GoAway(farewell));
        }
        if let Some(nonce) = self.ping.take() {
            return Some(Command::Ping(nonce));
        }
        if let Some((id, reason)) = self.cancels.pop_front() {
            return Some(Command::Cancel { id, reason });
        }
        let (id, bytes) = self.credits.pop_front()?;
        Some(Command::Credit { id, bytes })
    }

    fn next_chunk(&mut self, mut upload: Upload) -> Command {
        let room = QUANTUM_BYTES.min(upload.credit as usize);
        let data = upload.rest.split_to(room.min(upload.rest.len()));
        upload.credit -= u32::try_from(data.len()).expect("a chunk is smaller than a quantum");
        let id = upload.id;
        let is_last = upload.rest.is_empty();
        if !is_last {
            self.park_or_queue(upload);
        }
        Command::Chunk { id, data, is_last }
    }

    fn park_or_queue(&mut self, upload: Upload) {
        if upload.credit == 0 {
            self.parked.push(upload);
        } else {
            self.uploads.push_back(upload);
        }
    }
}

#[cfg(test)]
mod tests;
