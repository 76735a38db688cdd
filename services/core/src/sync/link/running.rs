//! One open stream: what the session decides is carried out, and nothing else.

use std::time::{Duration, Instant};

use baetyl_engine::EngineStatus;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_proto::sync::v1::{Decommissioned, SyncRequest, SyncResponse};
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::telemetry::propagation::{TracedChannel, set_parent_from_traceparent};
use baetyl_shadow::Stamp;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use super::{DECOMMISSIONED, DRAINING, Link, RENEWED, log_session_error, refused};
use crate::crash;
use crate::desired::{TakeError, Taken};
use crate::field;
use crate::metrics;
use crate::reported::Sections;
use crate::sync::channels::{Channels, Outgoing};
use crate::sync::session::{Effect, End, Session};

/// Changes of the status are sent at once; further ones within this time travel together.
const COALESCE: Duration = Duration::from_millis(50);

/// How long a frame may wait for the stream before the line counts as dead.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// How long the cloud may take to end a stream whose node said goodbye.
const PARTING: Duration = Duration::from_secs(2);

/// Bodies are asked for again this often at most.
const FETCH_AGAIN: Bounds = Bounds {
    initial: Duration::from_millis(200),
    cap: Duration::from_secs(15),
    healthy_after: Duration::ZERO,
};

/// What one turn of the loop brought.
enum Turn {
    Frame(Result<Option<SyncResponse>, Status>),
    Channel(Option<Outgoing>),
    Sections,
    Report,
    Engine,
    Taken(Stamp, Result<Taken, TakeError>),
    Removed,
    Renewed,
    Draining,
    Clock,
}

/// The state of one open stream.
pub(super) struct Running<'a> {
    link: &'a Link,
    session: Session,
    frames: mpsc::Sender<SyncRequest>,
    client: SyncServiceClient<TracedChannel>,
    channels: Channels,
    outgoing: mpsc::Receiver<Outgoing>,
    sections: watch::Receiver<Sections>,
    engine: watch::Receiver<Arc<EngineStatus>>,
    renewals: watch::Receiver<u64>,
    /// The desired state that is being fetched and persisted; a newer one takes its place.
    taking: Option<BoxFuture<'a, (Stamp, Result<Taken, TakeError>)>>,
    removing: Option<BoxFuture<'a, ()>>,
    /// When the sections that changed are to be reported.
    report_at: Option<Instant>,
    reported_at: Option<Instant>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        link: &'a Link,
        session: Session,
        frames: mpsc::Sender<SyncRequest>,
        client: SyncServiceClient<TracedChannel>,
    ) -> Self {
        let (channels, outgoing) = Channels::new(link.parts.engine.clone());
        Self {
            sections: link.parts.reported.subscribe(),
            engine: link.parts.engine.status(),
            renewals: link.parts.identity.renewals(),
            link,
            session,
            frames,
            client,
            channels,
            outgoing,
            taking: None,
            removing: None,
            // What changed since Hello was made is found at the first look.
            report_at: Some(Instant::now()),
            reported_at: None,
        }
    }

    /// Runs to the end of the session.
    pub(super) async fn run(
        mut self,
        mut inbound: Streaming<SyncResponse>,
        backoff: &mut Backoff,
    ) -> End {
        loop {
            let turn = self.turn(&mut inbound).await;
            let now = Instant::now();
            let effects = match turn {
                Turn::Frame(Ok(Some(response))) => self.session.receive(response.frame, now),
                Turn::Frame(Ok(None)) => return End::new("CLOSED", "the cloud closed the stream"),
                Turn::Frame(Err(status)) => return refused(&status),
                Turn::Channel(outgoing) => self.channel_frame(outgoing, now),
                Turn::Sections => {
                    let earliest = self.reported_at.map_or(now, |last| last + COALESCE);
                    self.report_at.get_or_insert(earliest);
                    Vec::new()
                }
                Turn::Report => {
                    self.report_at = None;
                    self.reported_at = Some(now);
                    let sections = self.sections.borrow_and_update().clone();
                    self.session.reported(sections, now)
                }
                Turn::Engine => self.converged(now),
                Turn::Taken(stamp, taken) => self.taken(stamp, taken, now),
                Turn::Removed => return self.part(inbound).await,
                Turn::Renewed => return End::new(RENEWED, "the next session shows it"),
                Turn::Draining => return End::new(DRAINING, ""),
                Turn::Clock => self.session.tick(now),
            };
            for effect in effects {
                if let Some(end) = self.carry_out(effect, backoff).await {
                    return end;
                }
            }
        }
    }

    /// Waits for whatever comes first. Every arm is cancel safe: levels stay changed, queues keep
    /// what was not received, and the two futures live in `self`.
    async fn turn(&mut self, inbound: &mut Streaming<SyncResponse>) -> Turn {
        let deadline = tokio::time::Instant::from_std(self.session.deadline());
        let report_at = self.report_at.map(tokio::time::Instant::from_std);
        let is_open = self.session.is_open();
        tokio::select! {
            () = self.link.shutdown.draining() => Turn::Draining,
            frame = inbound.message() => Turn::Frame(frame),
            outgoing = self.outgoing.recv() => Turn::Channel(outgoing),
            (stamp, taken) = done(&mut self.taking) => {
                self.taking = None;
                Turn::Taken(stamp, taken)
            }
            () = done(&mut self.removing) => {
                self.removing = None;
                Turn::Removed
            }
            Ok(()) = self.renewals.changed() => Turn::Renewed,
            Ok(()) = self.engine.changed(), if is_open => Turn::Engine,
            () = until(report_at), if is_open => Turn::Report,
            Ok(()) = self.sections.changed() => Turn::Sections,
            () = tokio::time::sleep_until(deadline) => Turn::Clock,
        }
    }

    fn converged(&mut self, now: Instant) -> Vec<Effect> {
        let converged = self.engine.borrow_and_update().converged;
        match converged {
            Some(fence) => self.session.converged(fence, now),
            None => Vec::new(),
        }
    }

    fn channel_frame(&mut self, outgoing: Option<Outgoing>, now: Instant) -> Vec<Effect> {
        match outgoing {
            Some(Outgoing::Data(data)) if self.session.has_channel(data.channel_id) => {
                vec![Effect::Send(Up::ChannelData(data))]
            }
            Some(Outgoing::Close(close)) => {
                self.channels.stop(close.channel_id);
                self.session.channel_ended(close, now)
            }
            // Closed by the cloud meanwhile. The queue itself stays open: it is held here.
            Some(Outgoing::Data(_)) | None => Vec::new(),
        }
    }

    fn taken(
        &mut self,
        stamp: Stamp,
        taken: Result<Taken, TakeError>,
        now: Instant,
    ) -> Vec<Effect> {
        match taken {
            Ok(Taken::Accepted) => {
                crash::point("before_acknowledge");
                self.session.accepted(stamp, now)
            }
            Ok(Taken::Refused(why)) => {
                self.session.rejected(stamp);
                vec![Effect::Refused { stamp, why }]
            }
            Err(error) => {
                log_session_error("take the desired state", &error);
                // The next session offers it again, after the backoff.
                vec![Effect::End(End::new(error.reason(), error.to_string()))]
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect, backoff: &mut Backoff) -> Option<End> {
        match effect {
            Effect::Send(frame) => return self.send(frame).await.err(),
            Effect::Opened { session_id } => {
                backoff.healthy(Instant::now());
                self.link.parts.node.connected();
                metrics::SYNC_CONNECTED.record(1, &[]);
                metrics::SYNC_SESSIONS.add(1, &[]);
                tracing::info!({ field::SESSION_ID } = session_id, "session open");
                // What ran before the stream was open is told now.
                self.engine.mark_changed();
            }
            Effect::Take {
                stamp,
                document,
                traceparent,
            } => {
                self.take(stamp, document, &traceparent);
            }
            Effect::Refused { stamp, why } => {
                metrics::DESIRED_REFUSED.add(1, &[]);
                tracing::warn!({ field::FENCE } = %stamp.fence, why, "desired state refused");
            }
            Effect::OpenChannel(open) => self.channels.open(open),
            Effect::Credit { channel_id, bytes } => self.channels.credit(channel_id, bytes),
            Effect::StopChannel { channel_id } => self.channels.stop(channel_id),
            Effect::Renew => self.link.parts.renewal.renew_now(),
            Effect::Decommission { remove_data } => self.decommission(remove_data),
            Effect::Unknown => metrics::UNKNOWN_FRAMES.add(1, &[]),
            Effect::End(end) => return Some(end),
        }
        None
    }

    async fn send(&mut self, frame: Up) -> Result<(), End> {
        if let Up::Report(report) = &frame {
            let bytes = report.encoded_len() as u64;
            metrics::REPORT_BYTES.add(bytes, &[]);
        }
        let request = SyncRequest { frame: Some(frame) };
        match self.frames.send_timeout(request, SEND_DEADLINE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(End::new("SILENT", "the stream takes no frames"))
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => {
                Err(End::new("CLOSED", "the stream is closed"))
            }
        }
    }

    fn take(&mut self, stamp: Stamp, document: Bytes, traceparent: &str) {
        if self.removing.is_some() {
            return;
        }
        let span = tracing::info_span!("accept desired", { field::FENCE } = %stamp.fence);
        set_parent_from_traceparent(&span, traceparent);
        span.in_scope(|| tracing::info!({ field::FENCE } = %stamp.fence, "desired state arrived"));
        let (desired, stage) = (self.link.parts.desired.clone(), self.link.stage.clone());
        let client = self.client.clone();
        let taking = async move {
            let mut again = Backoff::new(FETCH_AGAIN);
            loop {
                let taken = desired.take(stamp, document.clone(), &stage, &client).await;
                match taken {
                    Err(TakeError::Fetch(error)) => {
                        log_session_error("fetch bodies", &error);
                        tokio::time::sleep(again.next_delay(Instant::now())).await;
                    }
                    other => return (stamp, other),
                }
            }
        };
        self.taking = Some(taking.instrument(span).boxed());
    }

    fn decommission(&mut self, remove_data: bool) {
        if self.removing.is_some() {
            return;
        }
        tracing::warn!(
            remove_data,
            "the node was deleted, removing its applications"
        );
        self.taking = None;
        let desired = self.link.parts.desired.clone();
        self.removing = Some(async move { desired.remove_all(remove_data).await }.boxed());
    }

    /// Answers Decommissioned, waits for the end of the stream, and forgets the identity.
    async fn part(mut self, mut inbound: Streaming<SyncResponse>) -> End {
        if let Err(end) = self.send(Up::Decommissioned(Decommissioned {})).await {
            return end;
        }
        drop(self.frames);
        let ended = async { while let Ok(Some(_)) = inbound.message().await {} };
        // Silence means no more than that nobody confirms it; the frame was handed over.
        tokio::time::timeout(PARTING, ended).await.ok();
        let folder = self.link.parts.identity.folder().clone();
        let forgotten = tokio::task::spawn_blocking(move || folder.forget()).await;
        match forgotten {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log_session_error("forget the identity", &error),
            Err(error) => log_session_error("forget the identity", &error),
        }
        End::new(DECOMMISSIONED, "")
    }
}

/// The outcome of a future, if there is one; never, if there is none.
async fn done<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
