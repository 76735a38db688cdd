//! Closing lines as the runners print them.

use super::{Counts, Runner};

/// Passed, failed, skipped.
type Sums = (u64, u64, u64);

fn read(runner: Runner, lines: &[&str]) -> Sums {
    let mut counts = Counts::default();
    for line in lines {
        runner.read(line, &mut counts);
    }
    (counts.passed, counts.failed, counts.skipped)
}

#[test]
fn when_runners_close_then_their_sums_are_read() {
    let cases: [(Runner, &[&str], Sums); 10] = [
        (
            Runner::Nextest,
            &["     Summary [   0.010s] 3 tests run: 3 passed, 0 skipped"],
            (3, 0, 0),
        ),
        (
            Runner::Nextest,
            &[
                "Summary [ 9.1s] 7/9 tests run: 4 passed (1 slow, 1 leaky), 2 failed, 1 timed out, 3 skipped",
            ],
            (4, 3, 3),
        ),
        (
            Runner::Nextest,
            &["test result: FAILED. 0 passed; 1 failed; 0 ignored"],
            (0, 0, 0),
        ),
        (
            Runner::Cargo,
            &[
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
                "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured",
            ],
            (5, 1, 1),
        ),
        (
            Runner::Unittest,
            &["Ran 5 tests in 0.100s", "OK"],
            (5, 0, 0),
        ),
        (
            Runner::Unittest,
            &[
                "Ran 5 tests in 0.100s",
                "FAILED (failures=1, errors=2, skipped=1)",
            ],
            (1, 3, 1),
        ),
        (
            Runner::Node,
            &["# tests 4", "# pass 3", "# fail 1", "# skipped 2"],
            (3, 1, 2),
        ),
        (
            Runner::Own,
            &["1 passed, 1 failed", "30 passed, 2 failed, 1 skipped"],
            (30, 2, 1),
        ),
        (Runner::Whole, &["9 passed, 9 failed"], (0, 0, 0)),
        (
            Runner::Unittest,
            &["Ran 5 tests in 0.1s", "OK (skipped=2)"],
            (3, 0, 2),
        ),
    ];

    for (runner, lines, expected) in cases {
        assert_eq!(read(runner, lines), expected, "{runner:?} {lines:?}");
    }
}

#[test]
fn when_counts_print_then_own_reads_them_back() {
    for skipped in [0, 4] {
        let counts = Counts {
            passed: 12,
            failed: 3,
            skipped,
        };

        assert_eq!(read(Runner::Own, &[&counts.to_string()]), (12, 3, skipped));
    }
}
