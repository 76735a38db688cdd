//! The stream of an attached runtime: one task reads it, the transport polls what is written.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, RuntimeFrame, RuntimeHello, runtime_frame::Kind,
};
use baetyl_service_kit::fault::Fault as _;
use futures::Stream;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};

use super::access::{Access, Caller};
use super::frames;
use crate::app::calls::CallId;
use crate::app::endpoint::{Instance, MAX_SLOTS, ServedFunction, Serves};
use crate::app::outbox::{GoAway, Outbox};
use crate::app::pool::Refusal;
use crate::app::proxy::{NewEndpoint, Proxy};
use crate::app::release::{self, Release};
use crate::app::reply::WINDOW_BYTES;
use crate::app::route::check_functions;
use crate::app::service::Link;

/// The protocol that is spoken.
pub(super) const PROTOCOL_VERSION: u32 = 1;

/// How long a runtime may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a runtime that was sent away is still listened to, so that it can read that it was,
/// and its late results are counted.
const LINGER: Duration = Duration::from_secs(2);

/// When to come back for a route that is perhaps about to be set.
const ROUTE_RETRY: Duration = Duration::from_millis(250);

/// Bounds of the window that a runtime may ask for.
const WINDOW: std::ops::RangeInclusive<u32> = 16 * 1024..=16 * 1024 * 1024;

const MAX_ID_BYTES: usize = 128;

/// How often the ends of a stream speak, and how long one may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often either end speaks at least.
    pub interval: Duration,
    /// How long a runtime may be silent.
    pub lease: Duration,
}

/// What is written to a runtime. It ends after the farewell.
#[derive(Debug)]
pub struct Outgoing {
    outbox: Arc<Outbox>,
    heartbeat: Heartbeat,
}

impl Outgoing {
    pub(super) fn new(outbox: Arc<Outbox>, heartbeat: Heartbeat) -> Self {
        Self { outbox, heartbeat }
    }
}

impl Stream for Outgoing {
    type Item = Result<AttachResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = self.outbox.poll_batch(context);
        batch.map(|batch| Some(Ok(frames::response(batch?, self.heartbeat))))
    }
}

/// One stream on its way from Hello to its end.
pub(super) struct Session {
    pub(super) proxy: Arc<Proxy>,
    pub(super) access: Arc<Access>,
    pub(super) caller: Caller,
    pub(super) outbox: Arc<Outbox>,
    pub(super) heartbeat: Heartbeat,
}

impl Session {
    /// Reads the stream to its end. The endpoint ends with it.
    pub(super) async fn run(self, mut incoming: Streaming<AttachRequest>) {
        let first = match timeout(HELLO_TIMEOUT, incoming.message()).await {
            Ok(Ok(Some(first))) => first,
            Ok(Ok(None) | Err(_)) => {
                return self.outbox.refuse(protocol_error("there was no hello"));
            }
            Err(_) => return self.refuse(protocol_error("there was no hello in time")),
        };
        let mut frames = first.frames.into_iter();
        let Some(Kind::Hello(hello)) = frames.next().and_then(|frame| frame.kind) else {
            return self.refuse(protocol_error("the first frame must be a hello"));
        };
        let name = format!("{}.{}", hello.application, hello.service);
        let (revision, release) = (hello.revision, hello.release.clone());
        let link = match self.attach(hello) {
            Ok(link) => link,
            Err(farewell) => {
                let reason = farewell.reason;
                tracing::info!(service = name, revision, reason, "runtime refused");
                return self.refuse(farewell);
            }
        };
        tracing::info!(
            service = name,
            revision,
            release,
            epoch = link.epoch().0,
            "runtime attached"
        );
        let mut reader = Reader {
            tally: self.proxy.tally().clone(),
            heartbeat: self.heartbeat,
            heard: Instant::now(),
            next_ping: Instant::now() + self.heartbeat.interval,
            nonce: 0,
            is_suspect: false,
            link,
        };
        reader.take(frames);
        reader.read(incoming).await;
        tracing::info!(
            service = name,
            revision,
            release,
            epoch = reader.link.epoch().0,
            "runtime gone"
        );
    }

    fn refuse(&self, farewell: GoAway) {
        self.proxy.tally().refused_runtimes.add_one();
        self.outbox.refuse(farewell);
    }

    fn attach(&self, hello: RuntimeHello) -> Result<Link, GoAway> {
        let application = hello.application.clone();
        let allowed = self
            .access
            .check_attach(&self.caller, &application, &hello.service);
        allowed.map_err(|error| GoAway {
            reason: error.reason(),
            message: error.to_string(),
            reconnect_after: None,
        })?;
        let newcomer = self.newcomer(hello)?;
        self.proxy.attach(&application, newcomer).map_err(refusal)
    }

    fn newcomer(&self, hello: RuntimeHello) -> Result<NewEndpoint, GoAway> {
        if hello.protocol_version != PROTOCOL_VERSION {
            let message = format!("protocol version {PROTOCOL_VERSION} is spoken here");
            return Err(protocol_error(&message));
        }
        let instance = hello.instance.unwrap_or_default();
        if !(1..=MAX_ID_BYTES).contains(&instance.id.len()) {
            return Err(protocol_error("instance.id must have 1 to 128 characters"));
        }
        if !(1..=MAX_SLOTS).contains(&hello.slots) {
            return Err(protocol_error("slots must be between 1 and 1024"));
        }
        if !release::is_label(&hello.release) {
            return Err(protocol_error("release must have at most 63 characters"));
        }
        let mut violations = Vec::new();
        check_functions(
            hello.functions.iter().map(|each| &each.name),
            "functions",
            &mut violations,
        );
        if let Some(violation) = violations.first() {
            let message = format!("{}: {}", violation.field, violation.description);
            return Err(protocol_error(&message));
        }
        let window = match hello.call_window_bytes {
            0 => WINDOW_BYTES,
            asked => asked.clamp(*WINDOW.start(), *WINDOW.end()),
        };
        self.outbox.set_window(window);
        Ok(NewEndpoint {
            instance: Instance {
                id: instance.id,
                incarnation: instance.incarnation,
                shard: hello.shard,
            },
            service: hello.service,
            serves: Serves::Release(Release {
                revision: hello.revision,
                label: hello.release,
            }),
            functions: served(hello.functions),
            slots: hello.slots,
            outbox: self.outbox.clone(),
        })
    }
}

pub(super) fn served(
    functions: Vec<baetyl_proto::function::v1::ServedFunction>,
) -> Vec<ServedFunction> {
    let function = |each: baetyl_proto::function::v1::ServedFunction| ServedFunction {
        name: each.name,
        is_idempotent: each.idempotent,
    };
    functions.into_iter().map(function).collect()
}

fn protocol_error(message: &str) -> GoAway {
    GoAway {
        reason: "PROTOCOL_ERROR",
        message: message.to_owned(),
        reconnect_after: None,
    }
}

fn refusal(refusal: Refusal) -> GoAway {
    let (reason, message, reconnect_after) = match refusal {
        Refusal::NotRouted => (
            "NOT_ROUTED",
            "no route leads to this release of the application",
            Some(ROUTE_RETRY),
        ),
        Refusal::Fenced => (
            "SUPERSEDED",
            "a later start of this runtime is attached",
            None,
        ),
        Refusal::TooMany => ("PROTOCOL_ERROR", "the service has too many runtimes", None),
        Refusal::ShuttingDown => {
            let back = Some(Duration::from_secs(1));
            ("SHUTDOWN", "the function service is shutting down", back)
        }
    };
    GoAway {
        reason,
        message: message.to_owned(),
        reconnect_after,
    }
}

/// The reading half of an attached stream.
struct Reader {
    link: Link,
    tally: Arc<crate::app::tally::Tally>,
    heartbeat: Heartbeat,
    heard: Instant,
    next_ping: Instant,
    nonce: u64,
    is_suspect: bool,
}

impl Reader {
    async fn read(&mut self, mut incoming: Streaming<AttachRequest>) {
        let outbox = self.link.outbox().clone();
        loop {
            let wake = self.next_ping.min(self.heard + self.heartbeat.lease);
            // All arms are cancel safe: a message is only taken whole.
            tokio::select! {
                biased;
                () = outbox.closed() => break,
                message = incoming.message() => match message {
                    Ok(Some(message)) => self.hear(message),
                    Ok(None) => return,
                    Err(status) => {
                        tracing::debug!(error = %status, "attach stream broke");
                        return;
                    }
                },
                () = sleep_until(wake) => self.tick(),
            }
        }
        // Sent away. What still comes belongs to no call any more.
        let until = Instant::now() + LINGER;
        while let Ok(Ok(Some(message))) = tokio::time::timeout_at(until, incoming.message()).await {
            self.take(message.frames.into_iter());
        }
    }

    fn hear(&mut self, message: AttachRequest) {
        self.heard = Instant::now();
        if std::mem::take(&mut self.is_suspect) {
            self.link.trust();
        }
        self.take(message.frames.into_iter());
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let silence = now.saturating_duration_since(self.heard);
        if silence >= self.heartbeat.lease {
            self.tally.expired.add_one();
            tracing::warn!(epoch = self.link.epoch().0, "runtime fell silent");
            return self.link.end(Some(GoAway {
                reason: "LEASE_EXPIRED",
                message: "nothing was heard for longer than the lease".to_owned(),
                reconnect_after: None,
            }));
        }
        if silence >= self.heartbeat.interval * 2 && !self.is_suspect {
            self.is_suspect = true;
            self.link.suspect();
        }
        let outbox = self.link.outbox();
        if silence >= self.heartbeat.interval || !outbox.has_spoken() {
            self.nonce += 1;
            outbox.ping(self.nonce);
        }
        self.next_ping = now + self.heartbeat.interval;
    }

    fn take(&mut self, frames: impl Iterator<Item = RuntimeFrame>) {
        let service = self.link.service().clone();
        let mut inbox = self.link.listen();
        let mut is_broken = false;
        for frame in frames {
            match frame.kind {
                Some(Kind::Result(told)) => {
                    let id = CallId::from_wire(told.call_id);
                    inbox.result(id, frames::outcome(told, &service));
                }
                Some(Kind::Chunk(told)) => {
                    inbox.chunk(CallId::from_wire(told.call_id), told.data, told.end);
                }
                Some(Kind::Started(told)) => {
                    for id in told.call_ids {
                        inbox.started(CallId::from_wire(id));
                    }
                }
                Some(Kind::Credit(told)) => {
                    let id = CallId::from_wire(told.call_id);
                    self.link.outbox().credited(id, told.bytes);
                }
                Some(Kind::Ready(told)) => inbox.add_slots(told.slots_delta),
                Some(Kind::Drain(_)) => inbox.drain(),
                Some(Kind::Ping(told)) => self.link.outbox().pong(told.nonce),
                Some(Kind::Pong(_)) => {}
                Some(Kind::Logs(told)) => {
                    self.tally.log_lines.add(told.logs.len() as u64);
                    self.tally.dropped_log_lines.add(told.dropped_count);
                }
                Some(Kind::Hello(_)) => is_broken = true,
                None => self.tally.unknown_frames.add_one(),
            }
        }
        drop(inbox);
        if is_broken {
            self.link
                .end(Some(protocol_error("there was a second hello")));
        }
    }
}
