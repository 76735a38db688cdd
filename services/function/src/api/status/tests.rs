//! What a caller can read from a failed call.

use std::time::Duration;

use baetyl_service_kit::fault::Problem;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{MAX_STACK_BYTES, of_call, shortened};
use crate::app::error::{CallError, Reason};

#[test]
fn every_end_has_its_code_and_reason() {
    let service = || "sensors".to_owned();
    for (error, code, reason) in [
        (
            CallError::FunctionNotFound {
                service: service(),
                function: "window".to_owned(),
            },
            Code::NotFound,
            "FUNCTION_NOT_FOUND",
        ),
        (
            CallError::NoRuntime { service: service() },
            Code::Unavailable,
            "NO_RUNTIME",
        ),
        (
            CallError::Timeout,
            Code::DeadlineExceeded,
            "FUNCTION_TIMEOUT",
        ),
        (CallError::Cancelled, Code::Cancelled, "CALL_CANCELLED"),
        (
            CallError::RuntimeDied { has_started: true },
            Code::Unavailable,
            "RUNTIME_DIED",
        ),
        (
            CallError::ResultNotEncodable {
                message: "a set".to_owned(),
            },
            Code::Internal,
            "RESULT_NOT_ENCODABLE",
        ),
        (
            CallError::ResultTooLarge { limit: 4 },
            Code::Internal,
            "RESULT_TOO_LARGE",
        ),
        (
            CallError::RuntimeFailed {
                reason: Reason::of_runtime("HANDLER_NOT_FOUND"),
                message: "no module".to_owned(),
            },
            Code::Internal,
            "HANDLER_NOT_FOUND",
        ),
        (
            CallError::RuntimeFailed {
                reason: Reason::of_runtime("SOMETHING_NEW"),
                message: String::new(),
            },
            Code::Internal,
            "RUNTIME_FAILED",
        ),
    ] {
        let problem = Problem::from_status(&of_call(&error, "id-1"));

        assert_eq!(
            (problem.code, problem.reason.as_str()),
            (code, reason),
            "{error}"
        );
        assert_eq!(problem.metadata["invocation_id"], "id-1");
        assert_eq!(problem.message, error.to_string());
    }
}

#[test]
fn when_the_service_is_overloaded_then_the_caller_is_told_when_to_come_back() {
    let error = CallError::Overloaded {
        service: "sensors".to_owned(),
        retry_after: Duration::from_millis(300),
    };

    let problem = Problem::from_status(&of_call(&error, "id-1"));

    assert_eq!(problem.code, Code::ResourceExhausted);
    assert_eq!(problem.retry_after, Some(Duration::from_millis(300)));
    assert_eq!(problem.metadata["service"], "sensors");
}

#[test]
fn when_the_function_raised_then_type_message_and_stack_are_there_and_small_enough() {
    let error = CallError::Raised {
        error_type: "ValueError".to_owned(),
        message: "m".repeat(5000),
        stack: (0..1000)
            .map(|line| format!("File \"window.py\", line {line}\n"))
            .collect(),
    };

    let status = of_call(&error, "id-1");

    let problem = Problem::from_status(&status);
    assert_eq!(
        (problem.code, problem.reason.as_str()),
        (Code::Unknown, "FUNCTION_RAISED")
    );
    assert!(
        problem
            .message
            .starts_with("the function raised ValueError: mmm")
    );
    assert_eq!(problem.metadata["error_type"], "ValueError");
    assert!(problem.metadata["stack"].ends_with("line 999\n"));
    let details = status.get_error_details();
    let debug = details.debug_info().expect("debug information");
    assert_eq!(debug.detail, "ValueError");
    assert_eq!(
        debug.stack_entries.first().expect("a line"),
        "File \"window.py\", line 0"
    );
    let in_base64 = status.details().len() / 3 * 4;
    assert!(in_base64 + problem.message.len() < 8 * 1024, "{in_base64}");
}

#[test]
fn when_the_middle_is_cut_out_then_no_character_is_broken() {
    let text = "ä€𝄞".repeat(2000);

    let short = shortened(&text, MAX_STACK_BYTES);

    assert!(short.len() <= MAX_STACK_BYTES && short.len() > MAX_STACK_BYTES - 8);
    assert_eq!(shortened("short", MAX_STACK_BYTES), "short");
}
