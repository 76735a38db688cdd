//! A span and two metrics for every RPC that is served.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request};
use http_body::{Frame, SizeHint};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::{SECONDS_BUCKETS, propagation};
use crate::fault;

/// Label of services and methods that do not exist, so that callers cannot make up labels.
const UNKNOWN: &str = "unknown";

/// Opens a span per RPC, child of the caller's, and measures `rpc_server_duration_seconds` with the
/// labels `service`, `method` and `code` when its response has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerTrace;

impl<S> Layer<S> for ServerTrace {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner }
    }
}

/// The service that [`ServerTrace`] makes.
#[derive(Debug, Clone)]
pub struct Traced<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut path = request.uri().path().trim_start_matches('/').splitn(2, '/');
        let service = path.next().unwrap_or_default().to_owned();
        let method = path.next().unwrap_or_default().to_owned();
        let span = tracing::info_span!(
            "rpc",
            otel.kind = "server",
            otel.name = format!("{service}/{method}"),
            rpc.service = service,
            rpc.method = method,
            rpc.code = tracing::field::Empty,
        );
        propagation::set_parent(&span, propagation::extract(request.headers()));
        let call = Call {
            service,
            method,
            span: span.clone(),
            begun: Instant::now(),
            code: None,
        };
        let response = span.in_scope(|| self.inner.call(request));
        Box::pin(observed(response, call).instrument(span))
    }
}

async fn observed<F>(response: F, mut call: Call) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let Ok(response) = response.await;
    let (parts, body) = response.into_parts();
    // An error without a body has its code in the headers, everything else in the trailers.
    call.read_code(&parts.headers);
    let body = Body::new(ObservedBody { inner: body, call });
    Ok(Response::from_parts(parts, body))
}

/// One RPC on its way; reports when it is dropped, which also tells what callers gave up.
struct Call {
    service: String,
    method: String,
    span: Span,
    begun: Instant,
    code: Option<Code>,
}

impl Call {
    fn read_code(&mut self, headers: &HeaderMap) {
        if let Some(value) = headers.get("grpc-status") {
            self.code = Some(Code::from_bytes(value.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let code_name = fault::name(code);
        self.span.record("rpc.code", code_name);
        let elapsed = self.begun.elapsed();
        self.span.in_scope(|| {
            let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
            tracing::debug!(rpc.code = code_name, elapsed_ms, "rpc ended");
        });
        let (service, method) = match code {
            Code::Unimplemented => (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
            _ => (
                std::mem::take(&mut self.service),
                std::mem::take(&mut self.method),
            ),
        };
        let labels = [
            KeyValue::new("service", service),
            KeyValue::new("method", method),
            KeyValue::new("code", code_name),
        ];
        DURATION.record(elapsed.as_secs_f64(), &labels);
    }
}

/// Reads the code from the trailers as they pass.
struct ObservedBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = {
            let _entered = this.call.span.enter();
            ready!(Pin::new(&mut this.inner).poll_frame(cx))
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.read_code(trailers);
                }
            }
            Some(Err(_)) => this.call.code = Some(Code::Internal),
            // gRPC without a status is UNKNOWN to the caller.
            None => {
                this.call.code.get_or_insert(Code::Unknown);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .f64_histogram("rpc_server_duration_seconds")
        .with_description("From the request's headers to the response's end")
        .with_boundaries(SECONDS_BUCKETS.to_vec())
        .build()
});
