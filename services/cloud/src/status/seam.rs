//! Status as the API asks for it.

use async_trait::async_trait;
use baetyl_model::{Name, NamespaceName};
use baetyl_proto::cloud::v1::ApplicationNode;
use baetyl_proto::resource::v1 as pb;

use super::Reader;
use crate::seam::{BoxFault, NodeCounts, NodeRef, StatusReader};
use crate::store::{StoreError, Stored};

fn boxed(error: StoreError) -> BoxFault {
    Box::new(error)
}

#[async_trait]
impl StatusReader for Reader {
    async fn nodes(&self, nodes: &[NodeRef]) -> Result<Vec<pb::NodeStatus>, BoxFault> {
        let mut found = Vec::with_capacity(nodes.len());
        for node in nodes {
            let status = self.node(&node.namespace, &node.name, &node.uid).await;
            found.push(status.map_err(boxed)?);
        }
        Ok(found)
    }

    async fn applications(
        &self,
        applications: &[Stored],
    ) -> Result<Vec<pb::ApplicationSummary>, BoxFault> {
        let mut found = Vec::with_capacity(applications.len());
        for one in applications {
            let summary = self.application(&one.key.namespace, &one.key.name).await;
            found.push(summary.map_err(boxed)?);
        }
        Ok(found)
    }

    async fn application_nodes(
        &self,
        application: &Stored,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<ApplicationNode>, BoxFault> {
        let key = &application.key;
        self.matching.settle(&key.namespace).await.map_err(boxed)?;
        let nodes = Reader::application_nodes(self, &key.namespace, &key.name, after, limit);
        nodes.await.map_err(boxed)
    }

    async fn counts(&self, namespace: &NamespaceName) -> Result<NodeCounts, BoxFault> {
        Reader::counts(self, namespace).await.map_err(boxed)
    }
}
