//! What the cloud opened on the stream: each channel a task within its credit.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_engine::{EngineHandle, LogQuery};
use baetyl_proto::cloud::v1::{LogLine as CloudLine, StreamLogsResponse};
use baetyl_proto::node::v1::LogLine;
use baetyl_proto::sync::v1::channel_open::Operation;
use baetyl_proto::sync::v1::{ChannelClose, ChannelData, ChannelOpen, LogQuery as WireQuery};
use baetyl_service_kit::fault::{Code, chain};
use baetyl_service_kit::telemetry::propagation::set_parent_from_traceparent;
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument as _;

use super::session::close_frame;
use crate::field;
use crate::logs::{log_fault, query_of};

/// The largest piece of data in one frame, by the contract.
const MAX_DATA_BYTES: usize = 64 * 1024;

/// Lines in one message.
const MAX_LINES: usize = 256;

/// Room for tags and lengths of one line.
const LINE_OVERHEAD: usize = 64;

/// The most credit that is counted; a peer that gives more gives this.
const MAX_CREDIT: usize = 16 * 1024 * 1024;

/// What channels send: at most this many frames wait for the stream, the channels wait then.
pub(super) const QUEUE: usize = 32;

/// A frame of a channel on its way to the stream.
#[derive(Debug)]
pub(super) enum Outgoing {
    Data(ChannelData),
    Close(ChannelClose),
}

/// The channels of one session; dropping it ends them all.
pub(super) struct Channels {
    engine: EngineHandle,
    outgoing: mpsc::Sender<Outgoing>,
    tasks: JoinSet<()>,
    open: BTreeMap<u64, Open>,
}

struct Open {
    credit: Arc<Semaphore>,
    task: AbortHandle,
}

impl Channels {
    /// Makes a set without channels, and what they send.
    pub(super) fn new(engine: EngineHandle) -> (Self, mpsc::Receiver<Outgoing>) {
        let (outgoing, frames) = mpsc::channel(QUEUE);
        let channels = Self {
            engine,
            outgoing,
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
        };
        (channels, frames)
    }

    /// Starts a channel.
    pub(super) fn open(&mut self, open: ChannelOpen) {
        // Whoever ended is forgotten here, so that the set stays as small as the channels are few.
        while self.tasks.try_join_next().is_some() {}
        let id = open.channel_id;
        let credit = Arc::new(Semaphore::new(0));
        grant(&credit, open.credit_bytes);
        let (engine, outgoing) = (self.engine.clone(), self.outgoing.clone());
        let Some(Operation::Logs(query)) = open.operation else {
            return;
        };
        let span = tracing::info_span!(
            "channel",
            channel.id = id,
            { field::APP_NAME } = query.application
        );
        set_parent_from_traceparent(&span, &open.traceparent);
        // A message is never larger than the first credit, or it could wait for ever.
        let first = usize::try_from(open.credit_bytes).unwrap_or(MAX_DATA_BYTES);
        let channel = Channel {
            id,
            credit: credit.clone(),
            outgoing,
            message_bytes: first.min(MAX_DATA_BYTES),
        };
        let task = self
            .tasks
            .spawn(logs(engine, query, channel).instrument(span));
        self.open.insert(id, Open { credit, task });
    }

    /// Gives a channel more credit.
    pub(super) fn credit(&self, channel_id: u64, bytes: u32) {
        if let Some(open) = self.open.get(&channel_id) {
            grant(&open.credit, bytes);
        }
    }

    /// Ends a channel that the cloud closed, or that closed itself.
    pub(super) fn stop(&mut self, channel_id: u64) {
        if let Some(open) = self.open.remove(&channel_id) {
            open.task.abort();
        }
    }
}

fn grant(credit: &Semaphore, bytes: u32) {
    let room = MAX_CREDIT.saturating_sub(credit.available_permits());
    credit.add_permits(room.min(usize::try_from(bytes).unwrap_or(room)));
}

/// One end of a channel.
struct Channel {
    id: u64,
    credit: Arc<Semaphore>,
    outgoing: mpsc::Sender<Outgoing>,
    message_bytes: usize,
}

impl Channel {
    /// Sends bytes, within the credit: waits for it, piece by piece. `false` when nobody listens.
    async fn send(&self, message: &StreamLogsResponse) -> bool {
        let data = message.encode_to_vec();
        let Ok(length) = u32::try_from(data.len()) else {
            return true;
        };
        match self.credit.acquire_many(length).await {
            Ok(permits) => permits.forget(),
            Err(_) => return false,
        }
        let frame = ChannelData {
            channel_id: self.id,
            data: data.into(),
        };
        self.outgoing.send(Outgoing::Data(frame)).await.is_ok()
    }

    async fn close(self, code: Code, reason: &str, message: &str) {
        let frame = close_frame(self.id, code, reason, message);
        // When the session is over, nobody waits for it.
        self.outgoing.send(Outgoing::Close(frame)).await.ok();
    }
}

async fn logs(engine: EngineHandle, query: WireQuery, channel: Channel) {
    let lines = match engine.logs(local_query(query)) {
        Ok(lines) => lines,
        Err(error) => {
            let (code, message) = (log_fault(&error), chain(&error));
            return channel.close(code, error.reason(), &message).await;
        }
    };
    let mut batches = lines.ready_chunks(MAX_LINES);
    while let Some(batch) = batches.next().await {
        let mut failure = None;
        let mut messages = Messages::new(channel.message_bytes);
        for line in batch {
            match line {
                Ok(line) => messages.add(line),
                Err(error) => failure = Some(error),
            }
        }
        for message in messages.into_all() {
            if !channel.send(&message).await {
                return;
            }
        }
        if let Some(error) = failure {
            let message = chain(&error);
            return channel
                .close(Code::Unavailable, "LOGS_UNREADABLE", &message)
                .await;
        }
    }
    channel.close(Code::Ok, "", "").await;
}

/// Lines in messages that fit into a frame.
struct Messages {
    limit: usize,
    full: Vec<StreamLogsResponse>,
    last: StreamLogsResponse,
    bytes: usize,
}

impl Messages {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            full: Vec::new(),
            last: StreamLogsResponse::default(),
            bytes: 0,
        }
    }

    fn add(&mut self, line: LogLine) {
        let line = cloud_line(line);
        let bytes = line.encoded_len() + LINE_OVERHEAD;
        if self.bytes + bytes > self.limit && !self.last.lines.is_empty() {
            self.full.push(std::mem::take(&mut self.last));
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.last.lines.push(line);
    }

    fn into_all(mut self) -> Vec<StreamLogsResponse> {
        if !self.last.lines.is_empty() {
            self.full.push(self.last);
        }
        self.full
    }
}

fn local_query(query: WireQuery) -> LogQuery {
    query_of(baetyl_proto::node::v1::StreamLogsRequest {
        application: query.application,
        service: query.service,
        follow: query.follow,
        tail_lines: Some(query.tail_lines),
        since_time: query.since_time,
        invocation_id: query.invocation_id,
    })
}

fn cloud_line(line: LogLine) -> CloudLine {
    CloudLine {
        time: line.time,
        service: line.service,
        instance_id: line.instance_id,
        stream: line.stream,
        text: line.text,
        invocation_id: line.invocation_id,
    }
}
