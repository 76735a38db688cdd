//! Exchanging a join token for a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baetyl_model::node_identity::{
    CREDENTIALS_FILE, NODE_FILE, NodeIdentityFile, PENDING_KEY_FILE,
};
use baetyl_pki::verify::PinnedAuthority;
use baetyl_pki::{CertificateDer, Credentials, JoinToken, KeyPair, SigningRequest, files};
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_client::ActivationServiceClient;
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault::{Problem, is_retryable};
use baetyl_service_kit::serve::{ConnectOptions, Target, connect};
use baetyl_service_kit::tls;
use tonic::Request;
use tonic::transport::Channel;

use crate::InitError;

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// A wish to join.
#[derive(Debug)]
pub struct Activation {
    /// Address of the cloud's API, `https://host:port`.
    pub address: String,
    /// The join token, as `baetyl node add` printed it.
    pub token: String,
    /// The identity folder; made when it is missing.
    pub folder: PathBuf,
    /// Version of the program, for people.
    pub version: String,
    /// How long to try while the cloud cannot be reached.
    pub patience: Duration,
}

/// Whether the folder holds a node's credentials.
#[must_use]
pub fn is_activated(folder: &Path) -> bool {
    folder.join(CREDENTIALS_FILE).exists()
}

/// Exchanges the join token for a certificate and writes the identity folder.
///
/// Safe to repeat: until the credentials are written the same key is used again.
///
/// # Errors
/// Every variant of [`InitError`] but those of core; nothing but the pending key is then on disk.
pub async fn activate(activation: &Activation) -> Result<NodeIdentityFile, InitError> {
    let token: JoinToken = activation.token.parse().map_err(InitError::Token)?;
    let folder = &activation.folder;
    if is_activated(folder) {
        let known = NodeIdentityFile::from_json(&files::read_public(&folder.join(NODE_FILE))?)?;
        return Err(InitError::AlreadyActivated {
            folder: folder.clone(),
            node: known.node.to_string(),
        });
    }
    let key = pending_key(folder)?;
    let hostname = hostname();
    let request = wire::ActivateRequest {
        token: token.reveal().to_string(),
        certificate_request: SigningRequest::create(&key, &hostname)?.into(),
        hostname,
        version: activation.version.clone(),
    };
    let answer = ask(activation, &token, request).await?;
    store(folder, key, &answer)
}

/// The key of the first, unanswered request, or a new one; on disk before anybody is asked.
fn pending_key(folder: &Path) -> Result<KeyPair, InitError> {
    let path = folder.join(PENDING_KEY_FILE);
    std::fs::create_dir_all(folder).map_err(|source| baetyl_pki::FileError::Io {
        action: "create",
        path: folder.to_owned(),
        source,
    })?;
    if path.exists() {
        return Ok(KeyPair::from_pem(&files::read_private(&path)?)?);
    }
    let key = KeyPair::generate();
    files::write_private(&path, key.to_pem().as_bytes())?;
    Ok(key)
}

/// Asks until there is an answer, a refusal, or no patience left.
async fn ask(
    activation: &Activation,
    token: &JoinToken,
    request: wire::ActivateRequest,
) -> Result<wire::NodeIdentity, InitError> {
    let target = Target::encrypted(&activation.address, None, pinned(token))?;
    let started = Instant::now();
    let mut backoff = Backoff::new(Bounds::default());
    loop {
        let last: Box<dyn std::error::Error + Send + Sync> =
            match connect(&target, &ConnectOptions::default()).await {
                Err(error) => error.into(),
                Ok(channel) => match call(channel, request.clone()).await {
                    Ok(identity) => return Ok(identity),
                    Err(status) if is_retryable(status.code()) => status.into(),
                    Err(status) => {
                        return Err(InitError::Refused(Box::new(Problem::from_status(&status))));
                    }
                },
            };
        let waited = started.elapsed();
        if waited >= activation.patience {
            let address = activation.address.clone();
            return Err(InitError::Unreachable {
                address,
                waited,
                last,
            });
        }
        tracing::info!(error = %last, "the cloud is not reached yet, trying again");
        tokio::time::sleep(backoff.next_delay(Instant::now())).await;
    }
}

async fn call(
    channel: Channel,
    request: wire::ActivateRequest,
) -> Result<wire::NodeIdentity, tonic::Status> {
    let mut request = Request::new(request);
    request.set_timeout(TRY_TIMEOUT);
    let mut service = ActivationServiceClient::new(channel);
    let answer = tokio::time::timeout(TRY_TIMEOUT, service.activate(request))
        .await
        .map_err(|_| tonic::Status::unavailable("no answer in time"))??;
    answer
        .into_inner()
        .identity
        .ok_or_else(|| tonic::Status::internal("the answer holds no identity"))
}

/// Trusts the one authority that the token names; everything else is verified as always.
fn pinned(token: &JoinToken) -> baetyl_service_kit::serve::TlsProvider {
    let verifier = Arc::new(PinnedAuthority::new(token.authority()));
    Arc::new(move || {
        let mut config = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("ring implements the default protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::<PinnedAuthority>::clone(&verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    })
}

/// Writes the document, then the credentials, then removes the pending key: a node is activated
/// when the credentials are there.
fn store(
    folder: &Path,
    key: KeyPair,
    answer: &wire::NodeIdentity,
) -> Result<NodeIdentityFile, InitError> {
    let document = NodeIdentityFile::try_from(answer)?;
    let chain = answer.certificate_chain.iter();
    let chain = chain
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    let credentials = Credentials::new(key, chain)?;
    files::write_public(&folder.join(NODE_FILE), document.to_json().as_bytes())?;
    credentials.store(&folder.join(CREDENTIALS_FILE))?;
    // A leftover key is harmless; the next activation of this folder is refused anyway.
    std::fs::remove_file(folder.join(PENDING_KEY_FILE)).ok();
    Ok(document)
}

fn hostname() -> String {
    let name = rustix::system::uname();
    let name: String = name.nodename().to_string_lossy().chars().take(64).collect();
    if name.is_empty() {
        "node".to_owned()
    } else {
        name
    }
}
