//! `FunctionService`: invocations of people and programs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_proto::function::v1 as wire;
use baetyl_proto::function::v1::function_service_server::FunctionService;
use baetyl_service_kit::fault::{self, InvalidArgument, Violation};
use baetyl_service_kit::serve::Deadline;
use baetyl_service_kit::telemetry::propagation;
use bytes::Bytes;
use futures::Stream;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};

use super::access::Access;
use super::status;
use crate::app::error::CallError;
use crate::app::invocation::{MAX_PAYLOAD_BYTES, Metadata};
use crate::app::pending::{Next, PendingCall};
use crate::app::proxy::{NewCall, Proxy, ServiceStatus};
use crate::app::route::is_function_name;

/// Longest `application.service`.
const MAX_SERVICE_BYTES: usize = 127;
const MAX_METADATA_KEYS: usize = 64;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_KEY_BYTES: usize = 64;

/// How much sooner than the caller's clock the proxy's runs out, so that the answer, which says
/// what happened, is there before the caller stops listening; but never more than a tenth.
const REPLY_MARGIN: Duration = Duration::from_millis(5);

/// Serves `baetyl.function.v1.FunctionService`.
#[derive(Debug, Clone)]
pub struct FunctionApi {
    proxy: Arc<Proxy>,
    access: Arc<Access>,
}

/// What both kinds of invocation, and the predecessor's, have in common.
#[derive(Debug)]
pub(super) struct Invoked {
    pub(super) service: String,
    pub(super) function: String,
    pub(super) payload: Bytes,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) idempotency_key: String,
    pub(super) invocation_id: String,
    pub(super) is_stream: bool,
}

impl FunctionApi {
    /// Creates the service.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, access: Arc<Access>) -> Self {
        Self { proxy, access }
    }

    async fn check(&self, extensions: &Extensions, metadata: &MetadataMap) -> Result<(), Status> {
        let checked = self.access.check_invoke(extensions, metadata).await;
        checked.map_err(|error| fault::status(&error))
    }
}

#[tonic::async_trait]
impl FunctionService for FunctionApi {
    type InvokeStreamStream = AnswerStream;

    async fn invoke(
        &self,
        request: Request<wire::InvokeRequest>,
    ) -> Result<Response<wire::InvokeResponse>, Status> {
        self.check(request.extensions(), request.metadata()).await?;
        let (headers, extensions, message) = request.into_parts();
        let invoked = Invoked {
            service: message.service,
            function: message.function,
            payload: message.payload,
            metadata: message.metadata,
            idempotency_key: message.idempotency_key,
            invocation_id: message.invocation_id,
            is_stream: false,
        };
        let pending = begin(&self.proxy, invoked, &headers, &extensions)?;
        let invocation_id = pending.invocation_id().to_owned();
        match pending.end().await {
            Ok(answer) => Ok(Response::new(wire::InvokeResponse {
                payload: answer.payload,
                metadata: answer.metadata.into_iter().collect(),
                invocation_id,
            })),
            Err(error) => Err(status::of_call(&error, &invocation_id)),
        }
    }

    async fn invoke_stream(
        &self,
        request: Request<wire::InvokeStreamRequest>,
    ) -> Result<Response<AnswerStream>, Status> {
        self.check(request.extensions(), request.metadata()).await?;
        let (headers, extensions, message) = request.into_parts();
        let invoked = Invoked {
            service: message.service,
            function: message.function,
            payload: message.payload,
            metadata: message.metadata,
            idempotency_key: message.idempotency_key,
            invocation_id: message.invocation_id,
            is_stream: true,
        };
        let mut pending = begin(&self.proxy, invoked, &headers, &extensions)?;
        // A call that fails before its first value fails as a whole, headers and all.
        let stream = match pending.next().await {
            Next::Value(value) => AnswerStream {
                first: Some(value),
                pending: Some(pending),
            },
            Next::End(Ok(_)) => AnswerStream {
                first: None,
                pending: None,
            },
            Next::End(Err(error)) => {
                return Err(status::of_call(&error, pending.invocation_id()));
            }
        };
        Ok(Response::new(stream))
    }

    async fn list_functions(
        &self,
        request: Request<wire::ListFunctionsRequest>,
    ) -> Result<Response<wire::ListFunctionsResponse>, Status> {
        self.check(request.extensions(), request.metadata()).await?;
        let only = request.into_inner().service;
        let services = self
            .proxy
            .services(Some(only.as_str()).filter(|name| !name.is_empty()));
        let functions = services.into_iter().flat_map(listed).collect();
        Ok(Response::new(wire::ListFunctionsResponse { functions }))
    }
}

fn listed(service: ServiceStatus) -> impl Iterator<Item = wire::Function> {
    let route = service.route;
    service
        .functions
        .into_iter()
        .map(move |function| wire::Function {
            application: route.application.clone(),
            service: route.service.clone(),
            name: function.name,
            revision: route.active.revision,
            ready_endpoints: function.ready_endpoints,
            slots: function.slots,
            active_calls: function.active_calls,
        })
}

/// Checks a call and hands it to the proxy.
pub(super) fn begin(
    proxy: &Proxy,
    mut invoked: Invoked,
    headers: &MetadataMap,
    extensions: &Extensions,
) -> Result<PendingCall, Status> {
    check(&invoked).map_err(|error| fault::status(&error))?;
    if invoked.invocation_id.is_empty() {
        invoked.invocation_id = new_invocation_id();
    }
    let invocation_id = invoked.invocation_id.clone();
    let call = NewCall {
        service: &invoked.service,
        function: &invoked.function,
        payload: invoked.payload,
        metadata: Metadata::from_iter(invoked.metadata),
        idempotency_key: invoked.idempotency_key,
        invocation_id: invoked.invocation_id,
        traceparent: traceparent(headers),
        is_stream: invoked.is_stream,
        deadline: extensions.get::<Deadline>().map(deadline),
    };
    let begun = proxy.invoke(call);
    begun.map_err(|error: CallError| status::of_call(&error, &invocation_id))
}

/// A UUID of version 7. Its randomness tells invocations apart and guards nothing, so it comes
/// from the thread's generator and costs no system call.
fn new_invocation_id() -> String {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since_1970.as_millis()).unwrap_or_default();
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
    id.to_string()
}

/// The context of this service's own span or, when spans go nowhere, the caller's.
fn traceparent(headers: &MetadataMap) -> String {
    propagation::traceparent().unwrap_or_else(|| {
        let given = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        given
            .filter(|text| text.len() <= 64)
            .unwrap_or_default()
            .to_owned()
    })
}

fn deadline(given: &Deadline) -> Instant {
    let margin = REPLY_MARGIN.min(given.remaining() / 10);
    given.0 - margin
}

fn check(invoked: &Invoked) -> Result<(), InvalidArgument> {
    let mut violations = Vec::new();
    let mut report = |field: &str, reason: &str, description: String| {
        violations.push(Violation::new(field, reason, description));
    };
    if !(1..=MAX_SERVICE_BYTES).contains(&invoked.service.len()) {
        let description = format!("must have 1 to {MAX_SERVICE_BYTES} characters");
        report("service", "NAME", description);
    }
    if !invoked.function.is_empty() && !is_function_name(&invoked.function) {
        let description = "must be 1 to 128 of letters, digits, _, - and .".to_owned();
        report("function", "NAME", description);
    }
    if invoked.payload.len() > MAX_PAYLOAD_BYTES {
        let description = format!("must have at most {MAX_PAYLOAD_BYTES} bytes");
        report("payload", "TOO_LARGE", description);
    }
    let bytes: usize = invoked
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if invoked.metadata.len() > MAX_METADATA_KEYS || bytes > MAX_METADATA_BYTES {
        let description = format!(
            "must have at most {MAX_METADATA_KEYS} keys and {MAX_METADATA_BYTES} bytes together"
        );
        report("metadata", "TOO_LARGE", description);
    }
    if invoked.idempotency_key.len() > MAX_KEY_BYTES {
        let description = format!("must have at most {MAX_KEY_BYTES} characters");
        report("idempotency_key", "OUT_OF_BOUNDS", description);
    }
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let id = &invoked.invocation_id;
    if id.len() > MAX_KEY_BYTES || !id.bytes().all(is_id) {
        let description = format!("must be at most {MAX_KEY_BYTES} letters, digits and -");
        report("invocation_id", "NAME", description);
    }
    InvalidArgument::check(violations)
}

/// The values of one call. Dropping it cancels the call.
#[derive(Debug)]
pub struct AnswerStream {
    first: Option<Bytes>,
    pending: Option<PendingCall>,
}

impl Stream for AnswerStream {
    type Item = Result<wire::InvokeStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(pending) = &mut this.pending else {
            return Poll::Ready(None);
        };
        if let Some(payload) = this.first.take() {
            let invocation_id = pending.invocation_id().to_owned();
            return Poll::Ready(Some(Ok(wire::InvokeStreamResponse {
                payload,
                invocation_id,
            })));
        }
        let item = match std::task::ready!(pending.poll_next(context)) {
            Next::Value(payload) => {
                let invocation_id = String::new();
                return Poll::Ready(Some(Ok(wire::InvokeStreamResponse {
                    payload,
                    invocation_id,
                })));
            }
            Next::End(Ok(_)) => None,
            Next::End(Err(error)) => Some(Err(status::of_call(&error, pending.invocation_id()))),
        };
        this.pending = None;
        Poll::Ready(item)
    }
}
