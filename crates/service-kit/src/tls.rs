//! TLS with certificates and roots that are replaced while connections are served.
//!
//! Configurations are built once; what they point to is swapped. The crypto provider is always
//! ring, named here and nowhere else, so that no process-wide default is needed. Session
//! resumption is off: a resumed session would skip the check against roots that were swapped.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use tonic::Code;

use crate::fault::Fault;

mod identity;
mod roots;
#[cfg(test)]
pub(crate) mod tests;

pub use identity::Identity;
pub use roots::Roots;

/// ALPN name of HTTP/2.
const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate in the chain.
    #[error("the certificate chain is empty")]
    NoCertificate,
    /// The key is of a kind that is not supported, or does not belong to the certificate.
    #[error("the certificate and its key cannot be used")]
    Identity(#[source] rustls::Error),
    /// None of the roots can be used; an empty list of roots would trust nobody.
    #[error("there is no usable root certificate")]
    NoRoots,
    /// A root certificate cannot be read.
    #[error("a root certificate cannot be read")]
    Root(#[source] rustls::Error),
    /// The verifier cannot be built.
    #[error("the roots cannot be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The name of the server is not a DNS name nor an address.
    #[error("{0:?} is not a server name")]
    ServerName(String),
}

impl Fault for TlsError {
    fn code(&self) -> Code {
        Code::FailedPrecondition
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "TLS_NO_CERTIFICATE",
            Self::Identity(_) => "TLS_IDENTITY_UNUSABLE",
            Self::NoRoots => "TLS_NO_ROOTS",
            Self::Root(_) | Self::Verifier(_) => "TLS_ROOT_UNUSABLE",
            Self::ServerName(_) => "TLS_SERVER_NAME",
        }
    }
}

/// A chain, leaf first, and its key.
pub type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What a server asks of its clients.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// A certificate is asked for and, when one is given, verified; without one the connection
    /// stands and the peer has no certificates.
    Optional(Roots),
    /// Without a valid certificate the handshake fails.
    Required(Roots),
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 alone: gRPC.
    Http2,
    /// HTTP/2 or HTTP/1.1: browsers and curl too.
    Http2AndHttp1,
}

/// Builds a server's configuration; it stays valid while `identity` and the roots are replaced.
#[must_use]
pub fn server_config(
    identity: &Identity,
    client_auth: &ClientAuth,
    protocols: Protocols,
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring implements the default protocol versions");
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(roots) => {
            builder.with_client_cert_verifier(roots.client_verifier(false))
        }
        ClientAuth::Required(roots) => {
            builder.with_client_cert_verifier(roots.client_verifier(true))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(identity.clone()));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match protocols {
        Protocols::Http2 => vec![H2.to_vec()],
        Protocols::Http2AndHttp1 => vec![H2.to_vec(), HTTP_1_1.to_vec()],
    };
    Arc::new(config)
}

/// Builds a client's configuration, for HTTP/2. Roots and identity may be replaced later and hold
/// from the next connection on.
#[must_use]
pub fn client_config(roots: &Roots, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring implements the default protocol versions")
        .with_root_certificates(roots.store());
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.clone())),
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![H2.to_vec()];
    Arc::new(config)
}

/// The crypto provider of every configuration.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
