//! Log lines of applications, as the local API and the channels ask for them.

use std::time::SystemTime;

use baetyl_engine::{EngineError, LogQuery};
use baetyl_proto::node::v1::StreamLogsRequest;
use baetyl_service_kit::fault::Code;

/// Lines of each instance, when the caller does not say.
const DEFAULT_TAIL: u32 = 100;

/// The most lines of each instance.
pub(crate) const MAX_TAIL: u32 = 10_000;

/// Reads a query; what is out of bounds is taken as the bound.
pub(crate) fn query_of(request: StreamLogsRequest) -> LogQuery {
    let tail = request.tail_lines.unwrap_or(DEFAULT_TAIL).min(MAX_TAIL);
    let given = |text: String| (!text.is_empty()).then_some(text);
    LogQuery {
        application: request.application,
        service: given(request.service),
        follow: request.follow,
        tail: usize::try_from(tail).ok(),
        since: request
            .since_time
            .and_then(|time| SystemTime::try_from(time).ok()),
        invocation_id: given(request.invocation_id),
    }
}

/// The code for an error of the engine about logs.
pub(crate) fn log_fault(error: &EngineError) -> Code {
    match error {
        EngineError::UnknownApplication(_) => Code::NotFound,
        EngineError::Stopped | EngineError::Store(_) | EngineError::Driver(_) => Code::Unavailable,
    }
}
