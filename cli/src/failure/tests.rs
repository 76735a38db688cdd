//! Messages as people read them.

use baetyl_service_kit::fault::{InvalidArgument, Violation, status};

use super::*;

#[test]
fn when_fields_are_wrong_then_each_stands_on_a_line_of_its_own() {
    let error = InvalidArgument {
        violations: vec![
            Violation::new(
                "services[0].functions[0].handler",
                "INVALID_FORMAT",
                "must be module.function, got \"window\"",
            ),
            Violation::new(
                "selector",
                "INVALID_SELECTOR",
                "unexpected \"==!\" at column 6",
            ),
        ],
    };

    let failure = Failure::status(&status(&error), " in broken.yaml");

    let text = failure.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(
            "2 fields are wrong in broken.yaml, nothing was stored  [INVALID_ARGUMENT"
        ),
        "{text}"
    );
    assert_eq!(
        lines[1],
        "    services[0].functions[0].handler   must be module.function, got \"window\""
    );
    assert_eq!(
        lines[2],
        "    selector                           unexpected \"==!\" at column 6"
    );
}

#[test]
fn when_a_server_gives_no_reason_then_the_code_stands_alone() {
    let failure = Failure::status(&Status::unavailable("nobody is there"), "");

    assert_eq!(failure.to_string(), "nobody is there  [UNAVAILABLE]");
}
