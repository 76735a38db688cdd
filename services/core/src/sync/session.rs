//! One sync session as a pure state machine: frames and levels in, frames and effects out.
//!
//! It knows no socket and no clock. A report is computed from what the cloud is known to have of a
//! section and what the section is now; what the cloud has follows from Hello and Welcome at the
//! start, and from the reports sent since, which the stream delivers in order. So nothing about
//! reports needs to be remembered over a lost stream.

mod desired;
mod reports;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{
    Accepted, ChannelClose, ChannelOpen, Converged, Fence as WireFence, Goodbye, Heartbeat, Hello,
    Welcome,
};
use baetyl_service_kit::fault::Code;
use baetyl_shadow::{Fence, Stamp};
use bytes::Bytes;

use self::desired::Pages;
use self::reports::Reports;
use crate::reported::Sections;
use crate::value;

/// The protocol that this program speaks.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// Channels at one time.
pub(crate) const MAX_CHANNELS: usize = 16;

/// How long the cloud may take to answer Hello.
const WELCOME_DEADLINE: Duration = Duration::from_secs(15);

/// What the cloud asks for is kept within these bounds, and taken so when it says nothing.
const HEARTBEAT: Bounds = Bounds {
    least: Duration::from_millis(100),
    most: Duration::from_secs(300),
    default: Duration::from_secs(15),
};
const SILENCE: Bounds = Bounds {
    least: Duration::from_millis(300),
    most: Duration::from_secs(900),
    default: Duration::from_secs(45),
};

struct Bounds {
    least: Duration,
    most: Duration,
    default: Duration,
}

impl Bounds {
    fn take(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.default).clamp(self.least, self.most)
    }
}

/// What Hello says besides the report sections.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) node_uid: String,
    pub(crate) held: Option<Stamp>,
    pub(crate) converged: Option<Fence>,
    pub(crate) core_version: String,
    pub(crate) features: Vec<String>,
    pub(crate) incarnation: String,
}

/// What the session wants done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a frame.
    Send(Up),
    /// The session is open.
    Opened { session_id: String },
    /// A whole desired document arrived: fetch its bodies, persist it, and say so; all of it in
    /// the trace of the change that caused it.
    Take {
        stamp: Stamp,
        document: Bytes,
        traceparent: String,
    },
    /// A desired document was not taken.
    Refused { stamp: Stamp, why: &'static str },
    /// Start a channel.
    OpenChannel(ChannelOpen),
    /// Bytes that may be sent on a channel.
    Credit { channel_id: u64, bytes: u32 },
    /// The cloud closed a channel.
    StopChannel { channel_id: u64 },
    /// Renew the certificate.
    Renew,
    /// Remove the applications, and then say so.
    Decommission { remove_data: bool },
    /// The cloud sent a frame that nobody knows.
    Unknown,
    /// The session is over.
    End(End),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Stable UPPER_SNAKE word.
    pub(crate) reason: String,
    /// One sentence for people.
    pub(crate) message: String,
    /// When to come back, if the cloud said so.
    pub(crate) reconnect_after: Option<Duration>,
}

impl End {
    pub(crate) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
            reconnect_after: None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Open,
    Ended,
}

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    held: Option<Stamp>,
    /// Arrived whole, not yet on disk.
    taking: Option<Stamp>,
    pages: Option<Pages>,
    converged: Option<Fence>,
    reports: Reports,
    channels: BTreeSet<u64>,
    heartbeat: Duration,
    silence: Duration,
    heartbeats: u64,
    last_sent: Instant,
    last_received: Instant,
}

impl Session {
    /// Begins a session; the frame is the first one of the stream.
    pub(crate) fn begin(greeting: Greeting, sections: Sections, now: Instant) -> (Self, Up) {
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            node_uid: greeting.node_uid,
            held: greeting.held.map(|stamp| wire_fence(stamp.fence)),
            held_digest: greeting
                .held
                .map(|stamp| stamp.digest.to_string())
                .unwrap_or_default(),
            section_digests: sections.digests(),
            core_version: greeting.core_version,
            features: greeting.features,
            incarnation: greeting.incarnation,
            converged: greeting.converged.map(wire_fence),
        };
        let session = Self {
            phase: Phase::Greeting,
            held: greeting.held,
            taking: None,
            pages: None,
            converged: greeting.converged,
            reports: Reports::new(sections),
            channels: BTreeSet::new(),
            heartbeat: HEARTBEAT.default,
            silence: WELCOME_DEADLINE,
            heartbeats: 0,
            last_sent: now,
            last_received: now,
        };
        (session, Up::Hello(hello))
    }

    /// Whether the cloud answered Hello, and the session goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Takes a frame of the cloud.
    pub(crate) fn receive(&mut self, frame: Option<Down>, now: Instant) -> Vec<Effect> {
        self.last_received = now;
        let effects = match (&self.phase, frame) {
            (Phase::Ended, _) => Vec::new(),
            (_, None) => vec![Effect::Unknown],
            (_, Some(Down::Goodbye(goodbye))) => vec![Effect::End(farewell(goodbye))],
            (Phase::Greeting, Some(Down::Welcome(welcome))) => self.welcome(welcome),
            (Phase::Greeting, Some(_)) => vec![protocol_error("the first frame is not Welcome")],
            (Phase::Open, Some(Down::Welcome(_))) => vec![protocol_error("Welcome came twice")],
            (Phase::Open, Some(frame)) => self.open_frame(frame),
        };
        self.finish(effects, now)
    }

    fn welcome(&mut self, welcome: Welcome) -> Vec<Effect> {
        if !(1..=PROTOCOL_VERSION).contains(&welcome.protocol_version) {
            let message = format!("the cloud speaks version {}", welcome.protocol_version);
            return vec![Effect::End(End::new("UNSUPPORTED_VERSION", message))];
        }
        self.phase = Phase::Open;
        let wanted = |duration: &Option<prost_types::Duration>| value::duration(duration.as_ref());
        self.heartbeat = HEARTBEAT.take(wanted(&welcome.heartbeat_interval));
        self.silence = SILENCE.take(wanted(&welcome.silence_timeout));
        // Two answers may be late before the line counts as dead.
        self.silence = self.silence.max(self.heartbeat * 2);
        self.reports.welcome(&welcome);
        let mut effects = vec![Effect::Opened {
            session_id: welcome.session_id,
        }];
        effects.extend(self.due_reports());
        effects
    }

    fn open_frame(&mut self, frame: Down) -> Vec<Effect> {
        match frame {
            Down::Desired(page) => self.desired(page),
            Down::ReportAck(ack) => {
                self.reports.acknowledged(ack.sequence);
                self.due_reports()
            }
            Down::ResyncRequest(request) => {
                self.reports.resync(&request.sections);
                self.due_reports()
            }
            Down::ChannelOpen(open) => self.channel_open(open),
            Down::ChannelCredit(credit) if self.channels.contains(&credit.channel_id) => {
                vec![Effect::Credit {
                    channel_id: credit.channel_id,
                    bytes: credit.bytes,
                }]
            }
            Down::ChannelClose(close) if self.channels.remove(&close.channel_id) => vec![
                Effect::StopChannel {
                    channel_id: close.channel_id,
                },
                Effect::Send(closed(close.channel_id, Code::Ok, "", "")),
            ],
            Down::RenewCertificate(_) => vec![Effect::Renew],
            Down::Decommission(decommission) => vec![Effect::Decommission {
                remove_data: decommission.remove_data,
            }],
            // Frames for a closed channel are ignored, and no channel takes data downward yet.
            Down::ChannelCredit(_) | Down::ChannelClose(_) | Down::ChannelData(_) => Vec::new(),
            // Hearing it was all there is to it.
            Down::Heartbeat(_) => Vec::new(),
            // Both were handled by the caller.
            Down::Welcome(_) | Down::Goodbye(_) => Vec::new(),
        }
    }

    fn channel_open(&mut self, open: ChannelOpen) -> Vec<Effect> {
        let id = open.channel_id;
        if self.channels.contains(&id) {
            return vec![protocol_error("a channel was opened twice")];
        }
        if self.channels.len() >= MAX_CHANNELS {
            let message = format!("at most {MAX_CHANNELS} channels may be open");
            let frame = closed(id, Code::ResourceExhausted, "TOO_MANY_CHANNELS", &message);
            return vec![Effect::Send(frame)];
        }
        if open.operation.is_none() {
            let message = "this version of core does not know the operation";
            let frame = closed(id, Code::Unimplemented, "UNSUPPORTED_CHANNEL", message);
            return vec![Effect::Send(frame)];
        }
        self.channels.insert(id);
        vec![Effect::OpenChannel(open)]
    }

    /// A channel ended on this side; nothing is sent when the cloud was first.
    pub(crate) fn channel_ended(&mut self, close: ChannelClose, now: Instant) -> Vec<Effect> {
        if !self.channels.remove(&close.channel_id) {
            return Vec::new();
        }
        self.finish(vec![Effect::Send(Up::ChannelClose(close))], now)
    }

    /// Whether frames of a channel may still be sent.
    pub(crate) fn has_channel(&self, channel_id: u64) -> bool {
        self.channels.contains(&channel_id)
    }

    /// A document that [`Effect::Take`] gave is on disk.
    pub(crate) fn accepted(&mut self, stamp: Stamp, now: Instant) -> Vec<Effect> {
        self.held = Some(stamp);
        if self.taking == Some(stamp) {
            self.taking = None;
        }
        let fence = Some(wire_fence(stamp.fence));
        self.finish(vec![Effect::Send(Up::Accepted(Accepted { fence }))], now)
    }

    /// The newest fence that runs; told once.
    pub(crate) fn converged(&mut self, fence: Fence, now: Instant) -> Vec<Effect> {
        if !self.is_open() || self.converged == Some(fence) {
            return Vec::new();
        }
        self.converged = Some(fence);
        let fence = Some(wire_fence(fence));
        self.finish(vec![Effect::Send(Up::Converged(Converged { fence }))], now)
    }

    /// What is to be reported now.
    pub(crate) fn reported(&mut self, sections: Sections, now: Instant) -> Vec<Effect> {
        self.reports.now(sections);
        let effects = self.due_reports();
        self.finish(effects, now)
    }

    fn due_reports(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Open {
            return Vec::new();
        }
        let due = self.reports.due().into_iter();
        due.map(|report| Effect::Send(Up::Report(report))).collect()
    }

    /// When [`Session::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        let silent = self.last_received + self.silence;
        match self.phase {
            Phase::Open => silent.min(self.last_sent + self.heartbeat),
            Phase::Greeting | Phase::Ended => silent,
        }
    }

    /// Looks at the clock: a heartbeat is due, or the cloud was silent too long.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        if self.phase == Phase::Ended {
            return Vec::new();
        }
        let silent_for = now.saturating_duration_since(self.last_received);
        if silent_for >= self.silence {
            let message = format!("nothing was heard for {} ms", silent_for.as_millis());
            return self.finish(vec![Effect::End(End::new("SILENT", message))], now);
        }
        if self.is_open() && now.saturating_duration_since(self.last_sent) >= self.heartbeat {
            self.heartbeats += 1;
            let sequence = self.heartbeats;
            let frame = Up::Heartbeat(Heartbeat { sequence });
            return self.finish(vec![Effect::Send(frame)], now);
        }
        Vec::new()
    }

    /// Keeps the books: what is sent is noted, and after an end there is nothing.
    fn finish(&mut self, mut effects: Vec<Effect>, now: Instant) -> Vec<Effect> {
        let end = effects
            .iter()
            .position(|effect| matches!(effect, Effect::End(_)));
        if let Some(at) = end {
            effects.truncate(at + 1);
            self.phase = Phase::Ended;
        }
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Send(_)))
        {
            self.last_sent = now;
        }
        effects
    }
}

pub(crate) fn wire_fence(fence: Fence) -> WireFence {
    WireFence {
        epoch: fence.epoch.number(),
        generation: fence.generation.number(),
    }
}

fn protocol_error(message: &str) -> Effect {
    Effect::End(End::new("PROTOCOL_ERROR", message))
}

fn farewell(goodbye: Goodbye) -> End {
    End {
        reconnect_after: value::duration(goodbye.reconnect_after.as_ref()),
        reason: if goodbye.reason.is_empty() {
            "GOODBYE".to_owned()
        } else {
            goodbye.reason
        },
        message: goodbye.message,
    }
}

/// The frame that closes a channel.
pub(crate) fn closed(channel_id: u64, code: Code, reason: &str, message: &str) -> Up {
    Up::ChannelClose(close_frame(channel_id, code, reason, message))
}

pub(crate) fn close_frame(
    channel_id: u64,
    code: Code,
    reason: &str,
    message: &str,
) -> ChannelClose {
    ChannelClose {
        channel_id,
        code: u32::try_from(i32::from(code)).unwrap_or_default(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
