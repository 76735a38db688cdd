//! What went wrong, as a person reads it: what, where, and what to do next.

use std::fmt;
use std::process::ExitCode;

use baetyl_service_kit::fault::{Fault, Problem, Violation, chain, name};
use tonic::Status;

/// Refused or failed.
const FAILED: u8 = 1;
/// Typed wrongly.
const USAGE: u8 = 2;
/// Not converged in time.
const NOT_CONVERGED: u8 = 3;
/// Bad configuration of a service, after `sysexits.h`.
const CONFIG: u8 = 64;

/// A failed command: its message, ready to print, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// Something on this machine failed.
    pub(crate) fn local(error: impl std::error::Error + 'static) -> Self {
        Self {
            message: chain(&error),
            exit_code: FAILED,
        }
    }

    /// The command was typed wrongly, or lacks something it needs.
    pub(crate) fn usage(message: String) -> Self {
        Self {
            message,
            exit_code: USAGE,
        }
    }

    /// A command failed with this message.
    pub(crate) fn failed(message: String) -> Self {
        Self {
            message,
            exit_code: FAILED,
        }
    }

    /// What was waited for did not happen.
    pub(crate) fn not_converged(message: String) -> Self {
        Self {
            message,
            exit_code: NOT_CONVERGED,
        }
    }

    /// A service's configuration is wrong.
    pub(crate) fn config(error: impl std::error::Error + 'static) -> Self {
        Self {
            message: chain(&error),
            exit_code: CONFIG,
        }
    }

    /// One of our own errors, with its code and reason.
    pub(crate) fn fault(error: &(dyn Fault + 'static)) -> Self {
        let tag = tag(name(error.code()), error.reason());
        Self::failed(format!("{}  {tag}", chain_of(error)))
    }

    /// A problem that a server told.
    pub(crate) fn problem(problem: &Problem) -> Self {
        Self::failed(render(problem, ""))
    }

    /// A server's answer. `subject` says what was asked, for example a file's name.
    pub(crate) fn status(status: &Status, subject: &str) -> Self {
        Self::failed(render(&Problem::from_status(status), subject))
    }

    /// Prints the failure and gives the exit code.
    #[expect(clippy::print_stderr, reason = "talk goes to standard error")]
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {}", self.message);
        ExitCode::from(self.exit_code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::status(&status, "")
    }
}

fn chain_of(error: &(dyn Fault + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

fn tag(code: &str, reason: &str) -> String {
    if code == reason {
        format!("[{code}]")
    } else {
        format!("[{code} / {reason}]")
    }
}

/// First line what and why, then each wrong field or precondition, then the advice.
fn render(problem: &Problem, subject: &str) -> String {
    let tag = tag(name(problem.code), &problem.reason);
    let mut text = match problem.violations.len() {
        0 => problem.message.clone(),
        1 => format!("1 field is wrong{subject}, nothing was stored"),
        count => format!("{count} fields are wrong{subject}, nothing was stored"),
    };
    text.push_str("  ");
    text.push_str(&tag);
    text.push_str(&violations(&problem.violations));
    for precondition in &problem.preconditions {
        text.push_str(&format!(
            "\n    {}   {}",
            precondition.subject, precondition.description
        ));
    }
    if let Some(advice) = advice(problem) {
        text.push_str("\n  ");
        text.push_str(&advice);
    }
    text
}

/// One line a field, the descriptions aligned.
pub(crate) fn violations(violations: &[Violation]) -> String {
    let width = violations.iter().map(|v| v.field.chars().count()).max();
    let width = width.unwrap_or(0).min(48);
    violations
        .iter()
        .map(|v| format!("\n    {:width$}   {}", v.field, v.description))
        .collect()
}

fn advice(problem: &Problem) -> Option<String> {
    let advice = match problem.reason.as_str() {
        "ETAG_MISMATCH" => "read it again, and repeat your change on what is there now",
        "IN_USE" => "remove it from its users first, or use --force",
        "NODE_OFFLINE" => "see `baetyl describe node` for since when, or ask the node with --edge",
        "CONNECT_UNREACHABLE" | "CLOUD_UNREACHABLE" => "is it running? try `baetyl up`",
        "OVERLOADED" | "NO_RUNTIME" => "try again in a moment; `baetyl get apps` shows what is up",
        _ => match problem.code {
            tonic::Code::Unauthenticated => "make a token with `baetyl token create`",
            _ => return None,
        },
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests;
