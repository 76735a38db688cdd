//! The local folder: what other processes on the node need to talk to core and to one another.
//!
//! | file | what |
//! |---|---|
//! | `ca.pem` | certificate of the node's own authority |
//! | `edge-token` | bearer token of people and of the gateway, mode 0600 |
//! | `<service>/credentials.pem` | key and certificate chain of a local service, mode 0600 |
//!
//! Credentials are replaced whole before they expire; their readers take the new ones without a
//! restart. Whoever may read a file may do what it permits, so the folder has mode 0700.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_pki::files::{self, FileError};
use baetyl_pki::{BearerToken, Credentials};
use baetyl_service_kit::fault::chain;
use baetyl_service_kit::tls::Identity;

use crate::authority::{AuthorityError, NodeAuthority};

/// The services that get credentials; core itself is the first.
const SERVICES: [&str; 3] = ["core", "function", "gateway"];

/// How long until what could not be renewed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The longest sleep: a machine that slept or set its clock must notice.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// The paths of the local folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFolder {
    path: PathBuf,
}

impl LocalFolder {
    /// Names the folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Certificate of the node's own authority (PEM).
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// The edge token, one line of text.
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.path.join("edge-token")
    }

    /// Key and chain (PEM) of `core`, `function` or `gateway`.
    #[must_use]
    pub fn credentials(&self, service: &str) -> PathBuf {
        self.path.join(service).join("credentials.pem")
    }

    /// Makes the folder (mode 0700) with one for each service.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn make(&self) -> Result<(), FileError> {
        make_private(&self.path)?;
        for service in SERVICES {
            make_private(&self.path.join(service))?;
        }
        Ok(())
    }

    /// Reads the edge token, or makes one.
    ///
    /// # Errors
    /// The file cannot be used, or holds no token.
    pub fn open_token(&self) -> Result<BearerToken, baetyl_pki::Error> {
        let path = self.token();
        let made = BearerToken::generate();
        match files::create_private(&path, made.reveal().as_bytes()) {
            Ok(()) => return Ok(made),
            Err(FileError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let bytes = files::read_private(&path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let wanted = "edge token";
        text.trim()
            .parse()
            .map_err(|_| baetyl_pki::Error::Pem { wanted })
    }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_private(path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        action: "make",
        source,
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).map_err(failed)
}

/// The credentials of the local services, kept good.
#[derive(Debug)]
pub(crate) struct LocalCredentials {
    folder: LocalFolder,
    authority: Arc<NodeAuthority>,
    core: Identity,
}

impl LocalCredentials {
    /// Writes the authority's certificate, and new credentials for everybody: keys are cheap, and
    /// what a start finds may be of another authority.
    pub(crate) fn open(
        folder: LocalFolder,
        authority: Arc<NodeAuthority>,
    ) -> Result<Self, AuthorityError> {
        files::write_public(&folder.ca(), authority.certificate_pem().as_bytes())
            .map_err(baetyl_pki::Error::from)?;
        let (core, _) = issue_all(&folder, &authority)?;
        Ok(Self {
            core: Identity::try_new(tls_chain(&core))?,
            folder,
            authority,
        })
    }

    /// What core shows, to clients and to local servers.
    pub(crate) fn core(&self) -> &Identity {
        &self.core
    }

    /// Renews for as long as it is polled; dropping it between files is harmless, since each is
    /// whole.
    pub(crate) async fn run(&self) {
        let mut due = SystemTime::now() + RETRY;
        if let Ok(issued) = Credentials::load(&self.folder.credentials("core")) {
            due = issued.identity().renew_at();
        }
        loop {
            let left = due.duration_since(SystemTime::now()).unwrap_or_default();
            if !left.is_zero() {
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                continue;
            }
            due = match self.renew().await {
                Ok(next) => next,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "local certificates were not renewed");
                    SystemTime::now() + RETRY
                }
            };
        }
    }

    async fn renew(&self) -> Result<SystemTime, AuthorityError> {
        let (folder, authority) = (self.folder.clone(), self.authority.clone());
        let issuing = tokio::task::spawn_blocking(move || issue_all(&folder, &authority));
        let issued = match issuing.await {
            Ok(issued) => issued,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let (core, next) = issued?;
        self.core.replace(tls_chain(&core))?;
        tracing::info!("local certificates renewed");
        Ok(next)
    }
}

/// Writes credentials for every service; returns those of core, and when to do it again.
fn issue_all(
    folder: &LocalFolder,
    authority: &NodeAuthority,
) -> Result<(Credentials, SystemTime), AuthorityError> {
    for service in &SERVICES[1..] {
        authority
            .issue_system(service)?
            .store(&folder.credentials(service))?;
    }
    let core = authority.issue_system(SERVICES[0])?;
    core.store(&folder.credentials(SERVICES[0]))?;
    let next = core.identity().renew_at();
    Ok((core, next))
}

fn tls_chain(credentials: &Credentials) -> baetyl_service_kit::tls::Chain {
    let key = credentials.key().to_private_key_der();
    (credentials.chain().to_vec(), key)
}

#[cfg(test)]
mod tests;
