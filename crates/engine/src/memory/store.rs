//! Records, bodies and certificates in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_shadow::Digest;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::dependency::{
    BodySource, CertificateIssuer, DependencyError, ServiceCredentials, StateStore, StoredRecord,
};
use crate::record::AppRecord;

/// Keeps records in their stored form. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<BTreeMap<String, StoredRecord>>>,
    is_failing: Arc<Mutex<bool>>,
    saves: Arc<AtomicU64>,
}

impl MemoryStore {
    /// Makes every call fail, or work again.
    pub fn set_failing(&self, is_failing: bool) {
        *self.is_failing.lock() = is_failing;
    }

    /// Returns how often a record was saved.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::SeqCst)
    }

    /// Returns the record of an application as it is stored.
    #[must_use]
    pub fn stored(&self, application: &str) -> Option<StoredRecord> {
        self.records.lock().get(application).cloned()
    }

    /// Returns the record of an application that runs as processes.
    #[must_use]
    pub fn record(&self, application: &str) -> Option<AppRecord> {
        AppRecord::decode(&self.stored(application)?.bytes).ok()
    }

    fn check(&self) -> Result<(), DependencyError> {
        if *self.is_failing.lock() {
            return Err(DependencyError::new("use the record", "told to fail"));
        }
        Ok(())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn load(&self) -> Result<Vec<StoredRecord>, DependencyError> {
        self.check()?;
        Ok(self.records.lock().values().cloned().collect())
    }

    async fn save(&self, record: &StoredRecord) -> Result<(), DependencyError> {
        self.check()?;
        self.saves.fetch_add(1, Ordering::SeqCst);
        self.records
            .lock()
            .insert(record.application.clone(), record.clone());
        Ok(())
    }

    async fn remove(&self, application: &str) -> Result<(), DependencyError> {
        self.check()?;
        self.records.lock().remove(application);
        Ok(())
    }
}

/// Keeps bodies. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryBodies {
    bodies: Arc<Mutex<BTreeMap<Digest, Bytes>>>,
}

impl MemoryBodies {
    /// Adds a body, and returns its digest.
    pub fn put(&self, body: impl Into<Bytes>) -> Digest {
        let body = body.into();
        let digest = Digest::of(&body);
        self.bodies.lock().insert(digest, body);
        digest
    }

    /// Removes a body.
    pub fn remove(&self, digest: &Digest) {
        self.bodies.lock().remove(digest);
    }

    /// Keeps only these.
    pub fn retain(&self, digests: &[Digest]) {
        self.bodies
            .lock()
            .retain(|digest, _| digests.contains(digest));
    }
}

#[async_trait]
impl BodySource for MemoryBodies {
    async fn body(&self, digest: &Digest) -> Result<Option<Bytes>, DependencyError> {
        Ok(self.bodies.lock().get(digest).cloned())
    }
}

/// Issues texts that are no certificates. Clones share the counter.
#[derive(Clone, Debug)]
pub struct MemoryIssuer {
    lifetime: Duration,
    issued: Arc<AtomicU64>,
}

impl Default for MemoryIssuer {
    fn default() -> Self {
        Self::new(Duration::from_secs(24 * 3600))
    }
}

impl MemoryIssuer {
    /// Issues what lasts so long.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            issued: Arc::default(),
        }
    }

    /// Returns how many were issued.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl CertificateIssuer for MemoryIssuer {
    async fn issue(
        &self,
        application: &str,
        service: &str,
    ) -> Result<ServiceCredentials, DependencyError> {
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        Ok(ServiceCredentials {
            chain_pem: format!("chain {number} of {application}/{service}\n"),
            key_pem: format!("key {number} of {application}/{service}\n"),
            ca_pem: "ca\n".to_owned(),
            not_after: SystemTime::now() + self.lifetime,
        })
    }
}
