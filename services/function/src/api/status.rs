//! From the bad end of a call to the status on the wire.

use std::collections::HashMap;

use baetyl_service_kit::fault::{self, DOMAIN, Fault as _};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::app::error::CallError;

/// Details travel in headers, and common clients refuse more than 8 KiB of those: the stack is
/// there twice (for programs and for people), all of it in base64, and the message too.
const MAX_STACK_BYTES: usize = 1536;

/// How much of a stack's beginning is kept when its middle goes.
const STACK_HEAD_BYTES: usize = 512;

const MAX_TEXT_BYTES: usize = 1024;

/// Renders the end of a call for its caller. What runtimes say is for the caller, who owns the
/// function; so other than faults of the platform itself nothing is held back.
#[must_use]
pub fn of_call(error: &CallError, invocation_id: &str) -> Status {
    let code = error.code();
    let reason = error.reason();
    if code == Code::Internal {
        tracing::warn!(reason, invocation.id = invocation_id, error = %error, "a runtime failed");
    } else {
        let rpc_code = fault::name(code);
        tracing::debug!(
            rpc.code = rpc_code,
            reason,
            invocation.id = invocation_id,
            "call failed"
        );
    }
    let mut metadata: HashMap<String, String> = error
        .metadata()
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), shortened(&value, MAX_STACK_BYTES)))
        .collect();
    metadata.insert("invocation_id".to_owned(), invocation_id.to_owned());
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    if let CallError::Raised {
        error_type, stack, ..
    } = error
        && !stack.is_empty()
    {
        let lines = shortened(stack, MAX_STACK_BYTES);
        let entries: Vec<String> = lines.lines().map(str::to_owned).collect();
        details.set_debug_info(entries, error_type.clone());
    }
    Status::with_error_details(code, shortened(&error.to_string(), MAX_TEXT_BYTES), details)
}

/// Cuts the middle out: what raised is at one end of a stack, who called is at the other, and
/// which is which depends on the language.
fn shortened(text: &str, most: usize) -> String {
    const GAP: &str = "\n…\n";
    if text.len() <= most {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(STACK_HEAD_BYTES.min(most / 3));
    let tail = text.ceil_char_boundary(text.len() - (most - head - GAP.len()));
    format!("{}{GAP}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests;
