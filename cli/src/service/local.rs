//! What core writes for the other services of its node, and how they take it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baetyl_core::local::LocalFolder;
use baetyl_pki::{Credentials, files, pem};
use baetyl_service_kit::fault::chain;
use baetyl_service_kit::serve::{ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::tls::{Identity, Roots};
use tonic::transport::Channel;

use crate::failure::Failure;

/// How often files are looked at: certificates are renewed long before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a service waits for core to write its files at the first start of a node.
const CORE_PATIENCE: Duration = Duration::from_secs(60);

/// Name under which local servers are checked.
pub(crate) const LOCAL_NAME: &str = "localhost";

/// The files of one local service.
#[derive(Clone)]
pub(crate) struct LocalFiles {
    credentials: PathBuf,
    /// The node's own authority, PEM.
    pub(crate) ca: PathBuf,
    /// The edge token.
    pub(crate) token: PathBuf,
}

/// What the files say now; replaced in place while the service runs.
#[derive(Clone)]
pub(crate) struct LocalTls {
    /// What the service shows.
    pub(crate) identity: Identity,
    /// What it trusts.
    pub(crate) roots: Roots,
}

impl LocalFiles {
    /// The files of `service` on the node with this data folder.
    pub(crate) fn of(data: &Path, service: &str) -> Self {
        let folder = LocalFolder::new(data.join("local"));
        Self {
            credentials: folder.credentials(service),
            ca: folder.ca(),
            token: folder.token(),
        }
    }

    /// Waits until core has written the files, and reads them.
    pub(crate) async fn open(&self) -> Result<LocalTls, Failure> {
        let deadline = tokio::time::Instant::now() + CORE_PATIENCE;
        while !self.credentials.exists() {
            if tokio::time::Instant::now() >= deadline {
                let path = self.credentials.display();
                return Err(Failure::failed(format!(
                    "{path} is not there: core writes it, is core running with the same data folder?"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let credentials = Credentials::load(&self.credentials).map_err(Failure::local)?;
        let identity = Identity::try_new(tls_chain(&credentials));
        let ca = files::read_public(&self.ca).map_err(Failure::local)?;
        let authorities = pem::certs(&ca).map_err(Failure::local)?;
        Ok(LocalTls {
            identity: identity.map_err(|error| Failure::fault(&error))?,
            roots: Roots::try_new(&authorities).map_err(|error| Failure::fault(&error))?,
        })
    }

    /// Takes new files as core writes them; ends never. Cancel safe.
    pub(crate) async fn follow(self, tls: LocalTls) {
        let mut seen = modified(&self.credentials);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = modified(&self.credentials);
            if now == seen {
                continue;
            }
            match Credentials::load(&self.credentials) {
                Ok(credentials) => match tls.identity.replace(tls_chain(&credentials)) {
                    Ok(()) => {
                        seen = now;
                        tracing::info!("local certificate replaced");
                    }
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "local certificate unusable")
                    }
                },
                Err(error) => tracing::warn!(error = chain(&error), "local certificate unreadable"),
            }
        }
    }
}

/// A channel to a local service that connects with the first call. It shows no certificate: the
/// gateway has no rights of its own and passes the caller's token on.
pub(crate) fn channel(address: &str, tls: &LocalTls) -> Result<Channel, Failure> {
    let provider = Target::tls(tls.roots.clone(), None);
    let target = Target::encrypted(address, Some(LOCAL_NAME), provider);
    let target = target.map_err(|error| Failure::fault(&error))?;
    Ok(connect_lazy(&target, &ConnectOptions::default()))
}

fn tls_chain(credentials: &Credentials) -> baetyl_service_kit::tls::Chain {
    let key = credentials.key().to_private_key_der();
    (credentials.chain().to_vec(), key)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|data| data.modified()).ok()
}
