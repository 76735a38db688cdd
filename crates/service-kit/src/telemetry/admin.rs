//! The read-only HTTP pages for machines: metrics and probes.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, TextEncoder};

use super::Readiness;

/// Serves `/metrics` (Prometheus text), `/livez` (200 while the process answers) and `/readyz` (200,
/// or 503 with one line per unmet condition: `name: reason`).
pub fn router(registry: prometheus::Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics).with_state(registry))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
}

async fn metrics(State(registry): State<prometheus::Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    if let Err(error) = encoder.encode(&registry.gather(), &mut text) {
        tracing::error!(error = %error, "metrics cannot be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let content_type = encoder.format_type().to_owned();
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let state = readiness.state();
    if state.is_ready() {
        return "ok\n".into_response();
    }
    let mut text = String::new();
    for (name, reason) in state.unmet() {
        text.push_str(&format!("{name}: {reason}\n"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
