//! Who this node is: the identity folder, and what TLS shows of it.

mod live;
mod renewal;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baetyl_model::node_identity::{CREDENTIALS_FILE, NODE_FILE, PENDING_KEY_FILE};
use baetyl_model::node_identity::{NodeIdentityError, NodeIdentityFile};
use baetyl_pki::files::{self, FileError};
use baetyl_pki::{CertificateDer, Credentials, KeyPair};
use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::tls::TlsError;

pub use live::LiveIdentity;
pub(crate) use renewal::Renewal;

/// The identity of this node cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The folder holds no identity: the node was never activated, or was deleted.
    #[error("the node is not activated; run `baetyl join` first ({} is missing)", path.display())]
    NotActivated {
        /// What is missing.
        path: PathBuf,
    },
    /// Key, certificate or a file cannot be used.
    #[error(transparent)]
    Pki(#[from] baetyl_pki::Error),
    /// The document beside the key cannot be used.
    #[error("the identity document cannot be used")]
    Document(#[from] NodeIdentityError),
    /// The certificate is for another node than the document.
    #[error("the certificate is for another node than the identity document")]
    Mismatch,
    /// The certificates cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<FileError> for IdentityError {
    fn from(error: FileError) -> Self {
        Self::Pki(error.into())
    }
}

/// What the identity folder holds, checked.
#[derive(Debug)]
pub struct NodeIdentity {
    /// Names and addresses.
    pub document: NodeIdentityFile,
    /// Key and certificate chain.
    pub credentials: Credentials,
    /// The authorities that sign the cloud's servers.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl NodeIdentity {
    fn new(document: NodeIdentityFile, credentials: Credentials) -> Result<Self, IdentityError> {
        let uid = credentials.identity().uid.map(|uid| uid.to_string());
        if uid.as_deref() != Some(document.node_uid.as_str()) {
            return Err(IdentityError::Mismatch);
        }
        let authorities = document
            .authorities()?
            .into_iter()
            .map(Into::into)
            .collect();
        Ok(Self {
            document,
            credentials,
            authorities,
        })
    }

    /// When the certificate expires.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.credentials.identity().not_after
    }
}

/// The folder with the identity; written by activation and by renewal.
#[derive(Clone, Debug)]
pub struct IdentityFolder {
    path: PathBuf,
}

impl IdentityFolder {
    /// Names a folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// [`IdentityError::NotActivated`] when there is none; otherwise what is there is damaged.
    pub fn load(&self) -> Result<NodeIdentity, IdentityError> {
        let path = self.path.join(CREDENTIALS_FILE);
        if !path.exists() {
            return Err(IdentityError::NotActivated { path });
        }
        let credentials = Credentials::load(&path)?;
        let text = files::read_public(&self.path.join(NODE_FILE))?;
        NodeIdentity::new(NodeIdentityFile::from_json(&text)?, credentials)
    }

    /// Returns the key of the request that is under way, or makes one: a request that is repeated
    /// has the same key.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn pending_key(&self) -> Result<KeyPair, IdentityError> {
        let path = self.path.join(PENDING_KEY_FILE);
        match files::read_private(&path) {
            Ok(text) => return Ok(KeyPair::from_pem(&text)?),
            Err(FileError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let key = KeyPair::generate();
        files::write_private(&path, key.to_pem().as_bytes())?;
        Ok(key)
    }

    /// Writes what the cloud answered to the request with the pending key: the document first, the
    /// credentials last, each file whole. A crash between leaves the old credentials in force.
    ///
    /// # Errors
    /// The answer is not for the key or not readable, or a file cannot be written.
    pub fn install(
        &self,
        key: KeyPair,
        answer: &wire::NodeIdentity,
    ) -> Result<NodeIdentity, IdentityError> {
        let document = NodeIdentityFile::try_from(answer)?;
        let chain = answer.certificate_chain.iter();
        let chain = chain.map(|der| der.to_vec().into()).collect();
        let identity = NodeIdentity::new(document, Credentials::new(key, chain)?)?;
        let json = identity.document.to_json();
        files::write_public(&self.path.join(NODE_FILE), json.as_bytes())?;
        identity
            .credentials
            .store(&self.path.join(CREDENTIALS_FILE))?;
        remove(&self.path.join(PENDING_KEY_FILE))?;
        Ok(identity)
    }

    /// Removes the identity: the credentials first, so that the node is not activated any more.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn forget(&self) -> Result<(), IdentityError> {
        for name in [CREDENTIALS_FILE, PENDING_KEY_FILE, NODE_FILE] {
            remove(&self.path.join(name))?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::Io {
            path: path.to_owned(),
            action: "remove",
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
