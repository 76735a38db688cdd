//! Errors as `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use baetyl_proto::json;
use baetyl_service_kit::fault::{self, InvalidArgument, Violation};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use tonic::{Code, Status};

/// An error of the gateway or of a service, as the caller gets it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Methods that would have been right.
    allow: Vec<Method>,
    fault: fault::Problem,
    /// Columns of the violations, where a text was read here.
    columns: Vec<Option<u32>>,
}

/// What a request is refused with; boxed, since answers are passed around by value.
pub(crate) type Refused = Box<Problem>;

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Form<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    reason: &'a str,
    detail: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ViolationForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preconditions: Vec<PreconditionForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceForm<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    request_id: &'a str,
}

#[derive(Debug, Serialize)]
struct ViolationForm<'a> {
    field: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
}

#[derive(Debug, Serialize)]
struct PreconditionForm<'a> {
    kind: &'a str,
    subject: &'a str,
    description: &'a str,
}

#[derive(Debug, Serialize)]
struct ResourceForm<'a> {
    kind: &'a str,
    name: &'a str,
}

impl Problem {
    /// An error of the gateway itself.
    pub(crate) fn new(code: Code, reason: &str, message: impl Into<String>) -> Refused {
        let fault = fault::Problem {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            preconditions: Vec::new(),
            resource: None,
            retry_after: None,
        };
        Self::from_fault(fault)
    }

    fn from_fault(fault: fault::Problem) -> Refused {
        let status = StatusCode::from_u16(fault.http_status());
        Box::new(Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            allow: Vec::new(),
            fault,
            columns: Vec::new(),
        })
    }

    /// What a service answered. A status that was made on this side of the line means that the
    /// service was not reached; what it says of addresses is for the log.
    pub(crate) fn from_status(status: &Status) -> Refused {
        let is_ours = std::error::Error::source(status).is_some();
        if is_ours && matches!(status.code(), Code::Unknown | Code::Unavailable) {
            tracing::warn!(
                error = fault::chain(status),
                "the service cannot be reached"
            );
            let message = "the service behind the gateway cannot be reached";
            return Self::new(Code::Unavailable, "BACKEND_UNAVAILABLE", message);
        }
        Self::from_fault(fault::Problem::from_status(status))
    }

    /// Everything that is wrong with a request.
    pub(crate) fn from_violations(violations: Vec<Violation>) -> Refused {
        let fault = InvalidArgument { violations };
        let mut problem = Self::new(Code::InvalidArgument, "FIELD_VIOLATION", fault.to_string());
        problem.fault.violations = fault.violations;
        problem
    }

    /// Everything that is wrong with a text.
    pub(crate) fn from_text(violations: json::Violations) -> Refused {
        let columns = violations
            .0
            .iter()
            .map(|each| each.at.map(|at| at.column))
            .collect();
        let mut problem = Self::from_violations(violations.0.into_iter().map(violation).collect());
        problem.columns = columns;
        problem
    }

    /// There is no such path.
    pub(crate) fn unknown_route(method: &Method, path: &str) -> Refused {
        let path: String = path.chars().take(200).collect();
        let message =
            format!("there is nothing at {method} {path}; /openapi.json tells what there is");
        Self::new(Code::NotFound, "ROUTE_NOT_FOUND", message)
    }

    /// The path has other methods.
    pub(crate) fn other_methods(method: &Method, allow: Vec<Method>) -> Refused {
        let message = format!("the path does not take {method}");
        let mut problem = Self::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message);
        problem.status = StatusCode::METHOD_NOT_ALLOWED;
        problem.allow = allow;
        problem
    }

    /// The body is larger than allowed.
    pub(crate) fn too_large(limit: usize) -> Refused {
        let message = format!("the body must be at most {limit} bytes");
        let mut problem = Self::new(Code::InvalidArgument, "BODY_TOO_LARGE", message);
        problem.status = StatusCode::PAYLOAD_TOO_LARGE;
        problem
    }

    /// There is too much to do.
    pub(crate) fn overloaded() -> Refused {
        let message = "the gateway has too many requests at one time";
        let mut problem = Self::new(Code::Unavailable, "OVERLOADED", message);
        problem.fault.retry_after = Some(Duration::from_secs(1));
        problem
    }

    /// The time is over.
    pub(crate) fn deadline() -> Refused {
        let message = "the answer did not come in time";
        Self::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
    }

    /// A stream ends since the gateway does.
    pub(crate) fn stopping() -> Refused {
        let message = "the gateway is stopping; call again";
        Self::new(Code::Unavailable, "STOPPING", message)
    }

    /// A fault of the gateway, whose panic was logged.
    pub(crate) fn internal() -> Refused {
        Self::new(Code::Internal, "GATEWAY_FAILED", "internal error")
    }

    /// With the status that a precondition in a header asks for (RFC 9110, 13.1.1).
    pub(crate) fn for_precondition(mut self: Box<Self>) -> Refused {
        if self.fault.code == Code::Aborted {
            self.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// With paths as they are below the field that the body was.
    pub(crate) fn below(mut self: Box<Self>, body_field: &str) -> Refused {
        for violation in &mut self.fault.violations {
            let rest = violation.field.strip_prefix(body_field);
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('.')) {
                violation.field = rest.to_owned();
            }
        }
        self
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The gRPC code.
    pub(crate) fn code(&self) -> Code {
        self.fault.code
    }

    /// The JSON form.
    pub(crate) fn to_json(&self, request_id: &str) -> serde_json::Value {
        serde_json::to_value(self.form(request_id)).expect("keys are text, nothing else can fail")
    }

    fn form<'a>(&'a self, request_id: &'a str) -> Form<'a> {
        let fault = &self.fault;
        let columns = self.columns.iter().copied().chain(std::iter::repeat(None));
        let violations = fault.violations.iter().zip(columns);
        Form {
            kind: format!("tag:baetyl.io,2026:{}", fault.reason),
            title: title(fault.code),
            status: self.status.as_u16(),
            code: fault::name(fault.code),
            reason: &fault.reason,
            detail: &fault.message,
            retryable: fault.is_retryable(),
            retry_after: fault
                .retry_after
                .map(|wait| format!("{}s", wait.as_secs_f64())),
            violations: violations
                .map(|(violation, column)| ViolationForm {
                    field: &violation.field,
                    description: &violation.description,
                    reason: &violation.reason,
                    line: violation.line,
                    column,
                })
                .collect(),
            preconditions: fault
                .preconditions
                .iter()
                .map(|each| PreconditionForm {
                    kind: &each.kind,
                    subject: &each.subject,
                    description: &each.description,
                })
                .collect(),
            resource: fault.resource.as_ref().map(|resource| ResourceForm {
                kind: &resource.kind,
                name: &resource.name,
            }),
            metadata: &fault.metadata,
            request_id,
        }
    }

    /// The answer.
    pub(crate) fn into_response(self: Box<Self>, request_id: &str) -> Response {
        let body = self.to_json(request_id).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = self.fault.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if !self.allow.is_empty() {
            let methods: Vec<_> = self.allow.iter().map(Method::as_str).collect();
            let allow = HeaderValue::try_from(methods.join(", "));
            headers.insert(ALLOW, allow.expect("methods are tokens"));
        }
        response
    }
}

/// A violation of a text, as the services tell theirs.
pub(crate) fn violation(violation: json::Violation) -> Violation {
    Violation {
        field: violation.path,
        description: violation.message,
        reason: violation.reason.to_owned(),
        line: violation.at.map(|at| at.line),
    }
}

/// The code for people.
fn title(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown error",
        Code::InvalidArgument => "Invalid argument",
        Code::DeadlineExceeded => "Deadline exceeded",
        Code::NotFound => "Not found",
        Code::AlreadyExists => "Already exists",
        Code::PermissionDenied => "Permission denied",
        Code::ResourceExhausted => "Resource exhausted",
        Code::FailedPrecondition => "Failed precondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "Out of range",
        Code::Unimplemented => "Not implemented",
        Code::Internal => "Internal error",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "Data loss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
