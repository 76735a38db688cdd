//! A span and a metric for each request.

use std::sync::LazyLock;
use std::time::Instant;

use baetyl_service_kit::fault;
use baetyl_service_kit::telemetry::{SECONDS_BUCKETS, propagation};
use http::StatusCode;
use http::request::Parts;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tonic::Code;
use tracing::Span;

use crate::rule::Rule;

/// Label of what is not ours, so that callers cannot make up labels.
const UNKNOWN: &str = "unknown";

/// Status of requests whose caller did not wait for the answer.
const GONE: u16 = 499;

/// A request on its way; reports when it is dropped, which also tells what callers gave up.
#[derive(Debug)]
pub(crate) struct Observed {
    span: Span,
    begun: Instant,
    method: &'static str,
    route: String,
    status: u16,
    code: Code,
}

impl Observed {
    /// Opens the span, as a child of the caller's.
    pub(crate) fn begin(parts: &Parts, rule: Option<&Rule>, request_id: &str) -> Self {
        let method = known(parts.method.as_str());
        let route = rule.map_or(UNKNOWN, |rule| rule.template.text()).to_owned();
        let span = tracing::info_span!(
            "http",
            otel.kind = "server",
            otel.name = format!("{method} {route}"),
            http.method = method,
            http.route = route,
            http.status = tracing::field::Empty,
            request.id = request_id,
        );
        propagation::set_parent(&span, propagation::extract(&parts.headers));
        Self {
            span,
            begun: Instant::now(),
            method,
            route,
            status: GONE,
            code: Code::Cancelled,
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The answer begins.
    pub(crate) fn end(&mut self, status: StatusCode, code: Code) {
        self.status = status.as_u16();
        self.code = code;
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let elapsed = self.begun.elapsed();
        self.span.record("http.status", self.status);
        self.span.in_scope(|| {
            let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
            let code = fault::name(self.code);
            tracing::debug!(
                http.status = self.status,
                rpc.code = code,
                elapsed_ms,
                "answered"
            );
        });
        let labels = [
            KeyValue::new("method", self.method),
            KeyValue::new("route", std::mem::take(&mut self.route)),
            KeyValue::new("status", i64::from(self.status)),
        ];
        DURATION.record(elapsed.as_secs_f64(), &labels);
    }
}

fn known(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = METHODS.into_iter().find(|known| *known == method);
    known.unwrap_or(UNKNOWN)
}

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .f64_histogram("http_server_duration_seconds")
        .with_description("From the request's headers to the beginning of the answer")
        .with_boundaries(SECONDS_BUCKETS.to_vec())
        .build()
});
