//! What the engine needs from its host: durable records, bodies, certificates, and a driver.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use baetyl_shadow::Digest;
use bytes::Bytes;

use crate::driver::Driver;

/// Everything the engine needs; the host owns what is behind.
#[derive(Clone)]
pub struct Dependencies {
    /// Where records are durable.
    pub store: Arc<dyn StateStore>,
    /// Where bodies are.
    pub bodies: Arc<dyn BodySource>,
    /// Who certifies workloads.
    pub certificates: Arc<dyn CertificateIssuer>,
    /// What runs instances.
    pub driver: Arc<dyn Driver>,
}

/// One record as it is stored. Only the engine that wrote it knows what the bytes mean; they hold
/// digests, names and numbers, nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Name of the application.
    pub application: String,
    /// The record, encoded.
    pub bytes: Vec<u8>,
    /// The bodies that it needs, sorted.
    pub references: Vec<Digest>,
}

/// Keeps one record per application, durably.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// Returns every record, in any order.
    ///
    /// # Errors
    /// They cannot be read; the engine does not start without them.
    async fn load(&self) -> Result<Vec<StoredRecord>, DependencyError>;

    /// Replaces the record of its application. Returns only when it is durable. Whatever
    /// [`StoredRecord::references`] names must stay in the [`BodySource`] from here on.
    ///
    /// # Errors
    /// It is not durable; the engine does not act on it and tries again.
    async fn save(&self, record: &StoredRecord) -> Result<(), DependencyError>;

    /// Removes the record of an application; one that is not there is no error.
    ///
    /// # Errors
    /// It may still be there; the engine tries again.
    async fn remove(&self, application: &str) -> Result<(), DependencyError>;
}

/// Finds stored bodies by their digest.
///
/// Bodies are the exact bytes that came from the cloud, encoded messages of
/// `baetyl.resource.v1`; those of secrets are given in the clear.
#[async_trait]
pub trait BodySource: Send + Sync + 'static {
    /// Returns a body; `None` when it is not there.
    ///
    /// # Errors
    /// That could not be found out; the engine tries again.
    async fn body(&self, digest: &Digest) -> Result<Option<Bytes>, DependencyError>;
}

/// Certifies the services of applications.
#[async_trait]
pub trait CertificateIssuer: Send + Sync + 'static {
    /// Makes a key and a certificate for a service (`…/app/A/svc/S`). The engine asks again when
    /// two thirds of the lifetime are over.
    ///
    /// # Errors
    /// It could not; the engine tries again and starts nothing without it.
    async fn issue(
        &self,
        application: &str,
        service: &str,
    ) -> Result<ServiceCredentials, DependencyError>;
}

/// Key and certificates of a service, all PEM. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceCredentials {
    /// The certificate and its intermediates.
    pub chain_pem: String,
    /// The private key.
    pub key_pem: String,
    /// The authorities to trust on this node.
    pub ca_pem: String,
    /// When the certificate expires.
    pub not_after: SystemTime,
}

impl fmt::Debug for ServiceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCredentials")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A dependency failed; it may work later.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct DependencyError {
    doing: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl DependencyError {
    /// Wraps a failure with what was being done: `write the record`.
    pub fn new(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing,
            source: source.into(),
        }
    }
}
