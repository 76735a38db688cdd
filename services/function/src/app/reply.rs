//! Where an answer meets its caller: the runtime's side puts pieces in, the caller takes them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::calls::CallId;
use super::error::{CallError, Reason};
use super::invocation::{Answer, MAX_PAYLOAD_BYTES};
use super::outbox::Outbox;

/// Bytes of an answer's chunks that a runtime may send ahead of credit.
pub const WINDOW_BYTES: u32 = 256 * 1024;

/// Credit goes out in quarters of the window: fewer frames, and a runtime that sends its largest
/// chunks never waits for less than one.
const CREDIT_STEP: usize = WINDOW_BYTES as usize / 4;

/// Values that may wait for a caller: all of a window in the smallest ones, and some empty ones,
/// which cost no credit.
const MAX_VALUES: usize = WINDOW_BYTES as usize + 64 * 1024;

/// What a caller gets to see, in order; nothing comes after the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The call waits for a slot, perhaps for another attempt.
    Waiting,
    /// A streamed value.
    Value(Bytes),
    /// The end.
    End(Result<Answer, CallError>),
}

/// The answer of one call on its way to the caller.
#[derive(Debug)]
pub struct Reply {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_stream: bool,
    /// Where the call is in the pool; only the pool changes it.
    id: CallId,
    /// The endpoint that has the call.
    outbox: Option<Arc<Outbox>>,
    dispatched: Option<Instant>,
    /// The call began to wait, and the caller does not know it yet.
    is_waiting_anew: bool,
    /// Whole values, each with the bytes that are granted again when it is taken.
    values: VecDeque<(Bytes, usize)>,
    /// The beginning of the next value, or of a unary answer.
    partial: BytesMut,
    /// Bytes of `partial` that were not granted again.
    partial_cost: usize,
    /// Bytes that came and were not granted again.
    outstanding: usize,
    /// Bytes to be granted with the next step.
    owed: usize,
    has_output: bool,
    end: Option<Result<Answer, CallError>>,
    is_ended: bool,
    waker: Option<Waker>,
}

impl Reply {
    /// Creates the reply of a call that is about to get its id.
    #[must_use]
    pub fn new(is_stream: bool) -> Self {
        let state = State {
            is_stream,
            id: CallId::from_wire(0),
            outbox: None,
            dispatched: None,
            is_waiting_anew: false,
            values: VecDeque::new(),
            partial: BytesMut::new(),
            partial_cost: 0,
            outstanding: 0,
            owed: 0,
            has_output: false,
            end: None,
            is_ended: false,
            waker: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// The call's id in the pool.
    pub(super) fn id(&self) -> CallId {
        self.state.lock().id
    }

    /// Notes the id of a call that waits.
    pub(super) fn waits_as(&self, id: CallId) {
        let mut state = self.state.lock();
        state.id = id;
        state.outbox = None;
        state.is_waiting_anew = true;
        wake(state);
    }

    /// Notes that an endpoint has the call.
    pub(super) fn sent_as(&self, id: CallId, outbox: Arc<Outbox>, now: Instant) {
        let mut state = self.state.lock();
        state.id = id;
        state.outbox = Some(outbox);
        state.is_waiting_anew = false;
        state.dispatched.get_or_insert(now);
    }

    /// When the call first left the queue.
    #[must_use]
    pub fn dispatched(&self) -> Option<Instant> {
        self.state.lock().dispatched
    }

    /// Whether something of the answer came; then no other attempt may be made.
    pub(super) fn has_output(&self) -> bool {
        self.state.lock().has_output
    }

    /// Takes a piece of the answer.
    ///
    /// # Errors
    /// The answer or value is too large, or the runtime did not wait for credit. The call is to
    /// be ended with it.
    pub(super) fn chunk(&self, data: Bytes, is_end: bool) -> Result<(), CallError> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Ok(());
        }
        state.has_output = true;
        let cost = data.len();
        state.outstanding += cost;
        if state.outstanding > WINDOW_BYTES as usize || state.values.len() >= MAX_VALUES {
            return Err(CallError::RuntimeFailed {
                reason: Reason::PROTOCOL,
                message: "it sent more of the answer than it had credit for".to_owned(),
            });
        }
        state.partial_cost += cost;
        if state.partial.len() + data.len() > MAX_PAYLOAD_BYTES {
            return Err(too_large());
        }
        if !state.is_stream || !is_end {
            state.partial.extend_from_slice(&data);
            // With values waiting, the caller's pace holds the runtime back; without, the rest
            // of this value must come first.
            if state.values.is_empty() {
                state.owe_partial();
            }
            return Ok(());
        }
        let value = state.joined(data);
        let cost = std::mem::take(&mut state.partial_cost);
        state.values.push_back((value, cost));
        wake(state);
        Ok(())
    }

    /// Takes the end. False when it had come before; then nothing changes.
    pub(super) fn finish(&self, result: Result<Answer, CallError>) -> bool {
        let mut state = self.state.lock();
        if state.is_ended {
            return false;
        }
        state.is_ended = true;
        state.outbox = None;
        let result = result.and_then(|answer| state.complete(answer));
        state.end = Some(result);
        wake(state);
        true
    }

    /// The next event. Pending for ever after the end.
    pub fn poll_event(&self, context: &Context<'_>) -> Poll<Event> {
        let mut state = self.state.lock();
        if let Some((value, cost)) = state.values.pop_front() {
            state.owe(cost);
            if state.values.is_empty() {
                state.owe_partial();
            }
            return Poll::Ready(Event::Value(value));
        }
        if let Some(end) = state.end.take() {
            return Poll::Ready(Event::End(end));
        }
        if std::mem::take(&mut state.is_waiting_anew) {
            return Poll::Ready(Event::Waiting);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => state.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// How long the call waited for a slot; `None` when it never got one.
    #[must_use]
    pub fn waited_since(&self, begun: Instant) -> Option<Duration> {
        let dispatched = self.dispatched()?;
        Some(dispatched.saturating_duration_since(begun))
    }
}

/// Wakes the caller, after the lock is gone.
fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn too_large() -> CallError {
    CallError::ResultTooLarge {
        limit: MAX_PAYLOAD_BYTES,
    }
}

impl State {
    /// Puts what came before and the last piece together; no copy when nothing came before.
    fn joined(&mut self, last: Bytes) -> Bytes {
        if self.partial.is_empty() {
            return last;
        }
        self.partial.extend_from_slice(&last);
        std::mem::take(&mut self.partial).freeze()
    }

    fn complete(&mut self, mut answer: Answer) -> Result<Answer, CallError> {
        let payload = std::mem::take(&mut answer.payload);
        if self.partial.len() + payload.len() > MAX_PAYLOAD_BYTES {
            return Err(too_large());
        }
        let whole = self.joined(payload);
        if !self.is_stream {
            answer.payload = whole;
        } else if !whole.is_empty() {
            self.values.push_back((whole, 0));
        }
        Ok(answer)
    }

    fn owe_partial(&mut self) {
        let cost = std::mem::take(&mut self.partial_cost);
        self.owe(cost);
    }

    fn owe(&mut self, bytes: usize) {
        self.owed += bytes;
        if self.owed < CREDIT_STEP {
            return;
        }
        self.outstanding -= self.owed;
        let bytes = u32::try_from(self.owed).expect("what is owed came inside of the window");
        self.owed = 0;
        if let Some(outbox) = &self.outbox {
            outbox.grant(self.id, bytes);
        }
    }
}

#[cfg(test)]
mod tests;
