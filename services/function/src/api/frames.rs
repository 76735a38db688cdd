//! From frames to what the app knows, and back.

use std::time::Duration;

use baetyl_proto::function::v1::{
    AttachResponse, Call, CallResult, Cancel, Chunk, Credit, Failure as WireFailure, FailureOrigin,
    GoAway as WireGoAway, MetadataEntry, Ping, Pong, ProxyFrame, ProxyWelcome, proxy_frame::Kind,
};
use tokio::time::Instant;

use super::attach::{Heartbeat, PROTOCOL_VERSION};
use crate::app::error::{CallError, Reason};
use crate::app::invocation::{Answer, Failure, Metadata, Outcome};
use crate::app::outbox::{CallCommand, Command, GoAway, Welcome};
use crate::app::reply::WINDOW_BYTES;

/// Hint for a call that a runtime had no room for.
const OVERLOAD_RETRY: Duration = Duration::from_millis(100);

/// Most bytes of what a runtime says of a failure that are kept.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
const MAX_STACK_BYTES: usize = 16 * 1024;
const MAX_TYPE_BYTES: usize = 128;

/// A batch as one message.
pub(super) fn response(batch: Vec<Command>, heartbeat: Heartbeat) -> AttachResponse {
    let frames = batch.into_iter().map(|command| ProxyFrame {
        kind: Some(kind(command, heartbeat)),
    });
    AttachResponse {
        frames: frames.collect(),
    }
}

fn kind(command: Command, heartbeat: Heartbeat) -> Kind {
    match command {
        Command::Welcome(told) => Kind::Welcome(welcome(told, heartbeat)),
        Command::Call(told) => Kind::Call(call(told)),
        Command::Chunk { id, data, is_last } => Kind::Chunk(Chunk {
            call_id: id.to_wire(),
            data,
            end: is_last,
        }),
        Command::Credit { id, bytes } => Kind::Credit(Credit {
            call_id: id.to_wire(),
            bytes,
        }),
        Command::Cancel { id, reason } => Kind::Cancel(Cancel {
            call_id: id.to_wire(),
            reason: reason.reason().to_owned(),
        }),
        Command::Ping(nonce) => Kind::Ping(Ping { nonce }),
        Command::Pong(nonce) => Kind::Pong(Pong {
            nonce,
            active_calls: 0,
        }),
        Command::GoAway(told) => Kind::GoAway(go_away(told)),
    }
}

fn welcome(told: Welcome, heartbeat: Heartbeat) -> ProxyWelcome {
    ProxyWelcome {
        protocol_version: PROTOCOL_VERSION,
        lease_id: told.lease_id,
        epoch: told.epoch.0,
        heartbeat_interval: Some(duration(heartbeat.interval)),
        lease_duration: Some(duration(heartbeat.lease)),
        function_ids: (0..told.functions).collect(),
        call_window_bytes: WINDOW_BYTES,
        resume_window: None,
        alive_calls: Vec::new(),
    }
}

/// The budget is what is left now, when the frame is written: the call may have waited.
fn call(told: CallCommand) -> Call {
    let invocation = &told.invocation;
    let left = invocation
        .deadline
        .saturating_duration_since(Instant::now());
    Call {
        call_id: told.id.to_wire(),
        function_id: told.function,
        timeout_us: u64::try_from(left.as_micros()).unwrap_or(u64::MAX),
        attempt: told.attempt,
        stream_response: invocation.is_stream,
        more: told.has_more,
        metadata: entries(&invocation.metadata),
        payload: told.payload,
        idempotency_key: invocation.idempotency_key.clone(),
        traceparent: invocation.traceparent.clone(),
        invocation_id: invocation.invocation_id.clone(),
        payload_bytes: invocation.payload.len() as u64,
    }
}

fn entries(metadata: &Metadata) -> Vec<MetadataEntry> {
    let entry = |(key, value): &(String, String)| MetadataEntry {
        key: key.clone(),
        value: value.clone(),
    };
    metadata.iter().map(entry).collect()
}

fn go_away(told: GoAway) -> WireGoAway {
    WireGoAway {
        reason: told.reason.to_owned(),
        message: told.message,
        reconnect_after: told.reconnect_after.map(duration),
    }
}

pub(super) fn duration(of: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(of.as_secs()).unwrap_or(i64::MAX),
        nanos: of.subsec_nanos().cast_signed(),
    }
}

/// The end of a call as its runtime tells it.
pub(super) fn outcome(told: CallResult, service: &str) -> Outcome {
    let result = match told.failure {
        Some(failure) => Err(self::failure(failure, service)),
        None => Ok(Answer {
            payload: told.payload,
            metadata: told
                .metadata
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
        }),
    };
    Outcome {
        result,
        run_time: Duration::from_micros(told.run_us),
    }
}

fn failure(told: WireFailure, service: &str) -> Failure {
    let message = cut(told.message, MAX_MESSAGE_BYTES);
    let error = match FailureOrigin::try_from(told.origin) {
        Ok(FailureOrigin::Function) => CallError::Raised {
            error_type: cut(told.error_type, MAX_TYPE_BYTES),
            message,
            stack: cut(told.stack, MAX_STACK_BYTES),
        },
        Ok(FailureOrigin::Overload) => {
            return Failure::NotRun(CallError::Overloaded {
                service: service.to_owned(),
                retry_after: OVERLOAD_RETRY,
            });
        }
        Ok(FailureOrigin::Timeout) => CallError::Timeout,
        Ok(FailureOrigin::Cancelled) => CallError::Cancelled,
        Ok(FailureOrigin::Runtime | FailureOrigin::Unspecified) | Err(_) => {
            runtime_error(&told.reason, message, service)
        }
    };
    Failure::Ran(error)
}

/// Failures of a runtime that callers tell apart by more than a message.
fn runtime_error(reason: &str, message: String, service: &str) -> CallError {
    match reason {
        "RESULT_NOT_ENCODABLE" => CallError::ResultNotEncodable { message },
        "RESULT_TOO_LARGE" => CallError::ResultTooLarge {
            limit: crate::app::invocation::MAX_PAYLOAD_BYTES,
        },
        "RUNTIME_DIED" => CallError::RuntimeDied { has_started: true },
        "FUNCTION_NOT_FOUND" => CallError::FunctionNotFound {
            service: service.to_owned(),
            function: message,
        },
        other => CallError::RuntimeFailed {
            reason: Reason::of_runtime(other),
            message,
        },
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}
