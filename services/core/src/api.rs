//! The local API: the node's status, its properties, the logs.
//!
//! Callers show the edge token as a bearer or a certificate of the node's own authority. Health
//! and reflection are open to whoever reaches the listener: they tell nothing of the node.

mod auth;
mod log;
mod node;

use std::sync::Arc;

use baetyl_engine::EngineHandle;
use baetyl_proto::node::v1::log_service_server::LogServiceServer;
use baetyl_proto::node::v1::node_service_server::NodeServiceServer;
use baetyl_service_kit::serve::{Grpc, MAX_MESSAGE_BYTES};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::Readiness;
use tonic::service::interceptor::InterceptedService;

pub(crate) use auth::Callers;

use crate::machines::Machines;
use crate::properties::NodeProperties;
use crate::status::NodeState;

/// What the services show.
#[derive(Clone)]
pub(crate) struct ApiParts {
    pub(crate) node: NodeState,
    pub(crate) machines: Machines,
    pub(crate) properties: Arc<NodeProperties>,
    pub(crate) engine: EngineHandle,
}

/// Puts the services of the local API together.
pub(crate) fn router(
    parts: ApiParts,
    callers: Callers,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> axum::Router {
    let node = NodeServiceServer::new(node::NodeApi::new(&parts, shutdown.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let log = LogServiceServer::new(log::LogApi::new(parts.engine, shutdown.clone()))
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Grpc::new()
        .add_service(InterceptedService::new(node, callers.clone()))
        .add_service(InterceptedService::new(log, callers))
        .descriptors(baetyl_proto::DESCRIPTOR)
        .into_router(readiness, shutdown)
}
