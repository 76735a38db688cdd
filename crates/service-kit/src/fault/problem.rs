//! From the status on the wire to what a client works with.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::render::LINE;
use super::{Precondition, Resource, Violation, http_status, is_retryable, name};

/// A fault as a client sees it, read from a status of any server: details that are missing or
/// cannot be decoded are left empty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The gRPC code.
    pub code: Code,
    /// The server's reason; the code's name where the server gave none (a proxy, a broken line).
    pub reason: String,
    /// For people.
    pub message: String,
    /// Facts for programs.
    pub metadata: BTreeMap<String, String>,
    /// Every wrong field.
    pub violations: Vec<Violation>,
    /// Everything that has to change first.
    pub preconditions: Vec<Precondition>,
    /// The resource concerned.
    pub resource: Option<Resource>,
    /// How long to wait at least before the next attempt.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Reads a status.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let mut metadata: BTreeMap<String, String> = info
            .map(|info| info.metadata.clone().into_iter().collect())
            .unwrap_or_default();
        let mut violations = Vec::new();
        for (index, violation) in details
            .bad_request()
            .into_iter()
            .flat_map(|all| &all.field_violations)
            .enumerate()
        {
            let line = metadata.remove(&format!("{LINE}{index}"));
            violations.push(Violation {
                field: violation.field.clone(),
                description: violation.description.clone(),
                reason: violation.reason.clone(),
                line: line.and_then(|line| line.parse().ok()),
            });
        }
        let preconditions = details
            .precondition_failure()
            .into_iter()
            .flat_map(|all| &all.violations)
            .map(|violation| Precondition {
                kind: violation.r#type.clone(),
                subject: violation.subject.clone(),
                description: violation.description.clone(),
            })
            .collect();
        Self {
            code: status.code(),
            reason: info.map_or_else(
                || name(status.code()).to_owned(),
                |info| info.reason.clone(),
            ),
            message: status.message().to_owned(),
            metadata,
            violations,
            preconditions,
            resource: details.resource_info().map(|resource| Resource {
                kind: resource.resource_type.clone(),
                name: resource.resource_name.clone(),
            }),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// The HTTP status of the code.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        http_status(self.code)
    }

    /// Whether the same request can succeed later; see [`is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        is_retryable(self.code)
    }
}

impl From<&Status> for Problem {
    fn from(status: &Status) -> Self {
        Self::from_status(status)
    }
}
