//! The way down: frames with a deadline, desired documents in pages.

use std::time::Duration;

use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_response::Frame;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::PAGE_BYTES;
use super::end::End;
use super::registry::Interrupt;

/// Frames of one session that wait for the transport.
pub(super) const QUEUE: usize = 16;

/// What goes down is a message or nothing: errors end the stream as Goodbye.
pub(super) type Down = Result<wire::SyncResponse, Status>;

/// The sending half of a session.
#[derive(Debug)]
pub(super) struct Outgoing {
    frames: mpsc::Sender<Down>,
    deadline: Duration,
}

impl Outgoing {
    pub(super) fn new(frames: mpsc::Sender<Down>, deadline: Duration) -> Self {
        Self { frames, deadline }
    }

    /// Sends a frame; an edge that does not read for the deadline loses the stream. What
    /// interrupts the session interrupts the wait, too.
    pub(super) async fn send(
        &self,
        frame: Frame,
        interrupt: &mut watch::Receiver<Option<Interrupt>>,
    ) -> Result<(), End> {
        let message = Ok(wire::SyncResponse { frame: Some(frame) });
        let interrupted = async {
            // The sender lives in the registry; when it is gone, nothing interrupts any more.
            let found = interrupt.wait_for(Option::is_some).await.ok();
            match found.and_then(|found| *found) {
                Some(interrupt) => interrupt,
                None => std::future::pending().await,
            }
        };
        // The frame is lost when another arm wins; so is the stream, and frames come again.
        tokio::select! {
            biased;
            sent = self.frames.send(message) => sent.map_err(|_| End::Closed),
            interrupt = interrupted => Err(End::Interrupted(interrupt)),
            () = tokio::time::sleep(self.deadline) => Err(End::Stalled),
        }
    }

    /// Sends a desired document; `page` has what every page says.
    pub(super) async fn document(
        &self,
        page: wire::Desired,
        bytes: &Bytes,
        interrupt: &mut watch::Receiver<Option<Interrupt>>,
    ) -> Result<(), End> {
        let mut offset = 0;
        loop {
            let next = bytes.len().min(offset + PAGE_BYTES);
            let is_last = next == bytes.len();
            let page = wire::Desired {
                data: bytes.slice(offset..next),
                total_bytes: bytes.len() as u64,
                end: is_last,
                ..page.clone()
            };
            self.send(Frame::Desired(page), interrupt).await?;
            if is_last {
                return Ok(());
            }
            offset = next;
        }
    }

    /// Sends the last frame, if the edge takes it within a moment.
    pub(super) async fn goodbye(&self, goodbye: wire::Goodbye) {
        const MOMENT: Duration = Duration::from_secs(1);
        let frame = Some(Frame::Goodbye(goodbye));
        let sent = self
            .frames
            .send_timeout(Ok(wire::SyncResponse { frame }), MOMENT);
        // An edge that does not read learns it from the end of the stream.
        sent.await.ok();
    }

    /// Completes when the transport is gone. Cancel safe.
    pub(super) async fn closed(&self) {
        self.frames.closed().await;
    }
}
