//! What waits to be sent on one attach stream, in the order in which it goes out.
//!
//! Control goes first, then the frames of calls as they came. What is ready when the transport
//! asks makes one batch; there is no timer. The queue has no cap of its own, since what it holds is
//! bounded elsewhere: per slot a start, a result and a window of chunks; control is merged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::{
    AttachRequest, Credit, Drain, Ping, Pong, Ready, RuntimeFrame, RuntimeHello,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

#[cfg(test)]
mod tests;

/// Most frames in one message.
const MAX_BATCH: usize = 64;

/// A batch ends with the frame that takes it over this.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// The queue of one stream: filled by everyone, emptied by the transport.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    changed: Notify,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Queues {
    hello: Option<RuntimeHello>,
    pong: Option<Pong>,
    ping: Option<Ping>,
    slots_delta: i32,
    credits: BTreeMap<u64, u32>,
    drain: Option<Drain>,
    frames: VecDeque<Kind>,
    /// Nothing follows what is here.
    is_finished: bool,
    /// Whether something was taken since [`Outbox::was_quiet`].
    has_spoken: bool,
}

impl Outbox {
    /// Creates a queue that begins with Hello.
    pub(crate) fn new(hello: RuntimeHello) -> Self {
        let outbox = Self::default();
        outbox.queues.lock().hello = Some(hello);
        outbox
    }

    /// Adds a frame of a call.
    pub(crate) fn push(&self, frame: Kind) {
        self.change(|queues| queues.frames.push_back(frame));
    }

    /// Changes the slots; before any result that is still here.
    pub(crate) fn add_slots(&self, delta: i32) {
        self.change(|queues| queues.slots_delta += delta);
    }

    /// Grants bytes of a payload.
    pub(crate) fn grant(&self, call: u64, bytes: u32) {
        self.change(|queues| {
            let granted = queues.credits.entry(call).or_default();
            *granted = granted.saturating_add(bytes);
        });
    }

    /// Asks whether the other end is alive.
    pub(crate) fn ping(&self, nonce: u64) {
        self.change(|queues| queues.ping = Some(Ping { nonce }));
    }

    /// Answers the latest ping.
    pub(crate) fn pong(&self, nonce: u64, active_calls: u32) {
        self.change(|queues| {
            queues.pong = Some(Pong {
                nonce,
                active_calls,
            });
        });
    }

    /// Asks for no more calls.
    pub(crate) fn drain(&self, grace: Duration) {
        let deadline = prost_types::Duration::try_from(grace).ok();
        self.change(|queues| queues.drain = Some(Drain { deadline }));
    }

    /// Ends the stream after what is here.
    pub(crate) fn finish(&self) {
        self.change(|queues| queues.is_finished = true);
    }

    /// Whether nothing was sent since the last time that this was asked.
    pub(crate) fn was_quiet(&self) -> bool {
        !std::mem::take(&mut self.queues.lock().has_spoken)
    }

    /// The stream is gone; what is added from now on is dropped.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let dropped = std::mem::take(&mut *self.queues.lock());
        drop(dropped);
        self.changed.notify_one();
    }

    /// Completes when the stream is gone. Cancel safe.
    pub(crate) fn closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    /// Waits for the next message; `None` when the stream has ended. For one reader.
    pub(crate) async fn next(&self) -> Option<AttachRequest> {
        loop {
            if self.closed.is_cancelled() {
                return None;
            }
            {
                let mut queues = self.queues.lock();
                let frames = queues.take();
                if !frames.is_empty() {
                    queues.has_spoken = true;
                    return Some(AttachRequest { frames });
                }
                if queues.is_finished {
                    return None;
                }
            }
            // A permit is kept when something came since the queue was looked at.
            self.changed.notified().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Queues)) {
        if self.closed.is_cancelled() {
            return;
        }
        change(&mut self.queues.lock());
        self.changed.notify_one();
    }
}

impl Queues {
    fn take(&mut self) -> Vec<RuntimeFrame> {
        let mut batch: Vec<Kind> = Vec::new();
        // The stream begins with it, whatever else waits.
        batch.extend(self.hello.take().map(Kind::Hello));
        batch.extend(self.pong.take().map(Kind::Pong));
        let slots_delta = std::mem::take(&mut self.slots_delta);
        if slots_delta != 0 {
            batch.push(Kind::Ready(Ready { slots_delta }));
        }
        batch.extend(self.drain.take().map(Kind::Drain));
        // Whoever answers it knows of the drain.
        batch.extend(self.ping.take().map(Kind::Ping));
        while batch.len() < MAX_BATCH
            && let Some((call_id, bytes)) = self.credits.pop_first()
        {
            batch.push(Kind::Credit(Credit { call_id, bytes }));
        }
        let mut bytes = 0;
        while batch.len() < MAX_BATCH
            && bytes < MAX_BATCH_BYTES
            && let Some(frame) = self.frames.pop_front()
        {
            bytes += payload_bytes(&frame);
            batch.push(frame);
        }
        batch
            .into_iter()
            .map(|kind| RuntimeFrame { kind: Some(kind) })
            .collect()
    }
}

fn payload_bytes(frame: &Kind) -> usize {
    match frame {
        Kind::Chunk(chunk) => chunk.data.len(),
        Kind::Result(result) => result.payload.len(),
        _ => 0,
    }
}
