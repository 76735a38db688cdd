//! The node's own certificate authority: certifies the local services and the workloads.
//!
//! It is made at the first start and kept sealed in the store; its certificate lies in the local
//! folder as `ca.pem`, for whoever connects on the node. Keys of workloads are made here and go
//! nowhere but to the workload's own folder.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_engine::{CertificateIssuer, DependencyError, ServiceCredentials};
use baetyl_model::node_identity::NodeIdentityFile;
use baetyl_pki::{Authority, Credentials, Error, Name, Profile, ServerName, Validity, pem};
use baetyl_service_kit::tls::{Roots, TlsError};

use crate::store::{Store, StoreError};

/// How long a new authority lives.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// An authority with less time left is replaced at the next start.
const LEAST_LEFT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Name of the function service among the parts of the platform.
const FUNCTION_SERVICE: &str = "function";

/// The node's authority cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Keys or certificates.
    #[error(transparent)]
    Pki(#[from] Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The node's own authority.
#[derive(Debug)]
pub struct NodeAuthority {
    authority: Authority,
    namespace: Name,
    node: Name,
    issuance: Issuance,
}

/// How certificates are issued.
#[derive(Clone, Debug)]
pub struct Issuance {
    /// How long they live.
    pub lifetime: Duration,
    /// Names beside `localhost` under which runtimes on other machines reach the function service.
    pub function_hosts: Vec<ServerName<'static>>,
}

impl NodeAuthority {
    /// Opens the authority in the store, or makes one.
    ///
    /// # Errors
    /// The store cannot be used, or holds something else.
    pub fn open(
        store: &Store,
        identity: &NodeIdentityFile,
        issuance: Issuance,
    ) -> Result<Self, AuthorityError> {
        let now = SystemTime::now();
        let held = match store.authority()? {
            Some(sealed) => Some(Authority::from_sealed(store.sealer(), &sealed)?),
            None => None,
        };
        let authority = match held.filter(|held| held.not_after() > now + LEAST_LEFT) {
            Some(held) => held,
            None => make(store, identity, now)?,
        };
        Ok(Self {
            authority,
            namespace: identity.namespace.as_str().parse()?,
            node: identity.node.as_str().parse()?,
            issuance,
        })
    }

    /// Returns the authority's certificate as PEM text.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::encode_certs(std::slice::from_ref(self.authority.certificate()))
    }

    /// Returns roots that trust this authority only.
    ///
    /// # Errors
    /// TLS cannot use the certificate.
    pub fn roots(&self) -> Result<Roots, TlsError> {
        Roots::try_new(std::slice::from_ref(self.authority.certificate()))
    }

    /// Makes key and certificate of a part of the platform on this node, for `localhost`; that of
    /// the function service is also for the names in [`Issuance::function_hosts`].
    ///
    /// # Errors
    /// The authority has expired.
    pub fn issue_system(&self, service: &str) -> Result<Credentials, Error> {
        let (namespace, node) = (self.namespace.clone(), self.node.clone());
        let hosts = match service {
            FUNCTION_SERVICE => self.issuance.function_hosts.clone(),
            _ => Vec::new(),
        };
        let profile = Profile::edge_system(namespace, node, service.parse()?, hosts);
        Credentials::issue(&self.authority, &profile, self.validity())
    }

    /// Makes key and certificate of a service of an application.
    ///
    /// # Errors
    /// A name is none, or the authority has expired.
    pub fn issue_workload(&self, application: &str, service: &str) -> Result<Credentials, Error> {
        let profile = Profile::workload(
            self.namespace.clone(),
            self.node.clone(),
            application.parse()?,
            service.parse()?,
        );
        Credentials::issue(&self.authority, &profile, self.validity())
    }

    fn validity(&self) -> Validity {
        Validity {
            now: SystemTime::now(),
            lifetime: self.issuance.lifetime,
        }
    }
}

fn make(
    store: &Store,
    identity: &NodeIdentityFile,
    now: SystemTime,
) -> Result<Authority, AuthorityError> {
    let name: String = format!("node {}", identity.node).chars().take(64).collect();
    let trust_domain = identity.trust_domain.parse()?;
    let lifetime = LIFETIME;
    let made = Authority::create(&name, &trust_domain, Validity { now, lifetime })?;
    store.save_authority(made.to_sealed(store.sealer()))?;
    Ok(made)
}

/// Certifies workloads for the engine.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadIssuer(pub(crate) Arc<NodeAuthority>);

#[async_trait]
impl CertificateIssuer for WorkloadIssuer {
    async fn issue(
        &self,
        application: &str,
        service: &str,
    ) -> Result<ServiceCredentials, DependencyError> {
        // Two signatures take well below a millisecond: not worth another thread.
        let issued = self
            .0
            .issue_workload(application, service)
            .map_err(|error| DependencyError::new("issue the certificate", error))?;
        Ok(ServiceCredentials {
            chain_pem: pem::encode_certs(issued.chain()),
            key_pem: issued.key().to_pem().to_string(),
            ca_pem: self.0.certificate_pem(),
            not_after: issued.identity().not_after,
        })
    }
}

#[cfg(test)]
mod tests;
