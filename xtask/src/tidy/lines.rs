//! What no line may say.

use crate::finding::Finding;
use crate::repository::{Repository, is_generated, is_test};

/// Written in two parts, so that this file does not break its own rules.
const MARKS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
];

const IGNORE: &str = concat!("#[", "ignore]");
const SHOULD_PANIC: &str = concat!("#[", "should_panic");
const SHELL: &str = concat!("sh", " -c");
const SPAWN: &str = concat!("tokio::", "spawn(");
/// Keeps the tracker, and so spawns what the tracker itself must not wait for.
const SPAWN_HOME: &str = "crates/service-kit/src/shutdown.rs";
const PEM: &str = concat!("rustls", "_pemfile");
const PEM_HOME: &str = "crates/pki/src/pem.rs";

/// Shells by the names under which a program would start them.
const SHELLS: [&str; 4] = ["sh", "bash", "/bin/sh", "/bin/bash"];

/// Folders that exist on somebody's machine only.
const MACHINE_FOLDERS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Kinds of files that people write and read.
const TEXTS: [&str; 13] = [
    ".rs", ".proto", ".md", ".py", ".js", ".mjs", ".sh", ".toml", ".yaml", ".yml", ".json", ".txt",
    "Justfile",
];

/// Checks every line of every text.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    for (path, text) in repository.files() {
        if is_generated(path)
            || path.starts_with("third_party/")
            || !TEXTS.iter().any(|end| path.ends_with(end))
        {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let mut report = |rule, message: String| {
                findings.push(Finding::error(path, index + 1, rule, message));
            };
            check_any(path, line, &mut report);
            if path.ends_with(".rs") {
                check_rust(path, line, &mut report);
            }
        }
    }
}

fn check_any(path: &str, line: &str, report: &mut impl FnMut(&'static str, String)) {
    if let Some(mark) = MARKS.iter().find(|mark| line.contains(*mark)) {
        // Documents may name the rule; code may not break it.
        if !path.ends_with(".md") {
            report(
                "unfinished",
                format!("{mark} is an issue or a fix, not a line"),
            );
        }
    }
    if let Some(folder) = MACHINE_FOLDERS
        .iter()
        .find(|folder| names_folder(line, folder))
    {
        report("machine", format!("{folder} exists on one machine only"));
    }
}

/// Whether an absolute path starts with the folder, rather than some longer path holding it.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,<[".contains(c))
    })
}

fn check_rust(path: &str, line: &str, report: &mut impl FnMut(&'static str, String)) {
    if line.trim_start().starts_with("//") {
        return;
    }
    if line.contains(IGNORE) {
        report("ignore", "an ignored test says why".to_owned());
    }
    if line.contains(SHOULD_PANIC) {
        report(
            "should-panic",
            "assert on the error that is returned".to_owned(),
        );
    }
    if line.contains(PEM) && path != PEM_HOME {
        report("pem", format!("{PEM} is named in {PEM_HOME} only"));
    }
    let starts_shell = SHELLS
        .iter()
        .any(|shell| line.contains(&format!("Command::new(\"{shell}\")")));
    // In tests a shell is the process under test.
    if (line.contains(SHELL) || starts_shell) && !is_test(path) {
        report(
            "shell",
            "no shell string is built: pass arguments".to_owned(),
        );
    }
    let may_spawn = is_test(path) || path == SPAWN_HOME || path.starts_with("benches/");
    if line.contains(SPAWN) && !may_spawn {
        report(
            "spawn",
            "a task has an owner: TaskTracker or JoinSet".to_owned(),
        );
    }
}
