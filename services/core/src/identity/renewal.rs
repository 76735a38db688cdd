//! Renewal of the client certificate: at two thirds of its life, or when the cloud asks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use baetyl_pki::SigningRequest;
use baetyl_proto::sync::v1::activation_service_client::ActivationServiceClient;
use baetyl_proto::sync::v1::{NodeIdentity as Answer, RenewRequest};
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault::{Problem, chain};
use baetyl_service_kit::serve::{ConnectError, ConnectOptions, Target, connect};
use tokio::sync::Notify;
use tonic::Request;

use super::{IdentityError, LiveIdentity};
use crate::field;

/// How long one attempt may take.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Attempts that failed are repeated less and less often, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The wait is cut into pieces, since a machine that slept or set its clock must notice.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// An attempt to renew failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("no address of the cloud's api is known")]
    NoAddress,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the cloud refused: {reason}")]
    Refused { reason: String },
    #[error("the cloud did not answer in time")]
    Deadline,
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Keeps the certificate of the node good.
#[derive(Debug)]
pub(crate) struct Renewal {
    identity: Arc<LiveIdentity>,
    wake: Notify,
}

impl Renewal {
    pub(crate) fn new(identity: Arc<LiveIdentity>) -> Self {
        let wake = Notify::new();
        Self { identity, wake }
    }

    /// Asks for a renewal now; asking twice is asking once.
    pub(crate) fn renew_now(&self) {
        self.wake.notify_one();
    }

    /// Renews for as long as it is polled. Dropping it loses nothing: the pending key is on disk.
    pub(crate) async fn run(&self) {
        let mut backoff = Backoff::new(Bounds {
            initial: Duration::from_secs(1),
            cap: LONGEST_PAUSE,
            healthy_after: Duration::ZERO,
        });
        loop {
            self.due().await;
            match self.renew().await {
                Ok(()) => {
                    backoff.healthy(Instant::now());
                    tracing::info!("certificate renewed");
                    continue;
                }
                Err(error) => {
                    let attempt = backoff.attempt() + 1;
                    let error = chain(&error);
                    tracing::warn!({ field::ATTEMPT } = attempt, error, "renewal failed");
                }
            }
            tokio::time::sleep(backoff.next_delay(Instant::now())).await;
            // The next attempt is due at once, whoever asked for this one.
            self.wake.notify_one();
        }
    }

    async fn due(&self) {
        let at = renew_at(&self.identity);
        loop {
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            // Both arms are cancel safe.
            tokio::select! {
                () = self.wake.notified() => return,
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// One attempt: the key is on disk before the request leaves, the answer before it is used.
    pub(crate) async fn renew(&self) -> Result<(), RenewError> {
        let current = self.identity.current();
        let folder = self.identity.folder().clone();
        let key = blocking(move || folder.pending_key()).await?;
        let name = current.document.node.as_str();
        let request = SigningRequest::create(&key, name).map_err(IdentityError::from)?;
        let certificate = current.credentials.chain().first();
        let message = RenewRequest {
            certificate: certificate
                .map(|der| der.to_vec())
                .unwrap_or_default()
                .into(),
            signature: current.credentials.key().prove(&request).into(),
            certificate_request: request.into(),
        };
        let answer = self.ask(&current.document.api_addresses, message).await?;
        let folder = self.identity.folder().clone();
        let identity = blocking(move || folder.install(key, &answer)).await?;
        self.identity.replace(identity)?;
        Ok(())
    }

    async fn ask(&self, addresses: &[String], message: RenewRequest) -> Result<Answer, RenewError> {
        let mut last = RenewError::NoAddress;
        for address in addresses {
            let asked = tokio::time::timeout(CALL_DEADLINE, self.ask_one(address, message.clone()));
            match asked.await.unwrap_or(Err(RenewError::Deadline)) {
                Ok(identity) => return Ok(identity),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_one(&self, address: &str, message: RenewRequest) -> Result<Answer, RenewError> {
        let uri = format!("https://{address}");
        let target = Target::encrypted(&uri, None, self.identity.without_certificate())?;
        let channel = connect(&target, &ConnectOptions::default()).await?;
        let answered = ActivationServiceClient::new(channel)
            .renew(Request::new(message))
            .await;
        let refused = |reason: String| RenewError::Refused { reason };
        let response = answered.map_err(|status| refused(Problem::from_status(&status).reason))?;
        let identity = response.into_inner().identity;
        identity.ok_or_else(|| refused("EMPTY_ANSWER".to_owned()))
    }
}

/// Two thirds of the life, and up to a tenth of it more, so that a fleet does not come at once.
fn renew_at(identity: &LiveIdentity) -> SystemTime {
    let current = identity.current();
    let certificate = current.credentials.identity();
    let life = certificate.not_after.duration_since(certificate.not_before);
    let spread = life.unwrap_or_default() / 10;
    certificate.renew_at() + spread.mul_f64(rand::random::<f64>())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, IdentityError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
