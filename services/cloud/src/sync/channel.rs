//! Channels inside of a stream, with credit: what one caller reads slowly holds up nobody else.

use std::collections::HashMap;
use std::time::Duration;

use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::fault::{Code, Fault};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::registry::Registry;

/// Bytes that an edge may send on a channel before its caller has read any.
pub(crate) const WINDOW: u32 = 256 * 1024;

/// Messages of a channel that wait for its caller. Credit bounds their bytes; an edge that sends
/// more and smaller ones than this in one window loses the channel.
const MESSAGES: usize = 1024;

/// Channels of one stream.
pub(crate) const MAX_CHANNELS: usize = 32;

/// How long a session may take to hear of something.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What a session is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open a channel.
    Open(Opening),
    /// Give a channel more credit.
    Credit { channel: u64, bytes: u32 },
    /// Close a channel.
    Close { channel: u64 },
}

/// A channel that is to be opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) query: wire::LogQuery,
    pub(crate) traceparent: String,
    pub(crate) bytes: mpsc::Sender<Bytes>,
    pub(crate) end: oneshot::Sender<ChannelEnd>,
    pub(crate) opened: oneshot::Sender<Result<u64, ChannelError>>,
}

/// How a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEnd {
    /// gRPC code; 0 for a good end.
    pub code: i32,
    /// Stable UPPER_SNAKE word; empty for a good end.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Why there is no channel, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// No stream of the node is open.
    #[error("the node is offline")]
    Offline,
    /// The stream has too many channels.
    #[error("the node has {MAX_CHANNELS} open channels; close one first")]
    TooMany,
    /// The node ended the channel.
    #[error("{}", .0.message)]
    Ended(ChannelEnd),
    /// The node sent what nobody can read.
    #[error("the node broke the rules of the channel")]
    Broken,
}

impl Fault for ChannelError {
    fn code(&self) -> Code {
        match self {
            Self::Offline => Code::Unavailable,
            Self::TooMany => Code::ResourceExhausted,
            Self::Ended(end) => match Code::from_i32(end.code) {
                Code::Ok => Code::Unknown,
                code => code,
            },
            Self::Broken => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Offline => "NODE_OFFLINE",
            Self::TooMany => "CHANNEL_LIMIT",
            Self::Ended(end) => known_reason(&end.reason),
            Self::Broken => "CHANNEL_BROKEN",
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Ended(end) => vec![("node-reason", end.reason.clone())],
            Self::Offline | Self::TooMany | Self::Broken => Vec::new(),
        }
    }
}

/// Reasons are a closed set; what a node says beyond it travels as metadata.
fn known_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 4] = [
        "APPLICATION_NOT_FOUND",
        "SERVICE_NOT_FOUND",
        "CHANNEL_LIMIT",
        "UNIMPLEMENTED",
    ];
    let known = KNOWN.into_iter().find(|known| *known == reason);
    known.unwrap_or("CHANNEL_ENDED")
}

/// The caller's end of a channel of log lines.
#[derive(Debug)]
pub struct LogChannel {
    id: u64,
    commands: mpsc::Sender<Command>,
    bytes: mpsc::Receiver<Bytes>,
    end: oneshot::Receiver<ChannelEnd>,
    consumed: u32,
}

impl LogChannel {
    /// Opens a channel to a node.
    ///
    /// # Errors
    /// [`ChannelError::Offline`], [`ChannelError::TooMany`].
    pub async fn open(
        registry: &Registry,
        uid: &baetyl_model::Uid,
        query: wire::LogQuery,
        traceparent: String,
    ) -> Result<Self, ChannelError> {
        let commands = registry.commands(uid).ok_or(ChannelError::Offline)?;
        let (bytes, bytes_receiver) = mpsc::channel(MESSAGES);
        let (end, end_receiver) = oneshot::channel();
        let (opened, opened_receiver) = oneshot::channel();
        let opening = Opening {
            query,
            traceparent,
            bytes,
            end,
            opened,
        };
        let asked = async {
            commands.send(Command::Open(opening)).await.ok()?;
            opened_receiver.await.ok()
        };
        let asked = tokio::time::timeout(COMMAND_TIMEOUT, asked).await;
        let id = asked.ok().flatten().ok_or(ChannelError::Offline)??;
        Ok(Self {
            id,
            commands,
            bytes: bytes_receiver,
            end: end_receiver,
            consumed: 0,
        })
    }

    /// The next piece; `None` after a good end. Cancel safe.
    ///
    /// # Errors
    /// The node ended the channel with an error, or its stream ended.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ChannelError> {
        if let Some(bytes) = self.bytes.recv().await {
            return Ok(Some(bytes));
        }
        match (&mut self.end).await {
            Ok(end) if end.code == 0 => Ok(None),
            Ok(end) => Err(ChannelError::Ended(end)),
            Err(_) => Err(ChannelError::Offline),
        }
    }

    /// Says that a piece was passed on: the node may send as much again.
    ///
    /// # Errors
    /// [`ChannelError::Offline`] when the stream ended or does not listen.
    pub async fn consumed(&mut self, bytes: usize) -> Result<(), ChannelError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.consumed = self.consumed.saturating_add(bytes);
        // Not for each piece: a quarter of the window keeps the node from ever waiting for us.
        if self.consumed < WINDOW / 4 {
            return Ok(());
        }
        let credit = Command::Credit {
            channel: self.id,
            bytes: std::mem::take(&mut self.consumed),
        };
        self.command(credit).await
    }

    /// Closes the channel; does nothing when it ended already.
    pub async fn close(self) {
        let close = Command::Close { channel: self.id };
        // A stream that ended has no channels left.
        self.command(close).await.ok();
    }

    async fn command(&self, command: Command) -> Result<(), ChannelError> {
        match tokio::time::timeout(COMMAND_TIMEOUT, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ChannelError::Offline),
        }
    }
}

/// The channels of one stream, at the session's end.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    last: u64,
    open: HashMap<u64, Channel>,
}

#[derive(Debug)]
struct Channel {
    bytes: mpsc::Sender<Bytes>,
    end: oneshot::Sender<ChannelEnd>,
    credit: u32,
}

impl Channels {
    /// Opens one; the frame for the edge.
    pub(crate) fn open(&mut self, opening: Opening) -> Option<wire::ChannelOpen> {
        if self.open.len() >= MAX_CHANNELS {
            // Whoever asked may be gone.
            opening.opened.send(Err(ChannelError::TooMany)).ok();
            return None;
        }
        self.last += 1;
        let channel = Channel {
            bytes: opening.bytes,
            end: opening.end,
            credit: WINDOW,
        };
        opening.opened.send(Ok(self.last)).ok()?;
        self.open.insert(self.last, channel);
        Some(wire::ChannelOpen {
            channel_id: self.last,
            credit_bytes: WINDOW,
            operation: Some(wire::channel_open::Operation::Logs(opening.query)),
            traceparent: opening.traceparent,
        })
    }

    /// Gives credit; the frame for the edge when the channel is open.
    pub(crate) fn credit(&mut self, id: u64, bytes: u32) -> Option<wire::ChannelCredit> {
        let channel = self.open.get_mut(&id)?;
        channel.credit = channel.credit.saturating_add(bytes);
        Some(wire::ChannelCredit {
            channel_id: id,
            bytes,
        })
    }

    /// Closes one from our side; the frame for the edge when it was open.
    pub(crate) fn close(&mut self, id: u64) -> Option<wire::ChannelClose> {
        self.open.remove(&id)?;
        Some(closing(id, Code::Ok, ""))
    }

    /// Takes bytes from the edge; the frame that ends the channel when it may not go on.
    pub(crate) fn data(&mut self, data: wire::ChannelData) -> Option<wire::ChannelClose> {
        let id = data.channel_id;
        // Frames for a closed channel are ignored.
        let channel = self.open.get_mut(&id)?;
        let length = u32::try_from(data.data.len()).unwrap_or(u32::MAX);
        let Some(left) = channel.credit.checked_sub(length) else {
            return self.give_up(id, Code::ResourceExhausted, "CREDIT_EXCEEDED");
        };
        channel.credit = left;
        match channel.bytes.try_send(data.data) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Closed(_)) => self.close(id),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.give_up(id, Code::ResourceExhausted, "TOO_MANY_MESSAGES")
            }
        }
    }

    fn give_up(&mut self, id: u64, code: Code, reason: &str) -> Option<wire::ChannelClose> {
        let channel = self.open.remove(&id)?;
        let end = ChannelEnd {
            code: code as i32,
            reason: reason.to_owned(),
            message: "the node broke the rules of the channel".to_owned(),
        };
        // The caller may be gone.
        channel.end.send(end).ok();
        Some(closing(id, code, reason))
    }

    /// Takes the end of a channel from the edge; the answer when it was open.
    pub(crate) fn closed(&mut self, close: wire::ChannelClose) -> Option<wire::ChannelClose> {
        let channel = self.open.remove(&close.channel_id)?;
        let answer = closing(close.channel_id, Code::Ok, "");
        let end = ChannelEnd {
            code: i32::try_from(close.code).unwrap_or(Code::Unknown as i32),
            reason: close.reason.chars().take(64).collect(),
            message: close.message.chars().take(1024).collect(),
        };
        // The caller may be gone.
        channel.end.send(end).ok();
        Some(answer)
    }
}

fn closing(channel_id: u64, code: Code, reason: &str) -> wire::ChannelClose {
    wire::ChannelClose {
        channel_id,
        code: code as u32,
        reason: reason.to_owned(),
        message: String::new(),
    }
}
