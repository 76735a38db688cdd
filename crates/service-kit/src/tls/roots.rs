//! Trusted root certificates, replaced in place.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{TlsError, provider};

/// The certificate authorities that are trusted. Clones share them, so that one replacement reaches
/// every server configuration that was made from it, from the next handshake on.
#[derive(Clone)]
pub struct Roots {
    current: Arc<ArcSwap<Trusted>>,
}

/// Store and verifier of the same certificates.
#[derive(Debug)]
struct Trusted {
    store: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.current.load().store.len();
        f.debug_struct("Roots")
            .field("certificates", &certificates)
            .finish_non_exhaustive()
    }
}

impl Roots {
    /// Creates a set of trusted certificates.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub fn try_new(certificates: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let current = Arc::new(ArcSwap::from_pointee(trusted(certificates)?));
        Ok(Self { current })
    }

    /// Replaces all certificates. On an error the old ones stay. Connections that stand are not
    /// looked at again.
    ///
    /// # Errors
    /// As [`Roots::try_new`].
    pub fn replace(&self, certificates: &[CertificateDer<'static>]) -> Result<(), TlsError> {
        self.current.store(Arc::new(trusted(certificates)?));
        Ok(())
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.current.load().store.clone()
    }

    pub(super) fn client_verifier(&self, is_mandatory: bool) -> Arc<dyn ClientCertVerifier> {
        Arc::new(SwappedVerifier {
            roots: self.clone(),
            is_mandatory,
        })
    }
}

fn trusted(certificates: &[CertificateDer<'static>]) -> Result<Trusted, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(TlsError::Root)?;
    }
    if store.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let store = Arc::new(store);
    let clients = WebPkiClientVerifier::builder_with_provider(store.clone(), provider())
        .build()
        .map_err(TlsError::Verifier)?;
    Ok(Trusted { store, clients })
}

/// Asks the verifier of the moment.
#[derive(Debug)]
struct SwappedVerifier {
    roots: Roots,
    is_mandatory: bool,
}

impl ClientCertVerifier for SwappedVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints cannot be borrowed from what is swapped, and our clients have one certificate.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trusted = self.roots.current.load();
        trusted
            .clients
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let trusted = self.roots.current.load();
        trusted
            .clients
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let trusted = self.roots.current.load();
        trusted
            .clients
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.current.load().clients.supported_verify_schemes()
    }
}
