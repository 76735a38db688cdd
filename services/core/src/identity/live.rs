//! The identity in use: replaced by renewal, seen by every later connection.

use std::sync::Arc;

use baetyl_service_kit::serve::TlsProvider;
use baetyl_service_kit::tls::{Identity, Roots, client_config};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{IdentityError, IdentityFolder, NodeIdentity};

/// The identity of the running node.
#[derive(Debug)]
pub struct LiveIdentity {
    folder: IdentityFolder,
    current: RwLock<Arc<NodeIdentity>>,
    shown: Identity,
    trusted: Roots,
    renewals: watch::Sender<u64>,
}

impl LiveIdentity {
    /// Reads the folder.
    ///
    /// # Errors
    /// As [`IdentityFolder::load`]; or the certificates cannot be used for TLS.
    pub fn load(folder: IdentityFolder) -> Result<Self, IdentityError> {
        let identity = folder.load()?;
        let chain = identity.credentials.chain().to_vec();
        let key = identity.credentials.key().to_private_key_der();
        Ok(Self {
            shown: Identity::try_new((chain, key))?,
            trusted: Roots::try_new(&identity.authorities)?,
            current: RwLock::new(Arc::new(identity)),
            folder,
            renewals: watch::Sender::new(0),
        })
    }

    /// Returns the present identity.
    #[must_use]
    pub fn current(&self) -> Arc<NodeIdentity> {
        self.current.read().clone()
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &IdentityFolder {
        &self.folder
    }

    /// Makes TLS configurations for the cloud, with the client certificate of the moment.
    #[must_use]
    pub fn as_client(&self) -> TlsProvider {
        let (trusted, shown) = (self.trusted.clone(), self.shown.clone());
        Arc::new(move || client_config(&trusted, Some(&shown)))
    }

    /// Makes TLS configurations for the listener that asks for no certificate.
    #[must_use]
    pub fn without_certificate(&self) -> TlsProvider {
        let trusted = self.trusted.clone();
        Arc::new(move || client_config(&trusted, None))
    }

    /// Counts the renewals: connections that stand should be made anew after each.
    #[must_use]
    pub fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    /// Puts a new identity in force.
    ///
    /// # Errors
    /// The certificates cannot be used for TLS; the old ones stay.
    pub fn replace(&self, identity: NodeIdentity) -> Result<(), IdentityError> {
        let chain = identity.credentials.chain().to_vec();
        let key = identity.credentials.key().to_private_key_der();
        self.shown.replace((chain, key))?;
        self.trusted.replace(&identity.authorities)?;
        *self.current.write() = Arc::new(identity);
        self.renewals.send_modify(|count| *count += 1);
        Ok(())
    }
}
