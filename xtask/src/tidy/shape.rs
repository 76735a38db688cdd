//! The shape of files: purpose first, small, in the right place, in the right order.

use crate::finding::Finding;
use crate::repository::{Repository, is_test};

/// Above this a module asks to be split.
const GOOD_LINES: usize = 300;
/// Above this it must be.
const MOST_LINES: usize = 500;
/// Tables of cases are long and still easy to read.
const MOST_TEST_LINES: usize = 800;

/// The kit is a closed list: what knows a domain word belongs elsewhere.
const KIT: [&str; 8] = [
    "lib",
    "config",
    "telemetry",
    "tls",
    "shutdown",
    "serve",
    "fault",
    "backoff",
];
const KIT_SOURCE: &str = "crates/service-kit/src/";

/// Inside a service: which part of `src` may not name what. Downward only.
const INSIDE: [(&str, &[&str]); 2] = [
    (
        "store",
        &[
            "crate::app::",
            "crate::api::",
            "crate::server::",
            "tonic::Status",
        ],
    ),
    ("app", &["crate::api::", "crate::server::", "tonic::Status"]),
];

/// Checks every file that people write.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    for (path, text) in repository.rust() {
        if path.ends_with("/mod.rs") {
            let message = "name it after the module: foo.rs beside foo/";
            findings.push(Finding::error(path, 1, "mod-file", message));
        }
        if !text.starts_with("//!") {
            let message = "the first line says what the file is for (//!)";
            findings.push(Finding::error(path, 1, "purpose", message));
        }
        check_size(path, text, findings);
        check_kit(path, findings);
        check_inside(path, text, findings);
    }
}

fn check_size(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    let most = if is_test(path) {
        MOST_TEST_LINES
    } else {
        MOST_LINES
    };
    if lines > most {
        let message = format!("{lines} lines, {most} is the limit");
        findings.push(Finding::error(path, lines, "size", message));
    } else if lines > GOOD_LINES && !is_test(path) {
        let message = format!("{lines} lines, {GOOD_LINES} is a good module");
        findings.push(Finding::note(path, lines, "size", message));
    }
}

fn check_kit(path: &str, findings: &mut Vec<Finding>) {
    let Some(inside) = path.strip_prefix(KIT_SOURCE) else {
        return;
    };
    let module = inside
        .split('/')
        .next()
        .unwrap_or(inside)
        .trim_end_matches(".rs");
    if !KIT.contains(&module) {
        let message = format!("`{module}` is not in the kit's closed list");
        findings.push(Finding::error(path, 1, "kit", message));
    }
}

fn check_inside(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let Some((_, inside)) = path
        .strip_prefix("services/")
        .and_then(|p| p.split_once("/src/"))
    else {
        return;
    };
    let part = inside
        .split('/')
        .next()
        .unwrap_or(inside)
        .trim_end_matches(".rs");
    let Some((_, banned)) = INSIDE.iter().find(|(known, _)| *known == part) else {
        return;
    };
    if is_test(path) {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with("//");
        if let Some(name) = banned
            .iter()
            .find(|name| !is_comment && line.contains(*name))
        {
            let message = format!("`{part}` may not name {name}");
            findings.push(Finding::error(path, index + 1, "inside", message));
        }
    }
}
