//! What the engine needs of core: records and bodies out of the edge store.

use std::sync::Arc;

use async_trait::async_trait;
use baetyl_engine::{BodySource, DependencyError, StateStore, StoredRecord};
use baetyl_shadow::Digest;
use bytes::Bytes;

use crate::store::{Record, Store};

/// The edge store as the engine sees it.
#[derive(Clone, Debug)]
pub(crate) struct EngineStore(pub(crate) Arc<Store>);

#[async_trait]
impl StateStore for EngineStore {
    async fn load(&self) -> Result<Vec<StoredRecord>, DependencyError> {
        let records = self.0.run(|store| store.records()).await;
        let records = records.map_err(|error| DependencyError::new("read the records", error))?;
        let stored = records.into_iter().map(|record| StoredRecord {
            application: record.name,
            bytes: record.bytes,
            references: record.references.into_iter().collect(),
        });
        Ok(stored.collect())
    }

    async fn save(&self, record: &StoredRecord) -> Result<(), DependencyError> {
        let record = Record {
            name: record.application.clone(),
            bytes: record.bytes.clone(),
            references: record.references.iter().copied().collect(),
        };
        let saved = self.0.run(move |store| store.save_record(&record)).await;
        saved.map_err(|error| DependencyError::new("write a record", error))
    }

    async fn remove(&self, application: &str) -> Result<(), DependencyError> {
        let name = application.to_owned();
        let removed = self.0.run(move |store| store.remove_record(&name)).await;
        removed.map_err(|error| DependencyError::new("remove a record", error))
    }
}

#[async_trait]
impl BodySource for EngineStore {
    async fn body(&self, digest: &Digest) -> Result<Option<Bytes>, DependencyError> {
        let digest = *digest;
        let body = self.0.run(move |store| store.body(&digest)).await;
        body.map_err(|error| DependencyError::new("read a body", error))
    }
}
