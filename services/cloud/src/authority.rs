//! The two authorities of the control plane: one signs nodes, the other its own servers.
//!
//! Two, so that a node's certificate is good for nothing but being a node, and a device that
//! trusts the servers trusts no node. Both are made at the first start and never travel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_pki::{
    Authority, Credentials, FileError, Profile, Sealer, ServerName, TrustDomain, Validity, files,
    pem,
};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::tls::{Identity, TlsError};

use crate::records::{self, INSTALLATION};
use crate::store::{Commit, Precondition, RecordKey, Store, StoreError, Table, Write};

mod revocation;
#[cfg(test)]
mod tests;

pub use revocation::Revocations;
pub(crate) use revocation::Revoked;

/// The authorities live this long; a device that was activated once may trust one that long.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The certificate of a listener; it is made again at each start and at two thirds of its life.
const SERVER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Pause before a failed renewal is tried again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Why there are no authorities, or no certificate of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The store does not give or take them.
    #[error("the authorities cannot be read or stored")]
    Store(#[from] StoreError),
    /// They cannot be opened, or cannot sign.
    #[error("the authorities cannot be used")]
    Pki(#[from] baetyl_pki::Error),
    /// The certificate cannot be shown.
    #[error("the certificate of the listeners cannot be used")]
    Tls(#[from] TlsError),
    /// A file of the data folder cannot be written.
    #[error("the certificate of the authority cannot be written")]
    File(#[from] FileError),
    /// A configured name is neither a host name nor an address.
    #[error("{0:?} is neither a host name nor an address")]
    Host(String),
}

/// The authorities of one installation.
#[derive(Debug)]
pub struct Authorities {
    nodes: Authority,
    servers: Authority,
}

impl Authorities {
    /// Opens the authorities of the installation, or makes them at its first start.
    ///
    /// # Errors
    /// The store fails, or what it holds was sealed with another key.
    pub async fn open_or_create(
        store: &dyn Store,
        sealer: &Sealer,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        if let Some(found) = Self::open(store, sealer).await? {
            return Ok(found);
        }
        let validity = Validity {
            now,
            lifetime: AUTHORITY_LIFETIME,
        };
        let made = Self {
            nodes: Authority::create("baetyl nodes", trust_domain, validity)?,
            servers: Authority::create("baetyl servers", trust_domain, validity)?,
        };
        let commit = Commit {
            preconditions: vec![Precondition::RecordAt(nodes_key(), 0)],
            writes: vec![
                Write::PutRecord(nodes_key(), made.nodes.to_sealed(sealer).into()),
                Write::PutRecord(servers_key(), made.servers.to_sealed(sealer).into()),
            ],
        };
        match store.commit(commit).await {
            Ok(()) => {
                tracing::info!(trust_domain = trust_domain.as_str(), "authorities made");
                Ok(made)
            }
            // Another process was first: its authorities are the ones.
            Err(StoreError::Precondition(_)) => Self::open(store, sealer)
                .await?
                .ok_or_else(|| StoreError::Corrupt("half of the authorities".to_owned()).into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn open(store: &dyn Store, sealer: &Sealer) -> Result<Option<Self>, AuthorityError> {
        let nodes = store.record(&nodes_key()).await?;
        let servers = store.record(&servers_key()).await?;
        let (Some(nodes), Some(servers)) = (nodes, servers) else {
            return Ok(None);
        };
        Ok(Some(Self {
            nodes: Authority::from_sealed(sealer, &nodes.value)?,
            servers: Authority::from_sealed(sealer, &servers.value)?,
        }))
    }

    /// The authority that signs nodes.
    pub fn nodes(&self) -> &Authority {
        &self.nodes
    }

    /// The authority that signs the listeners; join tokens carry its fingerprint.
    pub fn servers(&self) -> &Authority {
        &self.servers
    }

    /// Writes the certificate that clients trust, for people and their tools.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_certificate(&self, path: &Path) -> Result<(), AuthorityError> {
        let text = pem::encode_certs(std::slice::from_ref(self.servers.certificate()));
        Ok(files::write_public(path, text.as_bytes())?)
    }

    fn server_credentials(
        &self,
        hosts: &[ServerName<'static>],
        now: SystemTime,
    ) -> Result<Credentials, AuthorityError> {
        let service = "cloud".parse()?;
        let validity = Validity {
            now,
            lifetime: SERVER_LIFETIME,
        };
        let profile = Profile::cloud_system(service, hosts.to_vec());
        Ok(Credentials::issue(&self.servers, &profile, validity)?)
    }
}

fn nodes_key() -> RecordKey {
    records::key(INSTALLATION, Table::System, "authority/nodes")
}

fn servers_key() -> RecordKey {
    records::key(INSTALLATION, Table::System, "authority/servers")
}

/// The certificate of the listeners, renewed while they serve.
#[derive(Debug)]
pub struct ServerCertificate {
    authorities: Arc<Authorities>,
    hosts: Vec<ServerName<'static>>,
    identity: Identity,
    renew_at: SystemTime,
}

impl ServerCertificate {
    /// Issues the first one, for these names and addresses and the loopback ones.
    ///
    /// # Errors
    /// A name is malformed, or the authority's own life is over.
    pub fn issue(
        authorities: Arc<Authorities>,
        names: &[String],
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let hosts = hosts(names)?;
        let credentials = authorities.server_credentials(&hosts, now)?;
        let renew_at = credentials.identity().renew_at();
        let chain = (
            credentials.chain().to_vec(),
            credentials.key().to_private_key_der(),
        );
        Ok(Self {
            identity: Identity::try_new(chain)?,
            authorities,
            hosts,
            renew_at,
        })
    }

    /// What the listeners show; it follows each renewal.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Renews until draining begins.
    pub async fn keep(mut self, shutdown: Shutdown) {
        loop {
            let wait = self.renew_at.duration_since(SystemTime::now());
            // Both arms are cancel safe.
            tokio::select! {
                () = tokio::time::sleep(wait.unwrap_or_default()) => {}
                () = shutdown.draining() => return,
            }
            let now = SystemTime::now();
            if let Err(error) = self.renew(now) {
                let error = baetyl_service_kit::fault::chain(&error);
                tracing::error!(error, "the server certificate was not renewed");
                self.renew_at = now + RENEWAL_PAUSE;
            }
        }
    }

    fn renew(&mut self, now: SystemTime) -> Result<(), AuthorityError> {
        let credentials = self.authorities.server_credentials(&self.hosts, now)?;
        let chain = credentials.chain().to_vec();
        self.identity
            .replace((chain, credentials.key().to_private_key_der()))?;
        self.renew_at = credentials.identity().renew_at();
        tracing::info!("the server certificate was renewed");
        Ok(())
    }
}

fn hosts(names: &[String]) -> Result<Vec<ServerName<'static>>, AuthorityError> {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names: BTreeSet<&String> = loopback.iter().chain(names).collect();
    let mut hosts = Vec::with_capacity(names.len());
    for name in names {
        let host = match name.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(name.clone())
                .map_err(|_| AuthorityError::Host(name.clone()))?,
        };
        hosts.push(host);
    }
    Ok(hosts)
}
