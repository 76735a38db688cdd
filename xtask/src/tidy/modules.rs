//! Files that no `mod` declaration reaches: they look like code and are never compiled.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::repository::{Repository, is_generated};

/// Checks the `src` folder of every package.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    for package in repository.packages() {
        let source = format!("{package}/src/");
        let mut reached = BTreeSet::new();
        for root in roots(repository, &source) {
            follow(repository, &root, true, &mut reached);
        }
        for (path, _) in repository.ending(".rs") {
            if path.starts_with(&source) && !is_generated(path) && !reached.contains(path) {
                let message = "no `mod` declaration reaches this file";
                findings.push(Finding::error(path, 1, "orphan", message));
            }
        }
    }
}

/// Files that cargo compiles by itself.
fn roots(repository: &Repository, source: &str) -> Vec<String> {
    let programs = format!("{source}bin/");
    repository
        .ending(".rs")
        .map(|(path, _)| path)
        .filter(|path| {
            let in_programs = path.strip_prefix(&programs);
            *path == format!("{source}lib.rs")
                || *path == format!("{source}main.rs")
                || in_programs.is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
        })
        .map(str::to_owned)
        .collect()
}

/// Adds `path` and all that its declarations reach.
fn follow(repository: &Repository, path: &str, is_root: bool, reached: &mut BTreeSet<String>) {
    let Some(text) = repository.text(path) else {
        return;
    };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let children = if is_root || file == "mod.rs" {
        folder.to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    let mut given_path = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            given_path = rest.split('"').next();
        } else if let Some(name) = declared(line) {
            let targets = match given_path.take() {
                Some(given) => vec![format!("{folder}/{given}")],
                None => vec![
                    format!("{children}/{name}.rs"),
                    format!("{children}/{name}/mod.rs"),
                ],
            };
            for target in targets {
                follow(repository, &target, false, reached);
            }
        }
    }
}

/// The name in `mod name;`, whatever its visibility.
pub(super) fn declared(line: &str) -> Option<&str> {
    let rest = if let Some(restricted) = line.strip_prefix("pub(") {
        restricted.split_once(')')?.1.trim_start()
    } else {
        line.strip_prefix("pub ").unwrap_or(line)
    };
    let name = rest.strip_prefix("mod ")?.split(';').next()?;
    let is_declaration = rest.contains(';') && !rest.contains('{');
    is_declaration.then(|| name.trim_start_matches("r#").trim())
}
