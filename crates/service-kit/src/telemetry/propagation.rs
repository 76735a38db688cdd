//! W3C trace context, into and out of whatever carries a request.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

static PROPAGATOR: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// Writes the current span's context into the metadata of a call.
pub fn inject(metadata: &mut MetadataMap) {
    PROPAGATOR.inject_context(&Span::current().context(), &mut Metadata(metadata));
}

/// Writes the current span's context into HTTP headers.
pub fn inject_headers(headers: &mut HeaderMap) {
    PROPAGATOR.inject_context(&Span::current().context(), &mut Headers(headers));
}

/// Reads the caller's context from HTTP headers; empty when there is none.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Context {
    PROPAGATOR.extract_with_context(&Context::new(), &HeadersRead(headers))
}

/// Makes a span that has not been entered yet a child of the context.
pub fn set_parent(span: &Span, parent: Context) {
    if parent.span().span_context().is_valid() {
        // Fails without an exporter (nothing to set) and on a span that was entered.
        span.set_parent(parent).ok();
    }
}

/// The current span's context as the text of a `traceparent`, to be kept beside stored work.
#[must_use]
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    PROPAGATOR.inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes a span that has not been entered yet a child of a `traceparent`; a malformed one is
/// ignored.
pub fn set_parent_from_traceparent(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    set_parent(
        span,
        PROPAGATOR.extract_with_context(&Context::new(), &carrier),
    );
}

/// A channel whose calls carry the context of the span that they are made in.
pub type TracedChannel = InterceptedService<Channel, InjectContext>;

/// Wraps a channel so that its calls carry the trace context.
#[must_use]
pub fn traced(channel: Channel) -> TracedChannel {
    InterceptedService::new(channel, InjectContext)
}

/// Writes the current span's context into each call.
#[derive(Debug, Clone, Copy, Default)]
pub struct InjectContext;

impl Interceptor for InjectContext {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        inject(request.metadata_mut());
        Ok(request)
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_str(key), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::from_str(key), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

struct HeadersRead<'a>(&'a HeaderMap);

impl Extractor for HeadersRead<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
