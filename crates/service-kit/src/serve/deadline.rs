//! The caller's deadline: read from the request, enforced, and handed to the handler.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use futures::future::BoxFuture;
use http::{HeaderMap, Request};
use tokio::time::Instant;
use tonic::Status;
use tower::{Layer, Service};

/// When the caller stops waiting; in the extensions of every gRPC request that has a deadline.
/// What is passed on to a further call is [`Deadline::remaining`], never a clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// How much of the budget is left; zero when it is spent.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Ends a handler with `DEADLINE_EXCEEDED` when the caller's `grpc-timeout` has passed. It covers
/// the time until the response begins; a stream is ended by the caller's reset, or by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        WithDeadline { inner }
    }
}

/// The service that [`DeadlineLayer`] makes.
#[derive(Debug, Clone)]
pub struct WithDeadline<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for WithDeadline<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let budget = grpc_timeout(request.headers());
        // A budget beyond the clock's range is none.
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        let Some(deadline) = deadline else {
            return Box::pin(self.inner.call(request));
        };
        request.extensions_mut().insert(Deadline(deadline));
        Box::pin(enforced(self.inner.call(request), deadline))
    }
}

async fn enforced<F>(handler: F, deadline: Instant) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    match tokio::time::timeout_at(deadline, handler).await {
        Ok(response) => response,
        Err(_) => Ok(Status::deadline_exceeded("the caller's deadline passed").into_http()),
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit. A malformed one is ignored, as gRPC says.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}
