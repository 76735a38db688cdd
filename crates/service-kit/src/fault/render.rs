//! From a fault to the status on the wire.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};

use super::{DOMAIN, Fault, Precondition, Violation, chain, name};

/// Upper bound of the violations and preconditions of one status. Details travel in a header, in
/// base64, and common clients refuse headers over 8 KiB; what is left out is counted in the
/// metadata `violations-omitted`.
pub const MAX_DETAIL_BYTES: usize = 4 * 1024;

/// Upper bound of the message, of each description and of each metadata value.
const MAX_TEXT_BYTES: usize = 1024;

/// Metadata key with the number of violations that did not fit.
pub(super) const OMITTED: &str = "violations-omitted";

/// Metadata key prefix of the source line of violation number N.
pub(super) const LINE: &str = "violation-line-";

/// Renders a fault for the caller, and logs it, once: the chain at ERROR for `INTERNAL` and
/// `DATA_LOSS`, the caller's own faults at DEBUG.
#[must_use]
pub fn status(fault: &dyn Fault) -> Status {
    let code = fault.code();
    let reason = fault.reason();
    if matches!(code, Code::Internal | Code::DataLoss) {
        tracing::error!(reason, error = chain(fault), "request failed inside");
        let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        return Status::with_error_details(code, "internal error", details);
    }
    tracing::debug!(
        rpc.code = name(code),
        reason,
        error = chain(fault),
        "request refused"
    );
    let message = truncated(fault.to_string());
    Status::with_error_details(code, message, details(fault))
}

fn details(fault: &dyn Fault) -> ErrorDetails {
    let mut metadata: HashMap<String, String> = fault
        .metadata()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), truncated(value)))
        .collect();
    let mut details = ErrorDetails::new();
    let mut budget = MAX_DETAIL_BYTES;
    let mut omitted = 0_usize;

    let mut violations = Vec::new();
    for violation in fault.violations() {
        let Some(left) = budget.checked_sub(violation_bytes(&violation)) else {
            omitted += 1;
            continue;
        };
        budget = left;
        if let Some(line) = violation.line {
            metadata.insert(format!("{LINE}{}", violations.len()), line.to_string());
        }
        violations.push(field_violation(violation));
    }
    let mut preconditions = Vec::new();
    for precondition in fault.preconditions() {
        let Some(left) = budget.checked_sub(precondition_bytes(&precondition)) else {
            omitted += 1;
            continue;
        };
        budget = left;
        preconditions.push(precondition_violation(precondition));
    }
    if !violations.is_empty() {
        details.set_bad_request(violations);
    }
    if !preconditions.is_empty() {
        details.set_precondition_failure(preconditions);
    }
    if omitted > 0 {
        metadata.insert(OMITTED.to_owned(), omitted.to_string());
    }
    if let Some(resource) = fault.resource() {
        details.set_resource_info(resource.kind, truncated(resource.name), "", "");
    }
    if let Some(delay) = fault.retry_after() {
        details.set_retry_info(Some(delay));
    }
    details.set_error_info(fault.reason(), DOMAIN, metadata);
    details
}

fn field_violation(violation: Violation) -> FieldViolation {
    FieldViolation {
        field: violation.field,
        description: truncated(violation.description),
        reason: violation.reason,
        localized_message: None,
    }
}

fn precondition_violation(precondition: Precondition) -> PreconditionViolation {
    PreconditionViolation::new(
        precondition.kind,
        precondition.subject,
        truncated(precondition.description),
    )
}

/// What a violation takes on the wire, with tags, lengths and the line's metadata entry.
fn violation_bytes(violation: &Violation) -> usize {
    let line = if violation.line.is_some() { 40 } else { 0 };
    let description = violation.description.len().min(MAX_TEXT_BYTES);
    violation.field.len() + description + violation.reason.len() + 16 + line
}

fn precondition_bytes(precondition: &Precondition) -> usize {
    let description = precondition.description.len().min(MAX_TEXT_BYTES);
    precondition.kind.len() + precondition.subject.len() + description + 16
}

/// Cuts a text at a character boundary.
fn truncated(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES - 4));
        text.push('…');
    }
    text
}
