//! What time makes useless: join tokens and certificates that expired, answers nobody asks for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_service_kit::fault;
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};

use crate::activation::{CertificateRecord, DecommissionRecord, JoinTokenRecord};
use crate::records::{self, INSTALLATION, PAGE};
use crate::store::{Commit, RecordKey, Store, StoreError, Table, Write};
use crate::sync::Parts;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What expired is kept this long, so that whoever comes late hears why it is refused.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A deleted node's device that did not come for this long is not waited for any more.
const DECOMMISSION_KEPT: Duration = Duration::from_secs(730 * 24 * 60 * 60);

/// Starts to keep house.
pub(super) fn start(parts: &Parts, part: &Shutdown) {
    let store = Arc::clone(&parts.store);
    let keeping = async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let now = SystemTime::now();
            if let Err(error) = sweep(&*store, now).await {
                tracing::warn!(error = fault::chain(&error), "housekeeping is held up");
            }
            if let Err(error) = crate::app::purge_requests(&*store, now).await {
                tracing::warn!(error = fault::chain(&error), "housekeeping is held up");
            }
        }
    };
    // Each sweep is made of whole commits: it may stop anywhere.
    part.spawn("housekeeping", OnCancel::Abort, keeping);
}

/// Removes what is useless at this time.
pub(super) async fn sweep(store: &dyn Store, now: SystemTime) -> Result<(), StoreError> {
    let tokens = records::key(INSTALLATION, Table::JoinToken, "");
    sweep_table(store, tokens, |bytes| {
        let record: JoinTokenRecord = records::parse(Table::JoinToken, bytes)?;
        Ok(record.expire_time + KEPT < now)
    })
    .await?;
    let mut after = None;
    loop {
        let page = store.namespaces(after.as_ref(), PAGE).await?;
        for stored in &page {
            let namespace = stored.key.namespace.as_str();
            let certificates = records::key(namespace, Table::Certificate, "");
            sweep_table(store, certificates, |bytes| {
                let record: CertificateRecord = records::parse(Table::Certificate, bytes)?;
                Ok(record.expire_time + KEPT < now)
            })
            .await?;
            let deleted = records::key(namespace, Table::Decommission, "");
            sweep_table(store, deleted, |bytes| {
                let record: DecommissionRecord = records::parse(Table::Decommission, bytes)?;
                Ok(record.delete_time + DECOMMISSION_KEPT < now)
            })
            .await?;
        }
        if page.len() < PAGE {
            return Ok(());
        }
        after = page.last().map(|stored| stored.key.namespace.clone());
    }
}

async fn sweep_table(
    store: &dyn Store,
    prefix: RecordKey,
    is_useless: impl Fn(&[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.records(&prefix, after.as_deref(), PAGE).await?;
        let mut writes = Vec::new();
        for record in &page {
            if is_useless(&record.value)? {
                writes.push(Write::DeleteRecord(RecordKey {
                    key: record.key.clone(),
                    ..prefix.clone()
                }));
            }
        }
        if !writes.is_empty() {
            let preconditions = Vec::new();
            store
                .commit(Commit {
                    preconditions,
                    writes,
                })
                .await?;
        }
        if page.len() < PAGE {
            return Ok(());
        }
        after = page.last().map(|record| record.key.clone());
    }
}
