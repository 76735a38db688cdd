//! How calls end badly, as their callers learn it.

use std::time::Duration;

use baetyl_service_kit::fault::{Code, Fault};

/// The bad end of a call; a variant per thing that a caller can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no route, or the service has no function of that name.
    #[error("there is no function {function:?} in service {service:?}")]
    FunctionNotFound {
        /// What the caller named.
        service: String,
        /// What the caller named.
        function: String,
    },
    /// There is a route, and no runtime can take calls now.
    #[error("no runtime of service {service} is ready")]
    NoRuntime {
        /// The service.
        service: String,
    },
    /// Every slot is taken and so is the queue.
    #[error("service {service} has no room for another call")]
    Overloaded {
        /// The service.
        service: String,
        /// When room can be expected.
        retry_after: Duration,
    },
    /// The deadline passed, while the call waited or while it ran.
    #[error("the function did not finish in time")]
    Timeout,
    /// The caller, or the runtime for its own reasons, gave the call up.
    #[error("the call was cancelled")]
    Cancelled,
    /// The user's code raised.
    #[error("the function raised {}: {message}", if error_type.is_empty() { "an error" } else { error_type })]
    Raised {
        /// Type of the error in the user's language; empty when it is not known.
        error_type: String,
        /// What the error says.
        message: String,
        /// Stack in the user's language; empty when there is none.
        stack: String,
    },
    /// The runtime went away while it had the call. Whether the call ran cannot be known.
    #[error("the runtime died during the call")]
    RuntimeDied {
        /// Whether the runtime said that it had begun to run the call.
        has_started: bool,
    },
    /// The function answered with something that the runtime cannot encode.
    #[error("the function's answer cannot be encoded: {message}")]
    ResultNotEncodable {
        /// What the runtime says.
        message: String,
    },
    /// The answer, or one streamed value, is too large.
    #[error("the function's answer is larger than {limit} bytes")]
    ResultTooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// The runtime failed around the user's code, or broke the protocol.
    #[error("the runtime failed: {message}")]
    RuntimeFailed {
        /// The runtime's UPPER_SNAKE word.
        reason: Reason,
        /// What the runtime says.
        message: String,
    },
}

/// A reason that comes from a runtime: one of those that it is known to give, so that what
/// callers see stays a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(&'static str);

/// What runtimes may call their own failures; everything else is the last of them.
pub(crate) const RUNTIME_REASONS: [&str; 5] = [
    "HANDLER_NOT_FOUND",
    "CODE_NOT_LOADED",
    "OUT_OF_MEMORY",
    "PROTOCOL_ERROR",
    "RUNTIME_FAILED",
];

impl Reason {
    /// The reason of a runtime that does not keep to the protocol.
    pub const PROTOCOL: Self = Self("PROTOCOL_ERROR");

    /// Takes the word of a runtime; an unknown one becomes `RUNTIME_FAILED`.
    #[must_use]
    pub fn of_runtime(word: &str) -> Self {
        let known = RUNTIME_REASONS.iter().find(|each| **each == word);
        Self(known.copied().unwrap_or("RUNTIME_FAILED"))
    }
}

impl Fault for CallError {
    fn code(&self) -> Code {
        match self {
            Self::FunctionNotFound { .. } => Code::NotFound,
            Self::NoRuntime { .. } | Self::RuntimeDied { .. } => Code::Unavailable,
            Self::Overloaded { .. } => Code::ResourceExhausted,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
            Self::Raised { .. } => Code::Unknown,
            Self::ResultNotEncodable { .. }
            | Self::ResultTooLarge { .. }
            | Self::RuntimeFailed { .. } => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::FunctionNotFound { .. } => "FUNCTION_NOT_FOUND",
            Self::NoRuntime { .. } => "NO_RUNTIME",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Timeout => "FUNCTION_TIMEOUT",
            Self::Cancelled => "CALL_CANCELLED",
            Self::Raised { .. } => "FUNCTION_RAISED",
            Self::RuntimeDied { .. } => "RUNTIME_DIED",
            Self::ResultNotEncodable { .. } => "RESULT_NOT_ENCODABLE",
            Self::ResultTooLarge { .. } => "RESULT_TOO_LARGE",
            Self::RuntimeFailed { reason, .. } => reason.0,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::FunctionNotFound { service, function } => {
                vec![("service", service.clone()), ("function", function.clone())]
            }
            Self::NoRuntime { service } | Self::Overloaded { service, .. } => {
                vec![("service", service.clone())]
            }
            Self::Raised {
                error_type, stack, ..
            } => vec![("error_type", error_type.clone()), ("stack", stack.clone())],
            Self::RuntimeDied { has_started } => vec![("started", has_started.to_string())],
            Self::ResultTooLarge { limit } => vec![("limit_bytes", limit.to_string())],
            Self::Timeout
            | Self::Cancelled
            | Self::ResultNotEncodable { .. }
            | Self::RuntimeFailed { .. } => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::NoRuntime { .. } => Some(Duration::from_secs(1)),
            Self::RuntimeDied { .. }
            | Self::FunctionNotFound { .. }
            | Self::Timeout
            | Self::Cancelled
            | Self::Raised { .. }
            | Self::ResultNotEncodable { .. }
            | Self::ResultTooLarge { .. }
            | Self::RuntimeFailed { .. } => None,
        }
    }
}
