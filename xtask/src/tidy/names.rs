//! Type names that say nothing, and names of tests.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::repository::{Repository, is_generated};

/// Words that stand where a noun should.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Helper", "Info", "Data", "Util", "Utils"];

/// Names that somebody else dictates, with who does. What the contract defines is
/// found in the generated code and needs no line here.
const DICTATED: [(&str, &str); 3] = [
    ("PhantomData", "standard library"),
    ("ErrorInfo", "google.rpc"),
    ("Data", "http_body::Body"),
];

/// Checks every type and every function.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    let contract = contract_names(repository);
    for (path, text) in repository.rust() {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = defined_type(line)
                && let Some(word) = empty_word(name)
                && !contract.contains(name)
                && !DICTATED.iter().any(|(known, _)| *known == name)
            {
                let message = format!("`{name}`: {word} says nothing, name what it is");
                findings.push(Finding::error(path, index + 1, "name", message));
            }
            if line.starts_with(concat!("fn ", "test_"))
                || line.starts_with(concat!("async fn ", "test_"))
            {
                let message = "name the behaviour: when_x_then_y";
                findings.push(Finding::error(path, index + 1, "test-name", message));
            }
        }
    }
}

/// Types that the generated code defines, and so the contract.
fn contract_names(repository: &Repository) -> BTreeSet<&str> {
    repository
        .ending(".rs")
        .filter(|(path, _)| is_generated(path))
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| defined_type(line.trim()))
        .collect()
}

/// The name that a line defines as a type.
fn defined_type(line: &str) -> Option<&str> {
    let rest = if let Some(restricted) = line.strip_prefix("pub(") {
        restricted.split_once(')')?.1.trim_start()
    } else {
        line.strip_prefix("pub ").unwrap_or(line)
    };
    let rest = ["struct ", "enum ", "trait ", "type ", "union "]
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))?;
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The first empty word in a name in camel case: `NodeInfo`, but not `Metadata`.
pub(super) fn empty_word(name: &str) -> Option<&'static str> {
    let mut words = Vec::new();
    let mut start = 0;
    for (at, character) in name.char_indices() {
        if at > 0 && character.is_uppercase() {
            words.push(&name[start..at]);
            start = at;
        }
    }
    words.push(&name[start..]);
    EMPTY_WORDS.into_iter().find(|empty| words.contains(empty))
}
