//! Tests of the module `fault`.

use std::io;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("shelf is full")]
struct Sample {
    code: Code,
    source: io::Error,
}

impl Fault for Sample {
    fn code(&self) -> Code {
        self.code
    }

    fn reason(&self) -> &'static str {
        "SHELF_FULL"
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("shelf", "top".to_owned())]
    }

    fn violations(&self) -> Vec<Violation> {
        vec![
            Violation::new("a.b", "REQUIRED", "must be set"),
            Violation::new("c[1]", "OUT_OF_BOUNDS", "must be below 3").at_line(12),
        ]
    }

    fn preconditions(&self) -> Vec<Precondition> {
        vec![Precondition {
            kind: "REFERENCED".to_owned(),
            subject: "shelf/top".to_owned(),
            description: "is in use".to_owned(),
        }]
    }

    fn resource(&self) -> Option<Resource> {
        Some(Resource {
            kind: "shelf".to_owned(),
            name: "top".to_owned(),
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(Duration::from_millis(1500))
    }
}

fn sample(code: Code) -> Sample {
    Sample {
        code,
        source: io::Error::other("secret of the disk"),
    }
}

fn codes() -> impl Iterator<Item = Code> {
    (1..=16).map(Code::from_i32)
}

#[test]
fn when_a_fault_of_any_code_is_rendered_then_the_client_reads_the_same() {
    for code in codes().filter(|code| !matches!(code, Code::Internal | Code::DataLoss)) {
        let fault = sample(code);

        let problem = Problem::from_status(&status(&fault));

        let expected = Problem {
            code,
            reason: "SHELF_FULL".to_owned(),
            message: "shelf is full".to_owned(),
            metadata: [("shelf".to_owned(), "top".to_owned())].into(),
            violations: fault.violations(),
            preconditions: fault.preconditions(),
            resource: fault.resource(),
            retry_after: fault.retry_after(),
        };
        assert_eq!(problem, expected, "{}", name(code));
    }
}

#[test]
fn when_the_fault_is_internal_then_the_caller_gets_the_reason_alone() {
    for code in [Code::Internal, Code::DataLoss] {
        let rendered = status(&sample(code));

        let problem = Problem::from_status(&rendered);
        assert_eq!(problem.reason, "SHELF_FULL");
        assert_eq!(problem.message, "internal error");
        assert!(problem.metadata.is_empty() && problem.violations.is_empty());
        let wire = String::from_utf8_lossy(rendered.details()).into_owned();
        assert!(!wire.contains("secret") && !wire.contains("shelf is full"));
    }
}

#[test]
fn when_a_status_has_no_details_then_the_reason_is_the_code() {
    let problem = Problem::from_status(&tonic::Status::unavailable("broken line"));

    assert_eq!(problem.reason, "UNAVAILABLE");
    assert!(problem.is_retryable());
    assert_eq!(problem.http_status(), 503);
}

#[test]
fn when_there_are_more_violations_than_fit_then_the_rest_is_counted() {
    let violations = (0..1000)
        .map(|index| Violation::new(format!("items[{index}]"), "REQUIRED", "x".repeat(100)))
        .collect();
    let fault = InvalidArgument { violations };

    let rendered = status(&fault);

    let problem = Problem::from_status(&rendered);
    let omitted: usize = problem.metadata["violations-omitted"].parse().unwrap();
    assert_eq!(problem.violations.len() + omitted, 1000);
    assert!(rendered.details().len() < 2 * MAX_DETAIL_BYTES);
    assert!(
        problem
            .message
            .starts_with("1000 fields are wrong, the first is items[0]: x")
    );
}

#[test]
fn when_a_code_is_looked_up_then_the_tables_agree_with_google_rpc() {
    let expected = [
        (200, "OK"),
        (499, "CANCELLED"),
        (500, "UNKNOWN"),
        (400, "INVALID_ARGUMENT"),
        (504, "DEADLINE_EXCEEDED"),
        (404, "NOT_FOUND"),
        (409, "ALREADY_EXISTS"),
        (403, "PERMISSION_DENIED"),
        (429, "RESOURCE_EXHAUSTED"),
        (400, "FAILED_PRECONDITION"),
        (409, "ABORTED"),
        (400, "OUT_OF_RANGE"),
        (501, "UNIMPLEMENTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (500, "DATA_LOSS"),
        (401, "UNAUTHENTICATED"),
    ];

    for (number, row) in (0..).zip(expected) {
        let code = Code::from_i32(number);
        assert_eq!((http_status(code), name(code)), row);
    }
}

#[test]
fn when_an_error_has_sources_then_the_chain_joins_them() {
    assert_eq!(
        chain(&sample(Code::Internal)),
        "shelf is full: secret of the disk"
    );
}

#[test]
fn when_nothing_is_wrong_then_the_check_passes() {
    assert_eq!(InvalidArgument::check(Vec::new()), Ok(()));
}
