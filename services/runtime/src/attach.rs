//! Connects to the function service, attaches, serves the stream, and comes back when it is lost.

use std::sync::Arc;
use std::time::Duration;

use baetyl_pki::{Credentials, KeyPair, files, pem};
use baetyl_proto::function::v1::proxy_frame::Kind;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, GoAway, ProxyFrame, ProxyWelcome, RuntimeHello, RuntimeInstance,
    ServedFunction,
};
use baetyl_service_kit::backoff::Backoff;
use baetyl_service_kit::fault::chain;
use baetyl_service_kit::serve::{ConnectError, ConnectOptions, MAX_MESSAGE_BYTES, Target, connect};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::Condition;
use baetyl_service_kit::tls::{Identity, Roots, TlsError};
use futures::{FutureExt as _, Stream};
use tokio::time::{Instant, interval, sleep_until, timeout};
use tonic::Streaming;

use crate::error::Error;
use crate::metrics;
use crate::outbox::Outbox;
use crate::pool::Pool;
use crate::session::{Intake, Session, UPLOAD_WINDOW_BYTES};
use crate::settings::Settings;

const PROTOCOL_VERSION: u32 = 1;

/// How long the function service may take to welcome a runtime.
const WELCOME_BOUND: Duration = Duration::from_secs(10);

/// What holds when Welcome does not say.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(3);
const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const DEFAULT_WINDOW_BYTES: u32 = 256 * 1024;

/// Below this a heartbeat would be a load of its own.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);

/// How long calls that were cancelled may take to end: longer than their workers are given.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// How long the last frames may take to go out.
const LEAVE_BOUND: Duration = Duration::from_secs(2);

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("the certificate cannot be used")]
    Pki(#[from] baetyl_pki::Error),
    #[error("a file of the certificate cannot be read")]
    File(#[from] baetyl_pki::FileError),
    #[error("the certificate cannot be used")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the function service refused")]
    Refused(#[from] tonic::Status),
    #[error("the function service did not welcome the runtime")]
    NotWelcomed,
    #[error("reading the certificate was interrupted")]
    Interrupted,
}

/// How a stream ended.
enum End {
    /// The host drained.
    Drained,
    /// It was lost, or never stood.
    Lost,
    /// The function service closed it.
    SentAway(GoAway),
}

/// What keeps a host attached.
pub(crate) struct Attachment {
    pub(crate) settings: Settings,
    pub(crate) pool: Arc<Pool>,
    pub(crate) attached: Condition,
    pub(crate) shutdown: Shutdown,
}

impl Attachment {
    /// Stays attached until the host drains.
    ///
    /// # Errors
    /// [`Error::Superseded`].
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        let mut levels = self.pool.levels();
        while !self.shutdown.is_draining() {
            tokio::select! {
                // The pool outlives this.
                () = levels.wait_for(|levels| levels.idle > 0).map(drop) => {}
                () = self.shutdown.draining() => return Ok(()),
            }
            let end = self.attach(&mut backoff).await.unwrap_or_else(|error| {
                tracing::warn!(
                    error = chain(&error),
                    "not attached to the function service"
                );
                End::Lost
            });
            self.attached.not_ready("not attached");
            let asked = match end {
                End::Drained => return Ok(()),
                End::Lost => None,
                End::SentAway(farewell) if farewell.reason == "SUPERSEDED" => {
                    return Err(Error::Superseded);
                }
                End::SentAway(farewell) => {
                    let (reason, message) = (&farewell.reason, &farewell.message);
                    tracing::warn!(reason, message, "function service closed the stream");
                    farewell
                        .reconnect_after
                        .and_then(|after| after.try_into().ok())
                }
            };
            let own = backoff.next_delay(std::time::Instant::now());
            let delay: Duration = asked.unwrap_or(own);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.draining() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn attach(&self, backoff: &mut Backoff) -> Result<End, AttachError> {
        let target = self.target().await?;
        let options = ConnectOptions::default();
        let channel = tokio::select! {
            channel = connect(&target, &options) => channel?,
            () = self.shutdown.draining() => return Ok(End::Drained),
        };
        let mut client = RuntimeServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let begin = |idle| Arc::new(Session::new(Outbox::new(self.hello(idle))));
        let Some(session) = self.pool.attach(begin) else {
            return Ok(End::Lost);
        };
        let welcomed = timeout(WELCOME_BOUND, async {
            let mut inbound = client.attach(outbound(session.clone())).await?.into_inner();
            let first = inbound.message().await?;
            Ok::<_, tonic::Status>((inbound, first))
        });
        let outcome = match welcomed.await {
            Ok(Ok((inbound, Some(first)))) => {
                self.welcomed(&session, inbound, first, backoff).await
            }
            Ok(Err(status)) => Err(status.into()),
            Ok(Ok((_, None))) | Err(_) => Err(AttachError::NotWelcomed),
        };
        self.pool.detach();
        // Calls that still run end in their own time; nobody gets their results.
        session.outbox().close();
        outcome
    }

    async fn welcomed(
        &self,
        session: &Arc<Session>,
        inbound: Streaming<AttachResponse>,
        first: AttachResponse,
        backoff: &mut Backoff,
    ) -> Result<End, AttachError> {
        let mut frames = first.frames.into_iter().filter_map(|frame| frame.kind);
        let welcome = match frames.next() {
            Some(Kind::Welcome(welcome)) => welcome,
            Some(Kind::GoAway(farewell)) => return Ok(End::SentAway(farewell)),
            _ => return Err(AttachError::NotWelcomed),
        };
        backoff.healthy(std::time::Instant::now());
        tracing::info!(
            epoch = welcome.epoch,
            lease = welcome.lease_id,
            "attached to the function service"
        );
        let mut stream = Attached::new(self, session.clone(), inbound, &welcome);
        self.attached.ready();
        for kind in frames {
            if let Some(farewell) = stream.frame(kind) {
                return Ok(End::SentAway(farewell));
            }
        }
        Ok(stream.serve().await)
    }

    fn hello(&self, slots: u32) -> RuntimeHello {
        let config = &self.settings.config;
        let functions = config.functions.iter().map(|function| ServedFunction {
            name: function.name.clone(),
            idempotent: false,
        });
        RuntimeHello {
            protocol_version: PROTOCOL_VERSION,
            instance: Some(RuntimeInstance {
                id: config.instance.clone(),
                incarnation: self.settings.incarnation,
                runtime: config.runtime.clone(),
                runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            application: config.application.clone(),
            service: config.service.clone(),
            revision: config.revision,
            release: config.release.clone(),
            functions: functions.collect(),
            slots,
            call_window_bytes: UPLOAD_WINDOW_BYTES,
            ..RuntimeHello::default()
        }
    }

    /// The function service, with the certificate as it is now: it is renewed every few hours.
    async fn target(&self) -> Result<Target, AttachError> {
        let folder = self.settings.config.certificate_folder.clone();
        let is_in_pod = self.settings.is_in_pod();
        let reading = tokio::task::spawn_blocking(move || {
            let chain = pem::certs(&files::read_public(&folder.join("tls.crt"))?)?;
            let key = folder.join("tls.key");
            // A pod's files have nobody else to hide from, and its user may be any.
            let key = if is_in_pod {
                KeyPair::from_pem(&files::read_public(&key)?)?
            } else {
                KeyPair::from_pem(&files::read_private(&key)?)?
            };
            let roots = pem::certs(&files::read_public(&folder.join("ca.crt"))?)?;
            // Checks that the key belongs to the chain: the files may be switched right now.
            Ok::<_, AttachError>((Credentials::new(key, chain)?, roots))
        });
        let (credentials, roots) = reading.await.map_err(|_| AttachError::Interrupted)??;
        let chain = credentials.chain().to_vec();
        let identity = Identity::try_new((chain, credentials.key().to_private_key_der()))?;
        let tls = Target::tls(Roots::try_new(&roots)?, Some(identity));
        let uri = self.settings.attach_uri();
        // A socket has no host; every server of the node is `localhost` too.
        let server_name = uri.starts_with("unix:").then_some("localhost");
        Ok(Target::encrypted(&uri, server_name, tls)?)
    }
}

fn outbound(session: Arc<Session>) -> impl Stream<Item = AttachRequest> + Send + 'static {
    futures::stream::unfold(session, |session| async {
        let message = session.outbox().next().await?;
        Some((message, session))
    })
}

/// What the host is about, on a stream that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Calls may finish.
    Draining,
    /// Calls were cancelled.
    Stopping,
    /// The last frames go out.
    Leaving,
}

/// A stream that stands.
struct Attached<'a> {
    attachment: &'a Attachment,
    session: Arc<Session>,
    intake: Intake,
    inbound: Streaming<AttachResponse>,
    heartbeat: Duration,
    lease: Duration,
    last_heard: Instant,
    nonce: u64,
    /// The ping that went out with the drain: once it is answered, every call that was sent before
    /// the other end knew is here.
    drain_nonce: Option<u64>,
    is_drain_known: bool,
    phase: Phase,
    /// When the phase is over at last.
    until: Instant,
}

impl<'a> Attached<'a> {
    fn new(
        attachment: &'a Attachment,
        session: Arc<Session>,
        inbound: Streaming<AttachResponse>,
        welcome: &ProxyWelcome,
    ) -> Self {
        let duration = |given: Option<prost_types::Duration>, default| {
            given
                .and_then(|given| Duration::try_from(given).ok())
                .filter(|given| !given.is_zero())
                .unwrap_or(default)
        };
        let heartbeat = duration(welcome.heartbeat_interval, DEFAULT_HEARTBEAT);
        let window = match welcome.call_window_bytes {
            0 => DEFAULT_WINDOW_BYTES,
            bytes => bytes,
        };
        session.set_window(window);
        let pool = attachment.pool.clone();
        Self {
            intake: Intake::new(session.clone(), pool, &welcome.function_ids),
            attachment,
            session,
            inbound,
            heartbeat: heartbeat.max(SHORTEST_HEARTBEAT),
            lease: duration(welcome.lease_duration, DEFAULT_LEASE),
            last_heard: Instant::now(),
            nonce: 0,
            drain_nonce: None,
            is_drain_known: false,
            phase: Phase::Serving,
            until: Instant::now(),
        }
    }

    /// Serves the stream to its end.
    async fn serve(mut self) -> End {
        let mut beat = interval(self.heartbeat);
        let mut active = self.session.active();
        let shutdown = self.attachment.shutdown.clone();
        loop {
            let is_ending = match self.phase {
                // A call that is on its way is to be refused: without an answer nobody knows
                // whether it ran.
                Phase::Draining => self.is_drain_known,
                Phase::Stopping => true,
                Phase::Serving | Phase::Leaving => false,
            };
            // Every arm is cancel safe: frames stay in the stream, levels stay.
            tokio::select! {
                message = self.inbound.message() => match message {
                    Ok(Some(message)) => {
                        self.last_heard = Instant::now();
                        if let Some(farewell) = self.frames(message.frames) {
                            return self.ended(Some(farewell));
                        }
                    }
                    Ok(None) => return self.ended(None),
                    Err(status) => {
                        let error = chain(&status);
                        tracing::info!(error, "stream to the function service was lost");
                        return self.ended(None);
                    }
                },
                _ = beat.tick() => {
                    if self.last_heard.elapsed() > self.lease {
                        tracing::warn!("function service is silent");
                        return self.ended(None);
                    }
                    if self.session.outbox().was_quiet() {
                        self.nonce += 1;
                        self.session.outbox().ping(self.nonce);
                    }
                }
                () = shutdown.draining(), if self.phase == Phase::Serving => self.drain(),
                () = active.wait_for(|active| *active == 0).map(drop), if is_ending => self.leave(),
                () = sleep_until(self.until), if self.phase != Phase::Serving => {
                    match self.phase {
                        Phase::Draining => self.stop(),
                        Phase::Stopping => self.leave(),
                        Phase::Serving | Phase::Leaving => return End::Drained,
                    }
                }
            }
        }
    }

    fn drain(&mut self) {
        let grace = self.attachment.settings.stop_grace;
        self.attachment.attached.not_ready("draining");
        self.intake.drain();
        self.nonce += 1;
        self.drain_nonce = Some(self.nonce);
        self.session.outbox().drain(grace);
        self.session.outbox().ping(self.nonce);
        self.enter(Phase::Draining, grace);
    }

    fn stop(&mut self) {
        self.session.cancel_all();
        self.enter(Phase::Stopping, STOP_BOUND);
    }

    fn leave(&mut self) {
        self.session.outbox().finish();
        self.enter(Phase::Leaving, LEAVE_BOUND);
    }

    fn enter(&mut self, phase: Phase, bound: Duration) {
        self.phase = phase;
        self.until = Instant::now() + bound;
    }

    fn ended(self, farewell: Option<GoAway>) -> End {
        match (self.phase, farewell) {
            (Phase::Serving, Some(farewell)) => End::SentAway(farewell),
            (Phase::Serving, None) => End::Lost,
            _ => End::Drained,
        }
    }

    fn frames(&mut self, frames: Vec<ProxyFrame>) -> Option<GoAway> {
        frames.into_iter().find_map(|frame| match frame.kind {
            Some(kind) => self.frame(kind),
            None => {
                metrics::FRAMES_IGNORED.add(1, &[]);
                None
            }
        })
    }

    /// Takes a frame; the last one of the stream is returned.
    fn frame(&mut self, kind: Kind) -> Option<GoAway> {
        match kind {
            Kind::Call(call) => self.intake.call(call),
            Kind::Chunk(chunk) => self.intake.chunk(chunk),
            Kind::Credit(credit) => self.session.credit(credit.call_id, credit.bytes),
            Kind::Cancel(cancel) => self.session.cancel(cancel.call_id, &cancel.reason),
            Kind::Ping(ping) => {
                let active = u32::try_from(*self.session.active().borrow()).unwrap_or(u32::MAX);
                self.session.outbox().pong(ping.nonce, active);
            }
            Kind::Pong(pong) => {
                let is_of_drain = self.drain_nonce.is_some_and(|nonce| pong.nonce >= nonce);
                self.is_drain_known |= is_of_drain;
            }
            Kind::GoAway(farewell) => return Some(farewell),
            Kind::Welcome(_) => metrics::FRAMES_IGNORED.add(1, &[]),
        }
        None
    }
}
