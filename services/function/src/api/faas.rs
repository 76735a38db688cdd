//! `faas.Function`: the predecessor's callers, unchanged.

use std::sync::Arc;

use baetyl_proto::faas::Message;
use baetyl_proto::faas::function_server::Function;
use baetyl_service_kit::fault;
use tonic::{Request, Response, Status};

use super::access::Access;
use super::functions::{Invoked, begin};
use super::status;
use crate::app::proxy::Proxy;

/// Metadata key with the name of the service.
pub const SERVICE_NAME: &str = "serviceName";
/// Metadata key with the name of the function.
pub const FUNCTION_NAME: &str = "functionName";
/// Metadata key with the identity of the invocation.
pub const INVOKE_ID: &str = "invokeId";

/// Serves `faas.Function`: routes by the metadata and answers as a runtime would, with the
/// message that came in and the payload replaced.
#[derive(Debug, Clone)]
pub struct FaasApi {
    proxy: Arc<Proxy>,
    access: Arc<Access>,
}

impl FaasApi {
    /// Creates the service.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, access: Arc<Access>) -> Self {
        Self { proxy, access }
    }
}

#[tonic::async_trait]
impl Function for FaasApi {
    async fn call(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let checked = self
            .access
            .check_invoke(request.extensions(), request.metadata())
            .await;
        checked.map_err(|error| fault::status(&error))?;
        let (headers, extensions, message) = request.into_parts();
        let mut metadata = message.metadata;
        let mut caller_metadata = metadata.clone();
        let mut take = |key| caller_metadata.remove(key).unwrap_or_default();
        let (service, function, invocation_id) =
            (take(SERVICE_NAME), take(FUNCTION_NAME), take(INVOKE_ID));
        let invoked = Invoked {
            service,
            function,
            payload: message.payload,
            metadata: caller_metadata,
            idempotency_key: String::new(),
            invocation_id,
            is_stream: false,
        };
        let pending = begin(&self.proxy, invoked, &headers, &extensions)?;
        let invocation_id = pending.invocation_id().to_owned();
        let answer = pending.end().await;
        let answer = answer.map_err(|error| status::of_call(&error, &invocation_id))?;
        metadata.extend(answer.metadata);
        metadata.insert(INVOKE_ID.to_owned(), invocation_id);
        Ok(Response::new(Message {
            id: message.id,
            metadata,
            payload: answer.payload,
        }))
    }
}
