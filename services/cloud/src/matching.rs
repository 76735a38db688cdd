//! From what people declare to what each node should run.
//!
//! [`plan`] decides and is pure; [`view`] keeps what it looks at in memory, in step with the
//! events of each namespace; [`Matching`] writes the desired documents, one compare-and-set per
//! node. Nothing here is the only copy of anything: at each start everything is computed again
//! and written only where it differs, so that a crash at any moment is made good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use baetyl_model::{Fence, Name, NamespaceName, Uid};
use baetyl_proto::sync::v1 as wire;
use bytes::Bytes;
use opentelemetry::metrics::Counter;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::store::{Commit, Precondition, RecordKey, Store, StoreError, Table, Write};

mod causes;
mod controller;
mod desired;
mod impact;
pub mod plan;
mod retire;
#[cfg(test)]
mod tests;
pub mod view;

pub(crate) use desired::{
    Body, DesiredRecord, WishRecord, desired_key, fence, wire_fence, wire_properties, wish_key,
};
use plan::{Conflict, MissingInput, NodePlan};
use view::{Change, View};

use crate::activation::node_key;
use crate::records::{self, ATTEMPTS};

/// Nodes whose documents are written in one commit.
const BATCH: usize = 64;

/// Called with the uid of each node whose desired document changed, or that was deleted, in the
/// span of what changed it.
pub type OnDesired = Arc<dyn Fn(&Uid) + Send + Sync>;

/// What a node's desired document says, as status needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Which document it is.
    pub fence: Fence,
    /// Revision by application.
    pub applications: BTreeMap<String, u64>,
    /// Digests of the pinned inputs of each application, by `kind/name`.
    pub inputs: BTreeMap<String, BTreeMap<String, String>>,
    /// Digests of all pinned inputs and applications: kind, name, revision.
    pub(crate) pins: BTreeSet<(String, String, u64)>,
    /// Applications that were left out in favour of others.
    pub conflicts: Vec<Conflict>,
    /// Applications whose inputs do not exist.
    pub missing: Vec<MissingInput>,
}

/// How long a reader of the status waits for the controller.
const SETTLE_BOUND: Duration = Duration::from_secs(1);

/// One namespace in memory.
#[derive(Debug, Default)]
struct Tenant {
    /// The last event that was looked at.
    cursor: u64,
    view: View,
    placements: BTreeMap<Name, Placement>,
    /// Nodes whose documents must be looked at.
    pending: BTreeSet<Name>,
    causes: causes::Causes,
}

/// Keeps the desired documents in step with what is declared.
pub struct Matching {
    store: Arc<dyn Store>,
    tenants: RwLock<BTreeMap<NamespaceName, Tenant>>,
    on_desired: OnDesired,
    /// Rises whenever everything that was committed had been looked at.
    rounds: watch::Sender<u64>,
}

impl std::fmt::Debug for Matching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matching").finish_non_exhaustive()
    }
}

/// A document that is to be written.
struct Draft {
    node: Name,
    uid: Uid,
    key: RecordKey,
    version: u64,
    bytes: Option<Bytes>,
    placement: Placement,
}

impl Matching {
    /// Starts with nothing in memory; see [`Matching::run`].
    pub fn new(store: Arc<dyn Store>, on_desired: OnDesired) -> Self {
        Self {
            store,
            tenants: RwLock::default(),
            on_desired,
            rounds: watch::Sender::new(0),
        }
    }

    /// Waits until everything that is committed now was looked at, but not for long: whoever asks
    /// for the status after a change sees what the change did. Cancel safe.
    ///
    /// # Errors
    /// The store fails.
    pub async fn settle(&self, namespace: &NamespaceName) -> Result<(), StoreError> {
        let mut rounds = self.rounds.subscribe();
        let wanted = self.store.sequence(namespace).await?;
        let settled = async {
            loop {
                rounds.borrow_and_update();
                if self.has_seen(namespace, wanted) || rounds.changed().await.is_err() {
                    return;
                }
            }
        };
        // What is late is told by the next status.
        tokio::time::timeout(SETTLE_BOUND, settled).await.ok();
        Ok(())
    }

    fn has_seen(&self, namespace: &NamespaceName, sequence: u64) -> bool {
        let tenants = self.tenants.read();
        let tenant = tenants.get(namespace);
        tenant.is_some_and(|tenant| tenant.cursor >= sequence && tenant.pending.is_empty())
    }

    /// Looks at a view of a namespace that is known.
    pub(crate) fn with_view<T>(
        &self,
        namespace: &NamespaceName,
        look: impl FnOnce(&View, &BTreeMap<Name, Placement>) -> T,
    ) -> Option<T> {
        let tenants = self.tenants.read();
        let tenant = tenants.get(namespace)?;
        Some(look(&tenant.view, &tenant.placements))
    }

    /// What a node's desired document says; `None` before it was looked at.
    pub fn placement(&self, namespace: &NamespaceName, node: &Name) -> Option<Placement> {
        let tenants = self.tenants.read();
        tenants.get(namespace)?.placements.get(node).cloned()
    }

    /// How many nodes of a namespace wait to be looked at.
    pub fn pending_count(&self, namespace: &NamespaceName) -> usize {
        let tenants = self.tenants.read();
        tenants
            .get(namespace)
            .map_or(0, |tenant| tenant.pending.len())
    }

    /// Names of the nodes whose desired documents would differ after these changes, sorted.
    /// Pure: nothing is stored.
    pub fn preview(&self, namespace: &NamespaceName, changes: &[Change]) -> Vec<Name> {
        let before = self
            .with_view(namespace, |view, _| view.clone())
            .unwrap_or_default();
        let mut after = before.clone();
        let mut touched = BTreeSet::new();
        for change in changes {
            touched.extend(after.apply(change.clone()));
        }
        let wanted = |view: &View, node: &Name| {
            let facts = view.node(node)?;
            let plan = plan::for_node(view, facts, &[], &BTreeMap::new());
            Some((plan.applications, facts.core.clone()))
        };
        let differs = |node: &Name| wanted(&before, node) != wanted(&after, node);
        touched.into_iter().filter(differs).collect()
    }

    /// Writes the document of one node if it is not what it should be, and returns its fence;
    /// `None` when there is no such node.
    ///
    /// # Errors
    /// The store fails.
    pub async fn refresh(
        &self,
        namespace: &NamespaceName,
        node: &Name,
    ) -> Result<Option<Fence>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(draft) = self.draft(namespace, node).await? else {
                return Ok(None);
            };
            let fence = draft.placement.fence;
            match self.write(namespace, vec![draft]).await {
                Ok(()) => return Ok(Some(fence)),
                Err(StoreError::Precondition(_)) => {}
                Err(error) => return Err(error),
            }
            if self.store.get(&node_key(namespace, node)).await?.is_none() {
                return Ok(None);
            }
        }
        let error = std::io::Error::other("the desired document changed all the time");
        Err(StoreError::Unavailable(Box::new(error)))
    }

    /// As [`Matching::refresh`] for many nodes.
    async fn refresh_all(
        &self,
        namespace: &NamespaceName,
        nodes: &[Name],
    ) -> Result<(), StoreError> {
        for batch in nodes.chunks(BATCH) {
            let mut drafts = Vec::with_capacity(batch.len());
            for node in batch {
                drafts.extend(self.draft(namespace, node).await?);
            }
            match self.write(namespace, drafts).await {
                Ok(()) => {}
                // Somebody wrote one of them: each for itself, then.
                Err(StoreError::Precondition(_)) => {
                    for node in batch {
                        self.refresh(namespace, node).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn draft(
        &self,
        namespace: &NamespaceName,
        node: &Name,
    ) -> Result<Option<Draft>, StoreError> {
        let Some(facts) = self
            .with_view(namespace, |view, _| view.node(node).cloned())
            .flatten()
        else {
            return Ok(None);
        };
        let key = desired_key(namespace, &facts.uid);
        let stored = DesiredRecord::read(&*self.store, &key).await?;
        let wish: records::Versioned<WishRecord> =
            records::read_or_default(&*self.store, &wish_key(namespace, &facts.uid)).await?;
        // The view is looked at after the record was read: who finds the record unchanged when
        // writing has not written an older view over a newer one.
        let planned = self.with_view(namespace, |view, _| {
            let facts = view.node(node)?;
            let held = stored.document().map_or(&[][..], |held| &held.applications);
            let plan = plan::for_node(view, facts, held, &wish.value.retries);
            Some((facts.clone(), plan))
        });
        let Some((facts, plan)) = planned.flatten() else {
            return Ok(None);
        };
        Ok(Some(Draft::make(facts, key, stored, plan, &wish.value)))
    }

    async fn write(&self, namespace: &NamespaceName, drafts: Vec<Draft>) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        for draft in &drafts {
            let Some(bytes) = &draft.bytes else { continue };
            let guard = Precondition::RecordAt(draft.key.clone(), draft.version);
            commit.preconditions.push(guard);
            let put = Write::PutRecord(draft.key.clone(), bytes.clone());
            commit.writes.push(put);
            // Its status changed; and a node that is gone by now fails the commit.
            commit
                .writes
                .push(Write::Touch(node_key(namespace, &draft.node)));
        }
        if !commit.writes.is_empty() {
            self.store.commit(commit).await?;
        }
        let mut changed = Vec::new();
        {
            let mut tenants = self.tenants.write();
            for draft in drafts {
                if draft.bytes.is_some() {
                    tracing::debug!(
                        namespace = namespace.as_str(),
                        node.name = draft.node.as_str(),
                        generation = draft.placement.fence.generation.number(),
                        "desired document written"
                    );
                    changed.push(draft.uid);
                }
                if let Some(tenant) = tenants.get_mut(namespace) {
                    tenant.pending.remove(&draft.node);
                    tenant.placements.insert(draft.node, draft.placement);
                }
            }
        }
        DOCUMENTS.add(changed.len() as u64, &[]);
        for uid in changed {
            (self.on_desired)(&uid);
        }
        Ok(())
    }
}

static DOCUMENTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .u64_counter("desired_documents_total")
        .with_description("Desired documents that were written")
        .build()
});

impl Draft {
    fn make(
        facts: Arc<view::NodeFacts>,
        key: RecordKey,
        stored: DesiredRecord,
        plan: NodePlan,
        wish: &WishRecord,
    ) -> Self {
        let version = stored.version();
        let mut document = wire::DesiredDocument {
            node_uid: facts.uid.to_string(),
            fence: None,
            applications: plan.applications,
            properties: wish.wire_properties(),
            core: Some(facts.core.clone()),
        };
        let is_same = stored.document().is_some_and(|held| {
            document.fence = held.fence;
            *held == document
        });
        // A node that owns its desired state keeps what it has.
        let is_kept = is_same || !facts.is_cloud;
        let (bytes, document) = if is_kept {
            (None, stored.into_document().unwrap_or_default())
        } else {
            let fence = stored.fence().next().unwrap_or_else(|| stored.fence());
            document.fence = Some(desired::wire_fence(fence));
            (Some(desired::encode(&document)), document)
        };
        Self {
            node: facts.name.clone(),
            uid: facts.uid.clone(),
            key,
            version,
            bytes,
            placement: Placement::of(&document, plan.conflicts, plan.missing),
        }
    }
}

impl Placement {
    pub(crate) fn of(
        document: &wire::DesiredDocument,
        conflicts: Vec<Conflict>,
        missing: Vec<MissingInput>,
    ) -> Self {
        let mut pins = BTreeSet::new();
        let mut applications = BTreeMap::new();
        let mut inputs = BTreeMap::new();
        for item in &document.applications {
            applications.insert(item.name.clone(), item.revision);
            let digests = item.inputs.iter();
            let digests = digests.map(|it| (format!("{}/{}", it.kind, it.name), it.digest.clone()));
            inputs.insert(item.name.clone(), digests.collect());
            pins.insert(("application".to_owned(), item.name.clone(), item.revision));
            for input in &item.inputs {
                pins.insert((input.kind.clone(), input.name.clone(), input.revision));
            }
        }
        Self {
            fence: desired::fence(document.fence.as_ref()),
            applications,
            inputs,
            pins,
            conflicts,
            missing,
        }
    }
}

/// Every record of a node under a table.
fn of_node(namespace: &NamespaceName, table: Table, uid: &Uid) -> RecordKey {
    records::key(namespace.as_str(), table, uid.as_str())
}
