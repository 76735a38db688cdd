//! Answers that are no success: the `Status` object of Kubernetes, with its exact sentences.

use std::fmt;

use serde_json::{Map, Value, json};

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable word, for example `FieldValueInvalid`.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Path of the field; empty where none is meant.
    pub field: String,
}

impl Cause {
    pub(crate) fn new(reason: &str, message: impl Into<String>, field: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
            field: field.into(),
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self::new("FieldValueInvalid", message, field)
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self::new("FieldValueRequired", message, field)
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(
            "FieldValueDuplicate",
            format!("Duplicate value: {value}"),
            field,
        )
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueNotFound", format!("Not found: {value}"), field)
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", format!("Forbidden: {detail}"), field)
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            known.join(", ")
        );
        Self::new("FieldValueNotSupported", message, field)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The `Status` of a request that was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} ({code} {reason})")]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Stable word, for example `NotFound`; empty where the server has none.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// The object `details`; null where there are none.
    pub details: Value,
    /// Token in the metadata of a list that expired; empty for everything else.
    pub(crate) continue_token: String,
}

/// Whom a refusal is about: resource or kind, with its group.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) group: &'a str,
    /// Plural of the resource; for `Invalid` the kind.
    pub(crate) noun: &'a str,
}

impl About<'_> {
    fn qualified(&self) -> String {
        match self.group {
            "" => self.noun.to_owned(),
            group => format!("{}.{group}", self.noun),
        }
    }

    fn details(&self, name: &str) -> Map<String, Value> {
        let mut details = Map::new();
        for (key, value) in [("name", name), ("group", self.group), ("kind", self.noun)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), json!(value));
            }
        }
        details
    }
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            details: Value::Null,
            continue_token: String::new(),
        }
    }

    fn about(mut self, about: About<'_>, name: &str) -> Self {
        self.details = Value::Object(about.details(name));
        self
    }

    pub(crate) fn not_found(about: About<'_>, name: &str) -> Self {
        let message = format!("{} {name:?} not found", about.qualified());
        Self::new(404, "NotFound", message).about(about, name)
    }

    /// A path that nothing serves.
    pub(crate) fn no_route() -> Self {
        let mut refusal = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        refusal.details = json!({});
        refusal
    }

    pub(crate) fn already_exists(about: About<'_>, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", about.qualified());
        Self::new(409, "AlreadyExists", message).about(about, name)
    }

    pub(crate) fn conflict(about: About<'_>, name: &str, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {detail}",
            about.qualified()
        );
        Self::new(409, "Conflict", message).about(about, name)
    }

    /// The version that a writer has seen is not the newest.
    pub(crate) fn stale(about: About<'_>, name: &str) -> Self {
        Self::conflict(
            about,
            name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// Fields of an object are wrong; `about.noun` is its kind.
    pub(crate) fn invalid(about: About<'_>, name: &str, causes: &[Cause]) -> Self {
        let sentences: Vec<_> = causes.iter().map(Cause::to_string).collect();
        let all = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {all}", about.qualified());
        Self::new(422, "Invalid", message)
            .about(about, name)
            .with_causes(causes)
    }

    pub(crate) fn forbidden(about: About<'_>, name: &str, detail: &str) -> Self {
        let subject = match name {
            "" => about.qualified(),
            name => format!("{} {name:?}", about.qualified()),
        };
        Self::new(
            403,
            "Forbidden",
            format!("{subject} is forbidden: {detail}"),
        )
        .about(about, name)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// An error that the server has no class for: 500 with an empty reason.
    pub(crate) fn unclassified(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// A watch or list from a version that is no longer known.
    pub(crate) fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// A version that is yet to come.
    pub(crate) fn too_new(asked: u64, newest: u64) -> Self {
        let mut refusal = Self::new(
            504,
            "Timeout",
            format!("Too large resource version: {asked}, current: {newest}"),
        );
        refusal.details = json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
            "retryAfterSeconds": 1,
        });
        refusal
    }

    pub(crate) fn method_not_allowed(about: About<'_>) -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .about(about, "")
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// What a fault answers with: the words that go with the code.
    pub(crate) fn of_code(code: u16) -> Self {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden by a fault"),
            404 => (
                "NotFound",
                "the server could not find the requested resource",
            ),
            409 => (
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified; please apply your \
                 changes to the latest version and try again",
            ),
            410 => (
                "Expired",
                "The resourceVersion for the provided watch is too old.",
            ),
            429 => (
                "TooManyRequests",
                "Too many requests, please try again later.",
            ),
            500 => (
                "InternalError",
                "Internal error occurred: etcdserver: request timed out",
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => (
                "Timeout",
                "request did not complete within the allotted timeout",
            ),
            _ => ("", "a fault"),
        };
        let mut refusal = Self::new(code, reason, message);
        if code == 429 {
            refusal.details = json!({ "retryAfterSeconds": 1 });
        }
        refusal
    }

    pub(crate) fn with_causes(mut self, causes: &[Cause]) -> Self {
        let causes = causes
            .iter()
            .map(|cause| {
                json!({ "reason": cause.reason, "message": cause.message, "field": cause.field })
            })
            .collect();
        if !self.details.is_object() {
            self.details = json!({});
        }
        self.details["causes"] = causes;
        self
    }

    pub(crate) fn with_continue(mut self, token: String) -> Self {
        self.continue_token = token;
        self
    }

    /// Returns the causes in the details.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
        let causes = self.details["causes"].as_array();
        let causes = causes.map(Vec::as_slice).unwrap_or_default().iter();
        causes
            .map(|cause| Cause {
                reason: text(cause, "reason"),
                message: text(cause, "message"),
                field: text(cause, "field"),
            })
            .collect()
    }

    /// Returns the body of the answer.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut metadata = json!({});
        if !self.continue_token.is_empty() {
            metadata["continue"] = json!(self.continue_token);
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if self.details.is_object() {
            status["details"] = self.details.clone();
        }
        status
    }
}
