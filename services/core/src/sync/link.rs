//! Dials the cloud again and again, and runs the sessions.

mod running;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baetyl_engine::EngineHandle;
use baetyl_proto::sync::v1::SyncRequest;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault::{Fault as _, Problem, chain};
use baetyl_service_kit::serve::{ConnectOptions, Dialer, MAX_MESSAGE_BYTES, Target, connect};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::propagation::{TracedChannel, traced};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::running::Running;
use super::bodies::Stage;
use super::session::{End, Greeting, Session};
use crate::desired::DesiredState;
use crate::field;
use crate::identity::{LiveIdentity, Renewal};
use crate::metrics;
use crate::reported::Reported;
use crate::status::NodeState;
use crate::store::{Store, StoreError};

/// Frames that wait for the stream; what fills it waits itself.
const QUEUE: usize = 32;

/// How long the stream may take to open once the connection stands.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);

/// The longest time that a Goodbye may keep this node away.
const LONGEST_ABSENCE: Duration = Duration::from_secs(60 * 60);

/// Ends of sessions after which the next one follows at once.
pub(super) const RENEWED: &str = "CERTIFICATE_RENEWED";
/// The end that draining brings.
pub(super) const DRAINING: &str = "DRAINING";
/// The end after the node was deleted.
pub(super) const DECOMMISSIONED: &str = "DECOMMISSIONED";

/// Opens connections to an address of the cloud.
pub type Dial = Arc<dyn Fn(&str) -> Dialer + Send + Sync>;

/// How the link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program ends.
    Drained,
    /// The node was deleted: its applications and its identity are gone.
    Decommissioned,
}

/// Everything that a session works with.
#[derive(Clone)]
pub(crate) struct LinkParts {
    pub(crate) identity: Arc<LiveIdentity>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) store: Arc<Store>,
    pub(crate) engine: EngineHandle,
    pub(crate) desired: Arc<DesiredState>,
    pub(crate) reported: Reported,
    pub(crate) node: NodeState,
    pub(crate) backoff: Bounds,
    pub(crate) dial: Option<Dial>,
    pub(crate) version: String,
    pub(crate) incarnation: String,
}

impl fmt::Debug for LinkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkParts").finish_non_exhaustive()
    }
}

/// The line to the cloud.
#[derive(Debug)]
pub(crate) struct Link {
    parts: LinkParts,
    stage: Arc<Stage>,
    shutdown: Shutdown,
}

impl Link {
    pub(crate) fn new(parts: LinkParts, shutdown: Shutdown) -> Self {
        let stage = Arc::default();
        Self {
            parts,
            stage,
            shutdown,
        }
    }

    /// Keeps a session open until draining begins or the node is deleted.
    pub(crate) async fn run(self) -> Outcome {
        let mut backoff = Backoff::new(self.parts.backoff);
        let mut attempt = 0_usize;
        loop {
            let address = self.address(attempt);
            let end = tokio::select! {
                () = self.shutdown.draining() => return Outcome::Drained,
                dialed = self.dial(&address) => match dialed {
                    Ok(client) => self.session(client, &mut backoff).await,
                    Err(end) => {
                        // The next address, if there is one, may be better.
                        attempt = attempt.wrapping_add(1);
                        end
                    }
                },
            };
            match end.reason.as_str() {
                DRAINING => return Outcome::Drained,
                DECOMMISSIONED => return Outcome::Decommissioned,
                _ => {}
            }
            // One line for each new reason: a cloud that is away for days is not news each time.
            let is_news = self.parts.node.disconnected(&end.reason);
            metrics::SYNC_CONNECTED.record(0, &[]);
            let delay = self.delay(&end, &mut backoff);
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let (reason, message) = (&end.reason, &end.message);
            if is_news {
                tracing::info!(reason, message, delay_ms, "session ended");
            } else {
                tracing::debug!(reason, message, delay_ms, "session ended");
            }
            tokio::select! {
                () = self.shutdown.draining() => return Outcome::Drained,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    fn address(&self, attempt: usize) -> String {
        let identity = self.parts.identity.current();
        let addresses = &identity.document.sync_addresses;
        let index = attempt.checked_rem(addresses.len()).unwrap_or_default();
        addresses.get(index).cloned().unwrap_or_default()
    }

    fn delay(&self, end: &End, backoff: &mut Backoff) -> Duration {
        let own = backoff.next_delay(Instant::now());
        if end.reason == RENEWED {
            return Duration::ZERO;
        }
        match end.reconnect_after {
            Some(wanted) => wanted.min(LONGEST_ABSENCE),
            None => own,
        }
    }

    async fn dial(&self, address: &str) -> Result<SyncServiceClient<TracedChannel>, End> {
        let uri = format!("https://{address}");
        let unreachable = |error: &baetyl_service_kit::serve::ConnectError| {
            End::new(error.reason(), chain(error))
        };
        let target = Target::encrypted(&uri, None, self.parts.identity.as_client())
            .map_err(|error| unreachable(&error))?;
        let target = match &self.parts.dial {
            Some(dial) => target.dialed_by(dial(address)),
            None => target,
        };
        let channel = connect(&target, &ConnectOptions::default())
            .await
            .map_err(|error| unreachable(&error))?;
        Ok(SyncServiceClient::new(traced(channel))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    async fn session(
        &self,
        mut client: SyncServiceClient<TracedChannel>,
        backoff: &mut Backoff,
    ) -> End {
        let greeting = match self.greeting().await {
            Ok(greeting) => greeting,
            Err(error) => return End::new(error.reason(), chain(&error)),
        };
        let sections = self.parts.reported.subscribe().borrow().clone();
        let (session, hello) = Session::begin(greeting, sections, Instant::now());
        let (frames, queued) = mpsc::channel(QUEUE);
        let first = SyncRequest { frame: Some(hello) };
        // The queue is new and takes one frame at once.
        frames.try_send(first).ok();

        let fetching = client.clone();
        let opened = tokio::select! {
            () = self.shutdown.draining() => return End::new(DRAINING, ""),
            opened = tokio::time::timeout(OPEN_DEADLINE, client.sync(ReceiverStream::new(queued))) => opened,
        };
        let inbound = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return refused(&status),
            Err(_) => return End::new("SILENT", "the stream did not open in time"),
        };
        Running::new(self, session, frames, fetching)
            .run(inbound, backoff)
            .await
    }

    /// What Hello says; the engine is first told what is on disk, should an earlier session have
    /// ended between the one and the other.
    async fn greeting(&self) -> Result<Greeting, StoreError> {
        self.parts.desired.apply().await?;
        let read = |store: &Store| Ok((store.stamp()?, store.converged()?));
        let (held, converged) = self.parts.store.run(read).await?;
        let features = self.parts.engine.features();
        Ok(Greeting {
            node_uid: self.parts.identity.current().document.node_uid.to_string(),
            held,
            converged,
            core_version: self.parts.version.clone(),
            features: features.iter().map(ToString::to_string).collect(),
            incarnation: self.parts.incarnation.clone(),
        })
    }
}

/// The end that a failed call means.
fn refused(status: &tonic::Status) -> End {
    let problem = Problem::from_status(status);
    End {
        reason: problem.reason,
        message: problem.message,
        reconnect_after: problem.retry_after,
    }
}

/// Logs an error of a session with its fields.
pub(super) fn log_session_error(what: &'static str, error: &dyn std::error::Error) {
    let error = chain(error);
    tracing::warn!({ field::ERROR } = error, what, "session work failed");
}
