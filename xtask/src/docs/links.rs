//! Links that lead nowhere, and commands that do not exist.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::repository::Repository;

/// Every dead link and unknown recipe in every Markdown file.
pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let recipes = recipes(repository.text("Justfile").unwrap_or_default());
    let mut findings = Vec::new();
    for (path, text) in repository.ending(".md") {
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            let mut report = |rule, message: String| {
                findings.push(Finding::error(path, index + 1, rule, message));
            };
            for name in named_recipes(line).filter(|name| !recipes.contains(name)) {
                report("recipe", format!("the Justfile has no recipe `{name}`"));
            }
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for link in links(line) {
                if let Some(message) = fault(repository, path, link) {
                    report("link", message);
                }
            }
        }
    }
    findings
}

/// Targets of `[text](target)`, outside of code.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split('`')
        .step_by(2)
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .filter_map(|target| target.split_whitespace().next())
}

/// What is wrong with a link, if it stays in the repository.
fn fault(repository: &Repository, from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (target, heading) = link
        .split_once('#')
        .map_or((link, None), |(t, h)| (t, Some(h)));
    let path = if target.is_empty() {
        Some(from.to_owned())
    } else {
        resolve(from, target)
    };
    let Some(path) = path.filter(|path| repository.has(path)) else {
        return Some(format!("`{link}` leads nowhere"));
    };
    let heading = heading.filter(|_| path.ends_with(".md"))?;
    let text = repository.text(&path).unwrap_or_default();
    let found = text
        .lines()
        .filter_map(anchor)
        .any(|anchor| anchor == heading);
    (!found).then(|| format!("`{link}`: {path} has no such heading"))
}

/// The path that a relative link means, from the top of the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    if let Some(absolute) = target.strip_prefix('/') {
        return Some(absolute.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchor of a heading, as code hosts make it.
fn anchor(line: &str) -> Option<String> {
    let heading = line
        .strip_prefix('#')?
        .trim_start_matches('#')
        .strip_prefix(' ')?;
    let anchor = heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect();
    Some(anchor)
}

/// Recipes that a text calls as `./just recipe`.
fn named_recipes(line: &str) -> impl Iterator<Item = &str> {
    line.split("./just ").skip(1).filter_map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_lowercase() && c != '-')
            .unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('-');
        (!name.is_empty()).then_some(name)
    })
}

/// Recipes of a Justfile.
fn recipes(justfile: &str) -> BTreeSet<&str> {
    justfile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter(|line| !line.contains(":=") && line.contains(':'))
        .filter_map(|line| line.split([' ', ':']).next())
        .collect()
}
