//! Checks of this workspace that no compiler makes, and the runs that count them.
//!
//! Standard library only, so that it builds in a second and needs no dependency to be
//! compiled first. The recipes of the Justfile are its callers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is its result"
)]

mod breaking;
mod counts;
mod docs;
mod finding;
mod repository;
mod run;
mod tidy;

use std::process::ExitCode;

use finding::Finding;
use repository::Repository;

/// What a command gives: whether all is well, or why it could not be found out.
type Outcome = Result<bool, String>;

const USAGE: &str = "usage: xtask tidy | docs [--write] | test | ci JUST | breaking BUF";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();

    let outcome = match words.as_slice() {
        ["tidy"] => check(tidy::check),
        ["docs"] => check(docs::check),
        ["docs", "--write"] => check(docs::write),
        ["test"] => Repository::open().and_then(|repository| run::test(&repository)),
        ["ci", just] => Repository::open().and_then(|repository| run::ci(&repository, just)),
        ["breaking", buf] => {
            Repository::open().and_then(|repository| breaking::check(&repository, buf))
        }
        _ => Err(USAGE.to_owned()),
    };

    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Runs a check over the repository and prints what it finds.
fn check(find: fn(&Repository) -> Result<Vec<Finding>, String>) -> Outcome {
    let mut findings = find(&Repository::open()?)?;
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    println!("{errors} errors, {} notes", findings.len() - errors);
    Ok(errors == 0)
}
