//! One request, from its first header to the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::propagation;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::backend::Backends;
use crate::call::Call;
use crate::config::Config;
use crate::cors;
use crate::observe::Observed;
use crate::problem::{Problem, Refused};
use crate::request::{Input, timeout};
use crate::respond::{self, Asked, Lines};
use crate::routes::{Found, Routes};
use crate::rule::template::Path;
use crate::rule::{Body as RuleBody, Rule};

/// Bodies from this size on are read on a thread that may block: JSON takes about 10 ms a megabyte.
const BLOCKING_BYTES: usize = 64 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) routes: Routes,
    pub(crate) backends: Backends,
    pub(crate) config: Config,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
}

/// Answers any request.
pub(crate) async fn handle(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    let origin = cors::allowed_origin(&parts.headers, &gateway.config.cors_origins);
    let mut response = if origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
        cors::preflight()
    } else {
        gateway.answer(parts, body, &request_id).await
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        cors::allow(headers, origin);
    }
    // What functions return must not be taken for a page.
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    let id = HeaderValue::from_str(&request_id).expect("checked when it was taken");
    headers.insert(X_REQUEST_ID, id);
    response
}

/// How much longer than the caller's deadline the gateway waits for the service's own answer.
const DEADLINE_SLACK: Duration = Duration::from_millis(250);

impl Gateway {
    async fn answer(&self, parts: Parts, body: Body, request_id: &str) -> Response {
        let path = Path::parse(parts.uri.path());
        let found = self.routes.find(&parts.method, &path);
        let found = match found {
            Found::Rule(rule) => Ok(rule.clone()),
            Found::OtherMethods(allow) => Err(Problem::other_methods(&parts.method, allow)),
            Found::Nothing => Err(Problem::unknown_route(&parts.method, parts.uri.path())),
        };
        let mut observed = Observed::begin(&parts, found.as_deref().ok(), request_id);
        let outcome = match found {
            Ok(rule) => {
                let served = Box::pin(self.serve(rule, parts, body, request_id));
                served.instrument(observed.span().clone()).await
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok(response) => {
                observed.end(response.status(), Code::Ok);
                response
            }
            Err(problem) => {
                observed.end(problem.status(), problem.code());
                problem.into_response(request_id)
            }
        }
    }

    async fn serve(
        &self,
        rule: Arc<Rule>,
        parts: Parts,
        body: Body,
        request_id: &str,
    ) -> Result<Response, Refused> {
        let asked_timeout = timeout(&parts.headers)?;
        let timeout = asked_timeout.unwrap_or(self.config.request_timeout.0);
        let deadline = Instant::now() + timeout;
        let is_stream = rule.rpc.is_server_streaming();
        let places = if is_stream {
            &self.streams
        } else {
            &self.requests
        };
        let permit = places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::overloaded())?;
        let asked = Asked::new(&parts.headers);
        let headers = forwarded(&parts.headers, request_id);
        let is_guarded = parts.headers.contains_key(http::header::IF_MATCH);
        let refused = |status: &Status| refused(status, &rule, is_guarded, deadline);
        let backend = self.backends.of(&rule.package);

        // The service behind keeps the deadline too and says more about it: it may be a moment late.
        let begun = timeout_at(deadline + DEADLINE_SLACK, async {
            let message = self.message(rule.clone(), parts, body).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            // A stream has no deadline but its caller's.
            let has_budget = !is_stream || asked_timeout.is_some();
            let call = Call {
                message,
                headers,
                budget: has_budget.then_some(left.max(Duration::from_millis(1))),
            };
            if is_stream {
                let messages = call.stream(backend, &rule).await;
                return messages
                    .map(Begun::Stream)
                    .map_err(|status| refused(&status));
            }
            let message = call
                .unary(backend, &rule)
                .await
                .map_err(|status| refused(&status))?;
            Ok(Begun::Answer(message))
        });
        match begun.await.unwrap_or_else(|_| Err(Problem::deadline()))? {
            Begun::Answer(message) => written(rule, message, asked).await,
            Begun::Stream(messages) => {
                let lines = Lines {
                    messages,
                    request_id: request_id.to_owned(),
                    deadline: asked_timeout.map(|_| deadline),
                    shutdown: self.shutdown.clone(),
                    permit,
                    rule,
                };
                Ok(lines.into_response())
            }
        }
    }

    /// Reads the body and builds the message.
    async fn message(
        &self,
        rule: Arc<Rule>,
        parts: Parts,
        body: Body,
    ) -> Result<DynamicMessage, Refused> {
        let limit = if rule.is_large {
            self.config.max_apply_body
        } else {
            self.config.max_body
        };
        let limit = usize::try_from(limit.0).unwrap_or(usize::MAX);
        let body = read(body, limit).await?;
        let is_raw = matches!(rule.body, RuleBody::Raw(_));
        let is_long = body.len() >= BLOCKING_BYTES && !is_raw;
        let input = Input { rule, parts, body };
        if !is_long {
            return input.message();
        }
        let built = tokio::task::spawn_blocking(move || input.message()).await;
        built.unwrap_or_else(|_| Err(Problem::internal()))
    }
}

/// Writes an answer, a long one on a thread that may block.
async fn written(
    rule: Arc<Rule>,
    message: DynamicMessage,
    asked: Asked,
) -> Result<Response, Refused> {
    if rule.is_raw_response() || message.encoded_len() < BLOCKING_BYTES {
        return Ok(respond::unary(&rule, &message, &asked));
    }
    let write = move || respond::unary(&rule, &message, &asked);
    tokio::task::spawn_blocking(write)
        .await
        .map_err(|_| Problem::internal())
}

/// An answer, or the beginning of one.
enum Begun {
    Answer(DynamicMessage),
    Stream(tonic::codec::Streaming<DynamicMessage>),
}

/// Reads a body that is at most as large as allowed.
async fn read(body: Body, limit: usize) -> Result<Bytes, Refused> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).unwrap_or(usize::MAX) > limit {
        return Err(Problem::too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
        Err(_) => {
            let message = "the body ended before its time";
            Err(Problem::new(Code::Cancelled, "BODY_INCOMPLETE", message))
        }
    }
}

/// What a service refused, in the caller's terms.
fn refused(status: &Status, rule: &Rule, is_guarded: bool, deadline: Instant) -> Refused {
    // The channel ends a call that is out of time with CANCELLED.
    if status.code() == Code::Cancelled && Instant::now() >= deadline {
        return Problem::deadline();
    }
    let mut problem = Problem::from_status(status);
    if let RuleBody::Field(field) = &rule.body {
        problem = problem.below(field.name());
    }
    if is_guarded {
        problem.for_precondition()
    } else {
        problem
    }
}

/// What the service gets to see: the caller's own credentials, the trace, the id of the request.
fn forwarded(headers: &HeaderMap, request_id: &str) -> HeaderMap {
    let mut forwarded = HeaderMap::with_capacity(4);
    for name in [AUTHORIZATION.as_str(), "traceparent", "tracestate"] {
        if let Some(value) = headers.get(name) {
            let name = HeaderName::from_static(name);
            forwarded.insert(name, value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        forwarded.insert(X_REQUEST_ID, id);
    }
    propagation::inject_headers(&mut forwarded);
    forwarded
}

/// The caller's id when it is a plain word, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let is_plain = |id: &&str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        (1..=128).contains(&id.len()) && id.chars().all(is_word)
    };
    match given.filter(is_plain) {
        Some(id) => id.to_owned(),
        None => uuid::Uuid::now_v7().to_string(),
    }
}
