//! What a caller asks for, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::error::CallError;

/// Largest payload, and largest answer: of a unary call as a whole, of a stream per value.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024;

/// A key and a value; order is kept.
pub type Metadata = Vec<(String, String)>;

/// One call as the caller made it. It does not change on its way, so that attempts share it.
#[derive(Debug)]
pub struct Invocation {
    /// Name of the function; empty for the first one of the runtime.
    pub function: Arc<str>,
    /// Opaque bytes.
    pub payload: Bytes,
    /// Free text that the function sees.
    pub metadata: Metadata,
    /// Not empty: the call is safe to repeat.
    pub idempotency_key: String,
    /// Identity for logs.
    pub invocation_id: String,
    /// W3C trace context; empty for none.
    pub traceparent: String,
    /// Whether values are wanted as they come.
    pub is_stream: bool,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// The good end of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// All of a unary answer; of a streamed one, what came with its end.
    pub payload: Bytes,
    /// Free text that the function gave.
    pub metadata: Metadata,
}

/// The bad end of a call as a runtime tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The call did not run: the runtime had no room, or could not be reached. Another attempt
    /// is safe.
    NotRun(CallError),
    /// The call ran, or may have.
    Ran(CallError),
}

/// What a runtime says at the end of a call.
#[derive(Debug)]
pub struct Outcome {
    /// Good or bad.
    pub result: Result<Answer, Failure>,
    /// Time in the user's code; zero when the runtime does not tell.
    pub run_time: Duration,
}

/// Why a call is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller went away.
    Cancelled,
    /// The deadline passed.
    Timeout,
    /// The answer broke a limit.
    Refused,
}

impl CancelReason {
    /// The word that the runtime gets.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "FUNCTION_TIMEOUT",
            Self::Cancelled | Self::Refused => "CALL_CANCELLED",
        }
    }
}
