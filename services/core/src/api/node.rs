//! `NodeService`: what the node is and how it stands.

use std::sync::Arc;

use baetyl_proto::node::v1::node_service_server::NodeService;
use baetyl_proto::node::v1::{
    GetNodePropertiesRequest, GetNodePropertiesResponse, GetNodeStatsRequest, GetNodeStatsResponse,
    GetNodeStatusRequest, GetNodeStatusResponse, UpdateNodePropertiesRequest,
    UpdateNodePropertiesResponse, WatchNodeStatusRequest, WatchNodeStatusResponse,
};
use baetyl_proto::resource::v1::NodeProperties as WireProperties;
use baetyl_service_kit::fault;
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_shadow::{Properties, PropertySet};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::ApiParts;
use crate::machines::Machines;
use crate::properties::NodeProperties;
use crate::status::NodeState;
use crate::value;

/// The service.
pub(super) struct NodeApi {
    node: NodeState,
    machines: Machines,
    properties: Arc<NodeProperties>,
    shutdown: Shutdown,
}

impl NodeApi {
    pub(super) fn new(parts: &ApiParts, shutdown: Shutdown) -> Self {
        Self {
            node: parts.node.clone(),
            machines: parts.machines.clone(),
            properties: parts.properties.clone(),
            shutdown,
        }
    }
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    type WatchNodeStatusStream = BoxStream<'static, Result<WatchNodeStatusResponse, Status>>;

    async fn get_node_status(
        &self,
        _request: Request<GetNodeStatusRequest>,
    ) -> Result<Response<GetNodeStatusResponse>, Status> {
        let status = Some(self.node.current());
        Ok(Response::new(GetNodeStatusResponse { status }))
    }

    /// A level: a slow watcher gets the newest status, never a backlog.
    async fn watch_node_status(
        &self,
        _request: Request<WatchNodeStatusRequest>,
    ) -> Result<Response<Self::WatchNodeStatusStream>, Status> {
        let draining = self.shutdown.token().cancelled_owned();
        let changes = self.node.changes().take_until(draining).map(|status| {
            let status = Some(status);
            Ok(WatchNodeStatusResponse { status })
        });
        Ok(Response::new(changes.boxed()))
    }

    async fn get_node_stats(
        &self,
        _request: Request<GetNodeStatsRequest>,
    ) -> Result<Response<GetNodeStatsResponse>, Status> {
        let machines = self.machines.clone().sample().await;
        Ok(Response::new(GetNodeStatsResponse { machines }))
    }

    async fn get_node_properties(
        &self,
        _request: Request<GetNodePropertiesRequest>,
    ) -> Result<Response<GetNodePropertiesResponse>, Status> {
        let properties = Some(to_wire(&self.properties.current()));
        Ok(Response::new(GetNodePropertiesResponse { properties }))
    }

    async fn update_node_properties(
        &self,
        request: Request<UpdateNodePropertiesRequest>,
    ) -> Result<Response<UpdateNodePropertiesResponse>, Status> {
        let patch = request.into_inner().reported.unwrap_or_default();
        let updated = self.properties.update(value::object_to_json(&patch)).await;
        let properties = updated.map_err(|error| fault::status(&error))?;
        let properties = Some(to_wire(&properties));
        Ok(Response::new(UpdateNodePropertiesResponse { properties }))
    }
}

fn to_wire(properties: &Properties) -> WireProperties {
    let values = |set: &PropertySet| {
        set.iter()
            .map(|(key, property)| {
                let json = serde_json::Value::from(&property.value);
                (key.to_string(), value::from_json(&json))
            })
            .collect()
    };
    let times = |set: &PropertySet| {
        set.iter()
            .map(|(key, property)| {
                let time = value::timestamp_of_millis(property.time);
                (key.to_string(), time)
            })
            .collect()
    };
    WireProperties {
        desired: values(&properties.desired),
        reported: values(&properties.reported),
        desired_times: times(&properties.desired),
        reported_times: times(&properties.reported),
    }
}
