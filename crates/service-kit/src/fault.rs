//! Errors that reach a caller: one trait, one rendering, one table of codes.
//!
//! A service's error types implement [`Fault`]; [`status`] turns one into what goes over the wire
//! (google.rpc details, AIP-193) and [`Problem`] reads it back on the other side.

use std::time::Duration;

pub use tonic::Code;

mod code;
mod problem;
mod render;
#[cfg(test)]
mod tests;

pub use code::{http_status, is_retryable, name};
pub use problem::Problem;
pub use render::{MAX_DETAIL_BYTES, status};

/// The domain of every reason, as `google.rpc.ErrorInfo` wants it.
pub const DOMAIN: &str = "baetyl.io";

/// One wrong field of a request or of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violation {
    /// Path of the field, as the caller wrote it: `services[0].ports[1].name`.
    pub field: String,
    /// What is wrong, lowercase, without a full stop: `must be between 1 and 300, got 0`.
    pub description: String,
    /// UPPER_SNAKE, stable, for programs: `OUT_OF_BOUNDS`. Empty when there is nothing to tell.
    pub reason: String,
    /// Line in the caller's text, from one, where the text has lines.
    pub line: Option<u32>,
}

impl Violation {
    /// Creates a violation without a line.
    #[must_use]
    pub fn new(
        field: impl Into<String>,
        reason: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
            reason: reason.into(),
            line: None,
        }
    }

    /// Adds the line of the caller's text.
    #[must_use]
    pub fn at_line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

/// One thing that has to change before the same request can succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// UPPER_SNAKE kind of the condition: `REFERENCED`.
    pub kind: String,
    /// What the condition is about, for example a resource's name.
    pub subject: String,
    /// How the condition fails and what to do.
    pub description: String,
}

/// The resource that a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub kind: String,
    /// Its name as the caller knows it.
    pub name: String,
}

/// An error that a caller in another process gets to see.
///
/// `Display` is the caller's message: lowercase, no full stop, without the text of the source.
/// With the codes `INTERNAL` and `DATA_LOSS` the caller gets a generic message instead and nothing
/// but the reason; the log gets the chain.
pub trait Fault: std::error::Error {
    /// The gRPC code; what a caller does follows from it.
    fn code(&self) -> Code;

    /// UPPER_SNAKE, stable, one per thing that a caller can tell apart.
    fn reason(&self) -> &'static str;

    /// Facts for programs; keys are lower-kebab-case.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Every wrong field, with `INVALID_ARGUMENT`.
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }

    /// Everything that has to change first, with `FAILED_PRECONDITION`.
    fn preconditions(&self) -> Vec<Precondition> {
        Vec::new()
    }

    /// The resource concerned.
    fn resource(&self) -> Option<Resource> {
        None
    }

    /// How long to wait at least before the next attempt.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The fault of a request with wrong fields: `INVALID_ARGUMENT`, reason `FIELD_VIOLATION`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.violations))]
pub struct InvalidArgument {
    /// Every wrong field, not only the first.
    pub violations: Vec<Violation>,
}

impl InvalidArgument {
    /// `Ok` without violations, the fault with them: the last line of every validator.
    ///
    /// # Errors
    /// All of `violations`, when there are any.
    pub fn check(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() {
            return Ok(());
        }
        Err(Self { violations })
    }
}

impl Fault for InvalidArgument {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        "FIELD_VIOLATION"
    }

    fn violations(&self) -> Vec<Violation> {
        self.violations.clone()
    }
}

/// "services[0].name must not be empty" for one, "3 fields are wrong, the first: ..." for many.
fn summary(violations: &[Violation]) -> String {
    let Some(first) = violations.first() else {
        return "the request is wrong".to_owned();
    };
    let first_text = format!("{}: {}", first.field, first.description);
    match violations.len() {
        1 => first_text,
        count => format!("{count} fields are wrong, the first is {first_text}"),
    }
}

/// The error and its sources, joined by ": ", for the log.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        // Some foreign errors repeat their source in their own text.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    text
}
