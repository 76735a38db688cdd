//! `breaking`: compares the contract with the previous commit.
//!
//! Before the first release a break may be overruled: a new line in CHANGELOG.md under
//! `Unreleased` that starts with `proto-breaking:` and says why. It counts for the commit
//! that adds it, not for the ones after.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::repository::{Repository, git};

const MARK: &str = "proto-breaking:";
const CHANGELOG: &str = "CHANGELOG.md";

/// Compares, and says with what.
pub(crate) fn check(repository: &Repository, buf: &str) -> Outcome {
    let root = &repository.root;
    let Some(base) = base(root) else {
        println!("breaking: there is no earlier commit to compare with");
        return Ok(true);
    };
    let short = &base[..base.len().min(10)];
    if git(root, &["cat-file", "-e", &format!("{base}:buf.yaml")]).is_err() {
        println!("breaking: {short} has no contract to compare with");
        return Ok(true);
    }

    let folder = root.join("target");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let archive = folder.join("breaking.tar").display().to_string();
    let contract = ["buf.yaml", "proto", "third_party"];
    let mut arguments = vec!["archive", "-o", &archive, &base, "--"];
    arguments.extend(contract);
    git(root, &arguments)?;

    println!("breaking: comparing with {short}");
    let status = Command::new(buf)
        .args(["breaking", "--against", &archive])
        .current_dir(root)
        .status()
        .map_err(|error| format!("cannot run {buf}: {error}"))?;
    if status.success() {
        return Ok(true);
    }
    let before = git(root, &["show", &format!("{base}:{CHANGELOG}")]).unwrap_or_default();
    let now = repository.text(CHANGELOG).unwrap_or_default();
    match new_reason(&before, now) {
        Some(reason) => {
            println!("breaking: overruled: {reason}");
            Ok(true)
        }
        None => {
            println!(
                "breaking: to overrule, add `- {MARK} <reason>` under Unreleased in {CHANGELOG}"
            );
            Ok(false)
        }
    }
}

/// The commit before what is being checked: main as published, unless that is what is
/// checked out; else the last commit when the contract has changed since, else the one
/// before it.
fn base(root: &Path) -> Option<String> {
    let commit = |name: &str| {
        let name = format!("{name}^{{commit}}");
        let found = git(root, &["rev-parse", "--verify", "--quiet", &name]).ok()?;
        Some(found.trim().to_owned())
    };
    let head = commit("HEAD")?;
    if let Some(published) = commit("origin/main")
        && published != head
    {
        return Some(published);
    }
    let changed = git(root, &["status", "--porcelain", "--", "proto", "buf.yaml"]).ok()?;
    if changed.trim().is_empty() {
        commit("HEAD~1")
    } else {
        Some(head)
    }
}

/// The first reason under `Unreleased` that the earlier text does not have.
fn new_reason<'a>(before: &str, now: &'a str) -> Option<&'a str> {
    let known: Vec<&str> = reasons(before).collect();
    reasons(now).find(|reason| !known.contains(reason))
}

fn reasons(changelog: &str) -> impl Iterator<Item = &str> {
    changelog
        .lines()
        .skip_while(|line| !(line.starts_with("## ") && line.contains("Unreleased")))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.trim_start_matches(['-', '*', ' ']).strip_prefix(MARK))
        .map(str::trim)
        .filter(|reason| !reason.is_empty())
}
