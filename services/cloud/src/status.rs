//! What is known about nodes and applications, and why they are not what they should be.

use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::{Fence, Name, NamespaceName, Uid};
use baetyl_proto::cloud::v1::ApplicationNode;
use baetyl_proto::resource::v1 as pb;
use prost::Message as _;
use tokio::time::Instant;

use crate::activation::{EnrolmentRecord, enrolment_key, node_key};
use crate::matching::{DesiredRecord, Matching, Placement, desired_key};
use crate::records;
use crate::seam::NodeCounts;
use crate::store::{Store, StoreError};
use crate::sync::report::{self, APPLICATIONS, MACHINES};
use crate::sync::{Registry, StateRecord, state_key};

mod application;
mod seam;
#[cfg(test)]
mod tests;
mod why;

/// Reads status; clones share everything.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    matching: Arc<Matching>,
    registry: Registry,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Everything that is known about one node, before it is put into words.
struct NodeView {
    name: Name,
    /// Whether the node owns its desired state.
    is_local: bool,
    placement: Placement,
    readiness: pb::Readiness,
    enrolment: EnrolmentRecord,
    state: StateRecord,
    last_seen: Option<SystemTime>,
    is_duplicate: bool,
    applications: Vec<pb::ApplicationStatus>,
}

impl NodeView {
    fn is_converged(&self) -> bool {
        let wanted = self.placement.fence;
        wanted != Fence::default() && self.state.converged >= wanted
    }

    fn status_of(&self, application: &str) -> Option<&pb::ApplicationStatus> {
        let mut applications = self.applications.iter();
        applications.find(|status| status.name == application)
    }
}

/// Whether a status is that of the wanted revision, and good.
fn is_healthy(status: &pb::ApplicationStatus, revision: u64) -> bool {
    let is_good = matches!(
        status.state(),
        pb::ApplicationState::Healthy | pb::ApplicationState::Succeeded
    );
    is_good && status.desired_revision == revision
}

/// Whether a status is that of the wanted revision, and bad for good.
fn is_failed(status: &pb::ApplicationStatus, revision: u64) -> bool {
    let is_bad = matches!(
        status.state(),
        pb::ApplicationState::Failed | pb::ApplicationState::RolledBack
    );
    is_bad && status.desired_revision == revision
}

impl Reader {
    /// Puts the parts together.
    pub fn new(store: Arc<dyn Store>, matching: Arc<Matching>, registry: Registry) -> Self {
        Self {
            store,
            matching,
            registry,
        }
    }

    async fn placement(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<Placement, StoreError> {
        if let Some(placement) = self.matching.placement(namespace, node) {
            return Ok(placement);
        }
        // Matching has not looked at it since the start: what it wrote before that.
        let record = DesiredRecord::read(&*self.store, &desired_key(namespace, uid)).await?;
        let document = record.into_document().unwrap_or_default();
        Ok(Placement::of(&document, Vec::new(), Vec::new()))
    }

    async fn view(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<NodeView, StoreError> {
        let store = &*self.store;
        let enrolment: records::Versioned<EnrolmentRecord> =
            records::read_or_default(store, &enrolment_key(namespace, uid)).await?;
        let state: records::Versioned<StateRecord> =
            records::read_or_default(store, &state_key(namespace, uid)).await?;
        let mut applications = Vec::new();
        for entry in report::entries(store, namespace, uid, APPLICATIONS).await? {
            // Checked when it came.
            applications.extend(pb::ApplicationStatus::decode(entry.value));
        }
        let online = self.registry.last_seen(uid);
        let readiness = match (online, enrolment.value.activate_time) {
            (Some(_), _) => pb::Readiness::Online,
            (None, Some(_)) => pb::Readiness::Offline,
            (None, None) => pb::Readiness::Uninstalled,
        };
        let is_cloud = self.matching.with_view(namespace, |view, _| {
            view.node(node).is_none_or(|facts| facts.is_cloud)
        });
        Ok(NodeView {
            name: node.clone(),
            is_local: is_cloud == Some(false),
            placement: self.placement(namespace, node, uid).await?,
            readiness,
            last_seen: online.or(state.value.last_seen),
            enrolment: enrolment.value,
            state: state.value,
            is_duplicate: self.registry.is_duplicate(uid, Instant::now()),
            applications,
        })
    }

    /// The status of a node.
    ///
    /// # Errors
    /// The store fails.
    pub async fn node(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<pb::NodeStatus, StoreError> {
        let view = self.view(namespace, node, uid).await?;
        let mut machines = Vec::new();
        for entry in report::entries(&*self.store, namespace, uid, MACHINES).await? {
            machines.extend(pb::MachineStatus::decode(entry.value));
        }
        let mut healthy = 0;
        for (name, revision) in &view.placement.applications {
            let status = view.status_of(name);
            healthy += u32::from(status.is_some_and(|status| is_healthy(status, *revision)));
        }
        Ok(pb::NodeStatus {
            readiness: view.readiness.into(),
            last_seen_time: view.last_seen.map(Into::into),
            desired_generation: view.placement.fence.generation.number(),
            accepted_generation: view.state.accepted.generation.number(),
            converged_generation: view.state.converged.generation.number(),
            epoch: view.placement.fence.epoch.number(),
            application_count: count(view.placement.applications.len()),
            healthy_application_count: healthy,
            machines,
            conditions: why::conditions(&view),
            core_version: view.state.core_version.clone(),
            why: why::sentence(&view),
            certificate_expire_time: view.enrolment.expire_time.map(Into::into),
            applications: view.applications,
        })
    }

    /// Whether a node runs what it should.
    ///
    /// # Errors
    /// The store fails.
    async fn is_converged(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<bool, StoreError> {
        let wanted = self.placement(namespace, node, uid).await?.fence;
        let state: records::Versioned<StateRecord> =
            records::read_or_default(&*self.store, &state_key(namespace, uid)).await?;
        Ok(wanted != Fence::default() && state.value.converged >= wanted)
    }

    /// Counts the nodes of a tenant.
    ///
    /// # Errors
    /// The store fails.
    pub async fn counts(&self, namespace: &NamespaceName) -> Result<NodeCounts, StoreError> {
        let nodes = self.matching.with_view(namespace, |view, _| {
            let nodes = view.nodes();
            nodes
                .map(|node| (node.name.clone(), node.uid.clone()))
                .collect::<Vec<_>>()
        });
        let nodes = nodes.unwrap_or_default();
        let mut converged = 0;
        for (name, uid) in &nodes {
            converged += u32::from(self.is_converged(namespace, name, uid).await?);
        }
        let uids = nodes.iter().map(|(_, uid)| uid);
        Ok(NodeCounts {
            online: count(self.registry.online_count(uids)),
            converged,
            pending: count(self.matching.pending_count(namespace)),
        })
    }

    /// How far an application has come on all of its nodes.
    ///
    /// # Errors
    /// The store fails.
    pub async fn application(
        &self,
        namespace: &NamespaceName,
        application: &Name,
    ) -> Result<pb::ApplicationSummary, StoreError> {
        application::summary(self, namespace, application).await
    }

    /// The nodes that an application is desired on, by name, those after `after`.
    ///
    /// # Errors
    /// The store fails.
    pub async fn application_nodes(
        &self,
        namespace: &NamespaceName,
        application: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<ApplicationNode>, StoreError> {
        application::nodes(self, namespace, application, after, limit).await
    }

    /// The uid of a node that exists.
    ///
    /// # Errors
    /// The store fails.
    async fn uid(&self, namespace: &NamespaceName, node: &Name) -> Result<Option<Uid>, StoreError> {
        let known = self.matching.with_view(namespace, |view, _| {
            view.node(node).map(|facts| facts.uid.clone())
        });
        if let Some(uid) = known.flatten() {
            return Ok(Some(uid));
        }
        let stored = self.store.get(&node_key(namespace, node)).await?;
        Ok(stored.map(|stored| stored.uid))
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
