//! Operations as the API asks for them.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_model::Name;
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1::NodeProperties;
use baetyl_service_kit::fault::{InvalidArgument, Violation};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::{LogQuery, OperationError, Operations, decommission};
use crate::seam::{BoxFault, NodeOperations, NodeRef};
use crate::store::Write;

fn boxed(error: OperationError) -> BoxFault {
    Box::new(error)
}

#[async_trait]
impl NodeOperations for Operations {
    async fn create_join_token(
        &self,
        node: &NodeRef,
        lifetime: Option<Duration>,
    ) -> Result<pb::CreateJoinTokenResponse, BoxFault> {
        let made = Operations::create_join_token(self, &node.namespace, &node.name, lifetime);
        let made = made.await.map_err(boxed)?;
        Ok(pb::CreateJoinTokenResponse {
            token: made.token,
            expire_time: Some(made.expire_time.into()),
            command: made.command,
            address: made.address,
        })
    }

    async fn properties(&self, node: &NodeRef) -> Result<NodeProperties, BoxFault> {
        let properties = Operations::properties(self, &node.namespace, &node.name);
        properties.await.map_err(boxed)
    }

    async fn update_properties(
        &self,
        node: &NodeRef,
        patch: prost_types::Struct,
    ) -> Result<NodeProperties, BoxFault> {
        let updated = Operations::update_properties(self, &node.namespace, &node.name, patch);
        updated.await.map_err(boxed)
    }

    async fn retry_application(&self, node: &NodeRef, application: &Name) -> Result<u64, BoxFault> {
        let retried = self.retry(&node.namespace, &node.name, application);
        retried.await.map_err(boxed)
    }

    async fn revoke(&self, node: &NodeRef) -> Result<u32, BoxFault> {
        let revoked = Operations::revoke(self, &node.namespace, &node.name);
        revoked.await.map_err(boxed)
    }

    async fn stream_logs(
        &self,
        node: &NodeRef,
        request: pb::StreamLogsRequest,
    ) -> Result<BoxStream<'static, Result<pb::StreamLogsResponse, BoxFault>>, BoxFault> {
        let query = query(request).map_err(boxed)?;
        let logs = self.logs(&node.namespace, &node.name, query).await;
        let logs = logs.map_err(boxed)?;
        Ok(logs
            .map(|lines| lines.map_err(|error| Box::new(error) as BoxFault))
            .boxed())
    }

    async fn delete_writes(
        &self,
        node: &NodeRef,
        remove_data: bool,
    ) -> Result<Vec<Write>, BoxFault> {
        Ok(decommission(
            &node.namespace,
            &node.name,
            &node.uid,
            remove_data,
        ))
    }
}

fn query(request: pb::StreamLogsRequest) -> Result<LogQuery, OperationError> {
    let mut violations = Vec::new();
    let application = Name::parse(&request.application);
    if let Err(error) = &application {
        let violation = Violation::new("application", error.reason, error.description.clone());
        violations.push(violation);
    }
    for (field, text) in [
        ("service", &request.service),
        ("invocationId", &request.invocation_id),
    ] {
        if text.len() > 128 {
            violations.push(Violation::new(
                field,
                "TOO_LONG",
                "must be at most 128 bytes",
            ));
        }
    }
    let since = request.since_time.map(SystemTime::try_from).transpose();
    if since.is_err() {
        violations.push(Violation::new("sinceTime", "OUT_OF_BOUNDS", "is no time"));
    }
    if let (Ok(application), Ok(since), true) = (application, since, violations.is_empty()) {
        return Ok(LogQuery {
            application,
            service: request.service,
            follow: request.follow,
            tail_lines: request.tail_lines,
            since,
            invocation: request.invocation_id,
        });
    }
    Err(InvalidArgument { violations }.into())
}
