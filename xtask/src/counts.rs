//! How many passed and failed, read from what test runners print.

#[cfg(test)]
mod tests;

use std::fmt;

/// A sum of tests or checks; prints as the line that ends a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// What this machine lacks something for, or what is left out with a reason.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds another sum.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// Whose output is read. Only one form is looked for at a time: the output of a test that
/// failed may hold anything, other runners' closing lines too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo nextest run`.
    Nextest,
    /// `cargo test`, one line per program.
    Cargo,
    /// `python3 -m unittest`.
    Unittest,
    /// `node --test`.
    Node,
    /// Our own last line.
    Own,
    /// A check: passes or fails as a whole.
    Whole,
}

impl Runner {
    /// Adds what a line says, if it is one that counts.
    pub(crate) fn read(self, line: &str, counts: &mut Counts) {
        let line = line.trim();
        match self {
            Self::Nextest => read_nextest(line, counts),
            Self::Cargo => {
                if let Some(rest) = line.strip_prefix("test result: ") {
                    let sums = rest.split_once(". ").map_or(rest, |(_, sums)| sums);
                    counts.passed += before(sums, " passed");
                    counts.failed += before(sums, " failed");
                    counts.skipped += before(sums, " ignored");
                }
            }
            Self::Unittest => read_unittest(line, counts),
            Self::Node => {
                let line = line.trim_start_matches(['#', 'ℹ', ' ']);
                let value =
                    |rest: Option<&str>| rest.and_then(|rest| rest.parse().ok()).unwrap_or(0);
                counts.passed += value(line.strip_prefix("pass "));
                counts.failed += value(line.strip_prefix("fail "));
                counts.skipped += value(line.strip_prefix("skipped "));
            }
            Self::Own => {
                if let Some(own) = read_own(line) {
                    *counts = own;
                }
            }
            Self::Whole => {}
        }
    }
}

/// `Summary [ 0.1s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped`
fn read_nextest(line: &str, counts: &mut Counts) {
    let Some((head, sums)) = line.split_once(" run: ") else {
        return;
    };
    if !head.starts_with("Summary [") {
        return;
    }
    for sum in without_parentheses(sums).split(',') {
        let Some((number, what)) = sum.trim().split_once(' ') else {
            continue;
        };
        let number = number.parse().unwrap_or(0);
        match what.trim() {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" => counts.failed += number,
            "skipped" => counts.skipped += number,
            _ => {}
        }
    }
}

/// `Ran 5 tests in 0.1s`, and later `OK (skipped=1)` or `FAILED (failures=1, errors=2)`
fn read_unittest(line: &str, counts: &mut Counts) {
    if let Some(rest) = line.strip_prefix("Ran ") {
        counts.passed += before(rest, " test");
        return;
    }
    let Some((verdict, sums)) = line.trim_end_matches(')').split_once(" (") else {
        return;
    };
    if !["OK", "FAILED"].contains(&verdict) {
        return;
    }
    for (what, number) in sums
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
    {
        let number = number.parse().unwrap_or(0);
        match what {
            "failures" | "errors" => counts.failed += number,
            "skipped" => counts.skipped += number,
            _ => continue,
        }
        counts.passed = counts.passed.saturating_sub(number);
    }
}

/// `3 passed, 0 failed` or `3 passed, 0 failed, 1 skipped`, and nothing else on the line.
fn read_own(line: &str) -> Option<Counts> {
    let (passed, rest) = line.split_once(" passed, ")?;
    let (failed, skipped) = rest.split_once(" failed")?;
    let skipped = match skipped {
        "" => 0,
        some => {
            let number = some.strip_prefix(", ")?.strip_suffix(" skipped")?;
            number.parse().ok()?
        }
    };
    Some(Counts {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
        skipped,
    })
}

/// The number that stands before a word.
fn before(text: &str, word: &str) -> u64 {
    text.find(word)
        .and_then(|end| text[..end].rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|character| {
            match character {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}
