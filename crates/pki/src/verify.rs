//! Chains against roots, and a server behind a pinned authority.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::identity::invalid;
use crate::{Error, Fingerprint, PeerIdentity, pem, time};

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Its holder calls.
    Client,
    /// Its holder is called.
    Server,
}

/// The authorities that are trusted; cheap to clone, never empty.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Trusts the authorities with these certificates.
    ///
    /// # Errors
    /// [`Error::CertificateInvalid`] when one cannot be read, or none is given.
    pub fn new<'a>(
        certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    ) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store
                .add(certificate.clone())
                .map_err(|_| invalid("it cannot be read"))?;
        }
        if store.is_empty() {
            return Err(invalid("no authority is given"));
        }
        Ok(Self(Arc::new(store)))
    }

    /// Trusts the authorities in a PEM text.
    ///
    /// # Errors
    /// [`Error::Pem`] when no certificate is there, and as [`Roots::new`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        Self::new(&pem::certs(text)?)
    }

    /// Returns the roots in the form that rustls takes.
    pub fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }

    /// Checks a chain, the leaf first, at a time, and returns who it speaks for.
    ///
    /// A handshake has proved possession of the key; where there was none,
    /// [`PublicKey::check_proof`](crate::PublicKey::check_proof) must do so.
    /// Names of hosts and revocation are not checked here. For a certificate
    /// that has just expired, `at` can be its own `not_after`.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::NotYetValid`], [`Error::UnknownAuthority`],
    /// [`Error::WrongUsage`], [`Error::CertificateInvalid`], and those of
    /// [`PeerIdentity::from_der`].
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        at: SystemTime,
    ) -> Result<PeerIdentity, Error> {
        let (leaf, others) = chain
            .split_first()
            .ok_or_else(|| invalid("the chain is empty"))?;
        let at = time::to_unix(at).map_err(|_| Error::NotYetValid)?;
        let checked = match usage {
            Usage::Client => WebPkiClientVerifier::builder_with_provider(self.store(), ring())
                .build()
                .map_err(|_| invalid("no authority is given"))?
                .verify_client_cert(leaf, others, at)
                .map(|_| ()),
            Usage::Server => ParsedCertificate::try_from(leaf).and_then(|parsed| {
                let algorithms = ring().signature_verification_algorithms;
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &self.0,
                    others,
                    at,
                    algorithms.all,
                )
            }),
        };
        checked.map_err(refused)?;
        PeerIdentity::from_der(leaf)
    }
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn refused(error: rustls::Error) -> Error {
    let rustls::Error::InvalidCertificate(error) = error else {
        return invalid("it cannot be checked");
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Error::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Error::NotYetValid
        }
        // A wrong signature under a known name: an authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Error::UnknownAuthority,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Error::WrongUsage
        }
        CertificateError::BadEncoding => invalid("it cannot be read"),
        _ => invalid("it breaks a rule for certificates"),
    }
}

/// Trusts a server behind the one authority whose certificate has a fingerprint.
///
/// For a device that joins: it knows the cloud by nothing but its token. The
/// server must send its authority's certificate too; its own certificate is
/// then checked against it as always: signature, life, use, and host name.
#[derive(Debug)]
pub struct PinnedAuthority {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl PinnedAuthority {
    /// Pins the authority with this fingerprint.
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            provider: ring(),
        }
    }

    /// Returns the pinned authority's certificate out of a chain, if it is there.
    pub fn find<'a>(&self, chain: &[CertificateDer<'a>]) -> Option<CertificateDer<'a>> {
        chain
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.fingerprint)
            .cloned()
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = self.find(intermediates).ok_or(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
