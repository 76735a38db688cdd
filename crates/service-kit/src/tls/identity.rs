//! A certificate with its key, replaced in place.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Chain, TlsError, provider};

/// The certificate that a server or a client shows. Clones share it, so that one replacement
/// reaches every configuration that was made from it, from the next handshake on.
#[derive(Clone)]
pub struct Identity {
    current: Arc<ArcSwap<CertifiedKey>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.current.load().cert.len();
        f.debug_struct("Identity")
            .field("certificates", &certificates)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Creates an identity.
    ///
    /// # Errors
    /// The chain is empty, the key is unusable or belongs to another certificate.
    pub fn try_new(chain: Chain) -> Result<Self, TlsError> {
        let current = Arc::new(ArcSwap::from_pointee(certified(chain)?));
        Ok(Self { current })
    }

    /// Replaces certificate and key together. On an error the old ones stay.
    ///
    /// # Errors
    /// As [`Identity::try_new`].
    pub fn replace(&self, chain: Chain) -> Result<(), TlsError> {
        self.current.store(Arc::new(certified(chain)?));
        Ok(())
    }

    /// The chain that is shown now, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.load().cert.clone()
    }
}

fn certified((chain, key): Chain) -> Result<CertifiedKey, TlsError> {
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    // Checks that the key belongs to the leaf.
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Identity)
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
