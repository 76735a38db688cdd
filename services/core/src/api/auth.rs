//! Who may call the local API.

use std::sync::Arc;

use baetyl_pki::{BearerToken, SecretHash, TokenId};
use baetyl_service_kit::fault::{self, Code, Fault};
use baetyl_service_kit::serve::Peer;
use tonic::service::Interceptor;
use tonic::{Request, Status};

const BEARER: &str = "Bearer ";

/// A caller is not let in.
#[derive(Debug, thiserror::Error)]
enum AuthError {
    #[error("show the edge token (authorization: Bearer …) or a certificate of this node")]
    Missing,
    #[error("the token is not the edge token of this node")]
    Wrong,
}

impl Fault for AuthError {
    fn code(&self) -> Code {
        Code::Unauthenticated
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::Wrong => "TOKEN_INVALID",
        }
    }
}

/// Lets in whoever holds the edge token, or showed a certificate that the handshake verified
/// against the node's own authority.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    id: TokenId,
    hash: Arc<SecretHash>,
}

impl Callers {
    pub(crate) fn new(token: &BearerToken) -> Self {
        let hash = Arc::new(token.hash());
        let id = token.id();
        Self { id, hash }
    }

    fn check(&self, request: &Request<()>) -> Result<(), AuthError> {
        let peer = request.extensions().get::<Peer>();
        if peer.is_some_and(|peer| peer.certificate().is_some()) {
            return Ok(());
        }
        let header = request.metadata().get("authorization");
        let header = header.and_then(|value| value.to_str().ok());
        let text = header
            .and_then(|text| text.strip_prefix(BEARER))
            .ok_or(AuthError::Missing)?;
        let token: BearerToken = text.trim().parse().map_err(|_| AuthError::Wrong)?;
        if token.id() != self.id || !self.hash.matches(&token.hash()) {
            return Err(AuthError::Wrong);
        }
        Ok(())
    }
}

impl Interceptor for Callers {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match self.check(&request) {
            Ok(()) => Ok(request),
            Err(error) => Err(fault::status(&error)),
        }
    }
}
