//! Who may call what: the edge token, and certificates of the node's own authority.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baetyl_pki::{Fingerprint, PeerIdentity, SecretHash, Subject, files};
use baetyl_service_kit::fault::{Code, Fault};
use baetyl_service_kit::serve::Peer;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Extensions;
use tonic::metadata::MetadataMap;

/// How long the token that was read last is taken for the present one.
const TOKEN_AGE: Duration = Duration::from_secs(1);

/// Name of core among the parts of the platform on a node.
const CORE: &str = "core";

/// A call that is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Neither certificate nor token.
    #[error("a certificate of this node or the edge token is needed")]
    Missing,
    /// The token is not the edge token.
    #[error("the token is not valid here")]
    TokenInvalid,
    /// The certificate names nobody that is known here.
    #[error("the certificate is not valid here")]
    CertificateInvalid,
    /// Somebody else may do that.
    #[error("{holder} may not {action}")]
    Denied {
        /// Who calls.
        holder: String,
        /// What was tried.
        action: String,
    },
}

impl Fault for AccessError {
    fn code(&self) -> Code {
        match self {
            Self::Missing | Self::TokenInvalid | Self::CertificateInvalid => Code::Unauthenticated,
            Self::Denied { .. } => Code::PermissionDenied,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::CertificateInvalid => "CERTIFICATE_INVALID",
            Self::Denied { .. } => "PERMISSION_DENIED",
        }
    }
}

/// The edge token, which lies in a file that only its owner may read.
#[derive(Debug)]
pub struct EdgeToken {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    hash: Option<SecretHash>,
    read: Instant,
}

impl EdgeToken {
    /// Reads the file. When it cannot be read no token is valid until it can; the log says why.
    /// Blocks.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let known = Known {
            hash: read_token(&path),
            read: Instant::now(),
        };
        Self {
            path,
            known: Mutex::new(known),
        }
    }

    /// Whether a text is the token. A file that was replaced holds within a second.
    pub async fn is(&self, text: &str) -> bool {
        let is_old = {
            let mut known = self.known.lock();
            let is_old = known.read.elapsed() > TOKEN_AGE;
            if is_old {
                known.read = Instant::now();
            }
            is_old
        };
        if is_old {
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
            self.known.lock().hash = read.unwrap_or_default();
        }
        let offered = hash(text.as_bytes());
        self.known
            .lock()
            .hash
            .as_ref()
            .is_some_and(|hash| hash.matches(&offered))
    }
}

fn read_token(path: &Path) -> Option<SecretHash> {
    match files::read_private(path) {
        Ok(text) if text.trim_ascii().is_empty() => None,
        Ok(text) => Some(hash(text.trim_ascii())),
        Err(error) => {
            let reason = error.reason();
            tracing::warn!(reason, error = %error, "the edge token cannot be read");
            None
        }
    }
}

fn hash(secret: &[u8]) -> SecretHash {
    SecretHash::from_bytes(*Fingerprint::of(secret).as_bytes())
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The holder of the edge token; without TLS and token, anybody.
    Owner,
    /// The holder of a certificate.
    Identity(Subject),
}

/// Decides who may call.
#[derive(Debug)]
pub struct Access {
    token: Option<EdgeToken>,
    is_open: bool,
    may_token_attach: bool,
}

impl Access {
    /// Admits certificates, and the token if there is one.
    #[must_use]
    pub fn new(token: Option<EdgeToken>, may_token_attach: bool) -> Self {
        Self {
            token,
            is_open: false,
            may_token_attach,
        }
    }

    /// Admits the token only or, when there is none, everybody: for listeners without TLS.
    #[must_use]
    pub fn insecure(token: Option<EdgeToken>) -> Self {
        Self {
            is_open: token.is_none(),
            token,
            may_token_attach: true,
        }
    }

    /// Admits whoever may invoke functions: everybody with credentials of this node. The
    /// handshake has verified the certificate.
    ///
    /// # Errors
    /// The caller has none.
    pub async fn check_invoke(
        &self,
        extensions: &Extensions,
        metadata: &MetadataMap,
    ) -> Result<(), AccessError> {
        let has_certificate = extensions
            .get::<Peer>()
            .is_some_and(|peer| peer.certificate().is_some());
        if self.is_open || has_certificate {
            return Ok(());
        }
        self.check_token(metadata).await
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// The caller has no credentials of this node.
    pub async fn caller(
        &self,
        extensions: &Extensions,
        metadata: &MetadataMap,
    ) -> Result<Caller, AccessError> {
        let peer = extensions.get::<Peer>();
        if let Some(certificate) = peer.and_then(Peer::certificate) {
            let identity =
                PeerIdentity::from_der(certificate).map_err(|_| AccessError::CertificateInvalid)?;
            return Ok(Caller::Identity(identity.spiffe.subject));
        }
        if !self.is_open {
            self.check_token(metadata).await?;
        }
        Ok(Caller::Owner)
    }

    async fn check_token(&self, metadata: &MetadataMap) -> Result<(), AccessError> {
        let offered = metadata.get("authorization").ok_or(AccessError::Missing)?;
        let text = offered.to_str().map_err(|_| AccessError::TokenInvalid)?;
        let (scheme, secret) = text.split_once(' ').ok_or(AccessError::TokenInvalid)?;
        let Some(token) = &self.token else {
            return Err(AccessError::TokenInvalid);
        };
        let is_right = scheme.eq_ignore_ascii_case("bearer") && token.is(secret.trim()).await;
        if is_right {
            Ok(())
        } else {
            Err(AccessError::TokenInvalid)
        }
    }

    /// Admits core, and the owner.
    ///
    /// # Errors
    /// The caller is somebody else.
    pub fn check_routes(&self, caller: &Caller) -> Result<(), AccessError> {
        match caller {
            Caller::Owner => Ok(()),
            Caller::Identity(Subject::EdgeSystem { service, .. }) if service.as_str() == CORE => {
                Ok(())
            }
            Caller::Identity(subject) => Err(denied(subject, "set routes".to_owned())),
        }
    }

    /// Admits a runtime for the service in its certificate.
    ///
    /// # Errors
    /// The caller is another service, or a token where those may not attach.
    pub fn check_attach(
        &self,
        caller: &Caller,
        application: &str,
        service: &str,
    ) -> Result<(), AccessError> {
        let action = || format!("attach as {application}.{service}");
        let Caller::Identity(subject) = caller else {
            return if self.may_token_attach {
                Ok(())
            } else {
                let holder = "the edge token".to_owned();
                Err(AccessError::Denied {
                    holder,
                    action: action(),
                })
            };
        };
        if is_workload(subject, service, |name| name == application) {
            return Ok(());
        }
        Err(denied(subject, action()))
    }

    /// Admits whoever may register a server of a service: the service itself, and the owner.
    ///
    /// # Errors
    /// The caller is another service.
    pub fn check_register(&self, caller: &Caller, service: &str) -> Result<(), AccessError> {
        match caller {
            Caller::Owner => Ok(()),
            Caller::Identity(subject) if is_workload(subject, service, |_| true) => Ok(()),
            Caller::Identity(subject) => Err(denied(subject, format!("register {service}"))),
        }
    }
}

fn is_workload(subject: &Subject, wanted: &str, is_application: impl Fn(&str) -> bool) -> bool {
    match subject {
        Subject::Workload {
            application,
            service,
            ..
        } => service.as_str() == wanted && is_application(application.as_str()),
        Subject::Node { .. } | Subject::EdgeSystem { .. } | Subject::CloudSystem { .. } => false,
    }
}

fn denied(subject: &Subject, action: String) -> AccessError {
    let holder = match subject {
        Subject::Node { node, .. } => format!("node {node}"),
        Subject::Workload {
            application,
            service,
            ..
        } => format!("service {application}.{service}"),
        Subject::EdgeSystem { service, .. } | Subject::CloudSystem { service } => {
            service.to_string()
        }
    };
    AccessError::Denied { holder, action }
}

#[cfg(test)]
mod tests;
