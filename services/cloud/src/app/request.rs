//! Idempotent creates: what a request id made is remembered for an hour.

use std::time::{Duration, SystemTime};

use baetyl_model::{Kind, NamespaceName, Resource, Revision, Uid, Violation};
use serde::{Deserialize, Serialize};

use super::View;
use crate::error::Error;
use crate::records::{self, Versioned};
use crate::store::{Commit, Key, RecordKey, Store, Table, Write};

/// How long a request id is remembered.
pub const REQUEST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The longest request id.
const MAX_REQUEST_ID: usize = 64;

/// What a request made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Made {
    key: (NamespaceName, Kind, baetyl_model::Name),
    uid: Uid,
    time: SystemTime,
}

impl Made {
    pub(super) fn new(key: &Key, uid: &Uid, time: SystemTime) -> Self {
        Self {
            key: (key.namespace.clone(), key.kind, key.name.clone()),
            uid: uid.clone(),
            time,
        }
    }

    fn key(&self) -> Key {
        let (namespace, kind, name) = self.key.clone();
        Key {
            namespace,
            kind,
            name,
        }
    }
}

/// Checks a request id; the empty one is none.
pub(super) fn check(request_id: &str) -> Vec<Violation> {
    let is_visible = request_id.bytes().all(|byte| byte.is_ascii_graphic());
    if request_id.len() <= MAX_REQUEST_ID && is_visible {
        return Vec::new();
    }
    let description = "must be 1 to 64 visible ASCII characters";
    vec![Violation::new("requestId", "INVALID_FORMAT", description)]
}

pub(super) fn record_key(key: &Key, request_id: &str) -> RecordKey {
    let name = format!("{}/{request_id}", key.kind.word());
    records::key(key.namespace.as_str(), Table::Request, name)
}

/// Reads what a request id made, and its version for the precondition.
pub(super) async fn read(
    store: &dyn Store,
    key: &RecordKey,
    now: SystemTime,
) -> Result<(Option<Made>, u64), Error> {
    let read: Option<Versioned<Made>> = records::read(store, key).await?;
    Ok(match read {
        None => (None, 0),
        Some(read) if is_old(&read.value, now) => (None, read.version),
        Some(read) => (Some(read.value), read.version),
    })
}

fn is_old(made: &Made, now: SystemTime) -> bool {
    now.duration_since(made.time)
        .is_ok_and(|age| age >= REQUEST_LIFETIME)
}

/// Returns what the first call made, when this is the same request.
pub(super) async fn replayed(
    store: &dyn Store,
    made: &Made,
    resource: &Resource,
) -> Result<View, Error> {
    let key = made.key();
    let not_found = || Error::not_found(&key);
    let first = store.get_revision(&key, Revision::FIRST).await?;
    match first.filter(|first| first.uid == made.uid) {
        Some(first) => {
            let view = View::of(first)?;
            if !view.resource.is_same_spec(resource) {
                return Err(Error::RequestIdReused);
            }
            Ok(view)
        }
        // The first revision was dropped, or the resource was deleted since.
        None => {
            let newest = store
                .get(&key)
                .await?
                .filter(|newest| newest.uid == made.uid);
            View::of(newest.ok_or_else(not_found)?)
        }
    }
}

/// Forgets the requests of all tenants that are older than [`REQUEST_LIFETIME`]; to be called now
/// and then.
///
/// # Errors
/// The store fails.
pub async fn purge_requests(store: &dyn Store, now: SystemTime) -> Result<(), Error> {
    let mut after: Option<NamespaceName> = None;
    loop {
        let tenants = store.namespaces(after.as_ref(), records::PAGE).await?;
        for tenant in &tenants {
            purge_tenant(store, &tenant.key.namespace, now).await?;
        }
        after = tenants.last().map(|tenant| tenant.key.namespace.clone());
        if tenants.len() < records::PAGE {
            return Ok(());
        }
    }
}

async fn purge_tenant(
    store: &dyn Store,
    namespace: &NamespaceName,
    now: SystemTime,
) -> Result<(), Error> {
    let prefix = records::key(namespace.as_str(), Table::Request, "");
    let mut commit = Commit::default();
    for record in records::all(store, &prefix).await? {
        let made: Made = records::parse(Table::Request, &record.value)?;
        if is_old(&made, now) {
            let key = records::key(namespace.as_str(), Table::Request, record.key);
            commit.writes.push(Write::DeleteRecord(key));
        }
    }
    if !commit.writes.is_empty() {
        store.commit(commit).await?;
    }
    Ok(())
}
