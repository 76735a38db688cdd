//! What the API asks of the parts behind it: status, operations on nodes, what a change does.
//!
//! The resources know nothing of streams, certificates and matching. Each trait here is
//! implemented by the part that does, and has an implementation that knows nothing, for a
//! control plane without that part.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use baetyl_service_kit::fault::Fault;
use futures::stream::BoxStream;

use crate::store::{Commit, Key, Stored, Write};

/// A fault of another part, passed to the caller as it is.
pub type BoxFault = Box<dyn Fault + Send + Sync>;

/// One life of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRef {
    /// The tenant.
    pub namespace: NamespaceName,
    /// Its name.
    pub name: Name,
    /// Which life of it.
    pub uid: Uid,
}

impl NodeRef {
    /// Names the node that is stored.
    pub fn of(stored: &Stored) -> Self {
        Self {
            namespace: stored.key.namespace.clone(),
            name: stored.key.name.clone(),
            uid: stored.uid.clone(),
        }
    }
}

/// What is asked of a node that exists: activation, properties, retries, logs.
///
/// The API has checked the caller and found the node; everything else is checked here.
#[async_trait]
pub trait NodeOperations: Send + Sync + 'static {
    /// Makes a join token. `lifetime` is what was asked for: `None` for the default.
    async fn create_join_token(
        &self,
        node: &NodeRef,
        lifetime: Option<Duration>,
    ) -> Result<pb::CreateJoinTokenResponse, BoxFault>;

    /// Reads the properties, wanted and reported.
    async fn properties(&self, node: &NodeRef) -> Result<resource::NodeProperties, BoxFault>;

    /// Changes the wanted properties by a merge patch and returns what is there then.
    async fn update_properties(
        &self,
        node: &NodeRef,
        patch: prost_types::Struct,
    ) -> Result<resource::NodeProperties, BoxFault>;

    /// Tries a failed application again; returns the generation that carries the retry.
    async fn retry_application(&self, node: &NodeRef, application: &Name) -> Result<u64, BoxFault>;

    /// Revokes every certificate; returns how many there were.
    async fn revoke(&self, node: &NodeRef) -> Result<u32, BoxFault>;

    /// Streams the log of an application. The stream ends by itself at draining.
    async fn stream_logs(
        &self,
        node: &NodeRef,
        request: pb::StreamLogsRequest,
    ) -> Result<BoxStream<'static, Result<pb::StreamLogsResponse, BoxFault>>, BoxFault>;

    /// Returns what is written in the commit that deletes the node, so that its device is told.
    async fn delete_writes(
        &self,
        node: &NodeRef,
        remove_data: bool,
    ) -> Result<Vec<Write>, BoxFault>;
}

/// How many nodes of a tenant are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Nodes with an open stream.
    pub online: u32,
    /// Nodes that run what they should.
    pub converged: u32,
    /// Nodes that wait for the matching controller.
    pub pending: u32,
}

/// What was observed and reported; never part of a spec.
#[async_trait]
pub trait StatusReader: Send + Sync + 'static {
    /// Returns the status of each node, in their order.
    async fn nodes(&self, nodes: &[NodeRef]) -> Result<Vec<resource::NodeStatus>, BoxFault>;

    /// Returns how far each application has come, in their order.
    async fn applications(
        &self,
        applications: &[Stored],
    ) -> Result<Vec<resource::ApplicationSummary>, BoxFault>;

    /// Returns the nodes that an application is desired on, sorted by name, those after `after`,
    /// at most `limit`.
    async fn application_nodes(
        &self,
        application: &Stored,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<pb::ApplicationNode>, BoxFault>;

    /// Counts the nodes of a tenant.
    async fn counts(&self, namespace: &NamespaceName) -> Result<NodeCounts, BoxFault>;
}

/// One resource before and after a change that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Which resource.
    pub key: Key,
    /// As it is stored; `None` when it does not exist. Inputs that are deleted have no body.
    pub before: Option<Stored>,
    /// As it will be; `None` when it is deleted.
    pub after: Option<Stored>,
}

/// Tells which nodes a change reaches, before it is made.
#[async_trait]
pub trait ImpactPreview: Send + Sync + 'static {
    /// Returns the nodes whose desired state differs after all of these changes together.
    async fn affected_nodes(
        &self,
        edits: &[Edit],
    ) -> Result<BTreeSet<(NamespaceName, Name)>, BoxFault>;

    /// Is told which trace a commit belongs to, before it happens, so that what nodes do about it
    /// belongs to the same one. It may still fail.
    fn announce(&self, _commit: &Commit, _traceparent: &str) {}
}

/// Knows nothing: nodes never came, changes reach nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKnown;

#[async_trait]
impl StatusReader for NothingKnown {
    async fn nodes(&self, nodes: &[NodeRef]) -> Result<Vec<resource::NodeStatus>, BoxFault> {
        let mut status = resource::NodeStatus::default();
        status.set_readiness(resource::Readiness::Uninstalled);
        Ok(vec![status; nodes.len()])
    }

    async fn applications(
        &self,
        applications: &[Stored],
    ) -> Result<Vec<resource::ApplicationSummary>, BoxFault> {
        Ok(vec![
            resource::ApplicationSummary::default();
            applications.len()
        ])
    }

    async fn application_nodes(
        &self,
        _application: &Stored,
        _after: Option<&Name>,
        _limit: usize,
    ) -> Result<Vec<pb::ApplicationNode>, BoxFault> {
        Ok(Vec::new())
    }

    async fn counts(&self, _namespace: &NamespaceName) -> Result<NodeCounts, BoxFault> {
        Ok(NodeCounts::default())
    }
}

#[async_trait]
impl ImpactPreview for NothingKnown {
    async fn affected_nodes(
        &self,
        _edits: &[Edit],
    ) -> Result<BTreeSet<(NamespaceName, Name)>, BoxFault> {
        Ok(BTreeSet::new())
    }
}
