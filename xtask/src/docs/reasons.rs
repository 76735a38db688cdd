//! docs/errors.md: every stable reason, from the sources that give it.
//!
//! A reason and its meaning are written once: as the variant of an error that
//! `fn reason` names, as a documented constant, in a table of reasons, as the function that
//! makes the refusal, or, for the words of frames and conditions, in [`words`].

#[cfg(test)]
mod tests;

mod codes;
mod scan;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{is_upper_snake, literals};
use super::{Tables, table};
use crate::finding::Finding;
use crate::repository::{Repository, is_test};
use codes::Codes;
use scan::Seen;

const DOCUMENT: &str = "docs/errors.md";

/// A table of the document, and the folders whose reasons are in it. The first that a path
/// begins with is its place.
const AREAS: [(&str, &[&str]); 12] = [
    (
        "fields",
        &["crates/model/", "crates/proto/", "crates/shadow/"],
    ),
    ("kit", &["crates/service-kit/"]),
    ("files", &["crates/pki/"]),
    ("applications", &["crates/engine/src/reason.rs"]),
    ("processes", &["crates/process/"]),
    (
        "nodes",
        &[
            "services/cloud/src/activation",
            "services/cloud/src/authority",
            "services/cloud/src/matching",
            "services/cloud/src/operations",
            "services/cloud/src/status",
            "services/cloud/src/sync",
        ],
    ),
    ("cloud", &["services/cloud/"]),
    ("core", &["services/core/", "crates/engine/"]),
    ("function", &["services/function/"]),
    ("runtime", &["services/runtime/"]),
    ("join", &["services/init/"]),
    ("gateway", &["gateway/"]),
];

/// Tables of words that travel in frames and resources, where there is no code.
const FRAMES: [&str; 2] = ["streams", "conditions"];

/// Ends of files whose upper-case words are no reasons: codes, variables, documents for tests.
const OTHERS: [&str; 4] = [
    "fault/code.rs",
    "/environment.rs",
    "/fixture.rs",
    "/testing.rs",
];

/// Beginnings of upper-case words that are names of variables or of Linux capabilities.
const NAMES: [&str; 9] = [
    "BAETYL_",
    "CARGO_",
    "HELM_",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NET_ADMIN",
    "NO_PROXY",
    "SYS_ADMIN",
    "XDG_",
];

/// One line of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    http: Option<u16>,
    meanings: Vec<String>,
    /// From a table of reasons.
    advice: Vec<String>,
    /// From the message.
    hints: Vec<String>,
    sources: BTreeSet<String>,
}

/// Area, reason and code; the code is empty where there is none.
type Key = (&'static str, String, String);

type Rows = BTreeMap<Key, Row>;

/// The tables of the document, and what keeps them from being whole.
pub(super) fn tables(repository: &Repository) -> Tables {
    let codes = Codes::read(repository);
    let mut findings = Vec::new();
    let mut rows = Rows::new();
    for seen in scan::all(repository, &codes) {
        add(&mut rows, seen);
    }
    words::add(repository, &mut rows, &mut findings);
    fold_codeless(&mut rows);
    for ((area, reason, _), row) in rows.iter().filter(|(_, row)| row.meanings.is_empty()) {
        let message = format!(
            "`{reason}` of {} has no meaning (area {area}): document it where it is made, or in \
             xtask/src/docs/reasons/words.txt",
            row.sources.iter().cloned().collect::<Vec<_>>().join(", "),
        );
        findings.push(Finding::error(DOCUMENT, 1, "reason", message));
    }
    find_undocumented(repository, &rows, &codes, &mut findings);
    find_unknown_in_contract(repository, &rows, &codes, &mut findings);

    let mut regions = vec![("codes", codes.table())];
    for area in AREAS.iter().map(|(area, _)| *area).chain(FRAMES) {
        regions.push((area, render(area, &rows, &codes)));
    }
    Tables {
        document: DOCUMENT,
        regions,
        findings,
    }
}

/// The area of a file, unless no reason of it leaves the process.
fn area(path: &str) -> Option<&'static str> {
    let of_path = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    let (area, _) = AREAS.iter().find(|(_, starts)| of_path(starts))?;
    Some(area)
}

/// Files whose reasons callers see.
fn sources(repository: &Repository) -> impl Iterator<Item = (&'static str, &str, &str)> {
    repository
        .rust()
        .filter(|(path, _)| path.contains("/src/") && !is_test(path))
        .filter(|(path, _)| !OTHERS.iter().any(|end| path.ends_with(end)))
        .filter_map(|(path, text)| Some((area(path)?, path, text)))
}

fn add(rows: &mut Rows, seen: Seen) {
    let row = rows.entry((seen.area, seen.reason, seen.code)).or_default();
    row.http = row.http.or(seen.http);
    row.sources.insert(shown(&seen.path));
    for (known, new) in [
        (&mut row.meanings, seen.meaning),
        (&mut row.advice, seen.advice),
        (&mut row.hints, seen.hint),
    ] {
        if !new.is_empty() && !known.contains(&new) {
            known.push(new);
        }
    }
}

/// `services/cloud/src/error.rs` is `cloud/error.rs`.
fn shown(path: &str) -> String {
    let path = path
        .trim_start_matches("services/")
        .trim_start_matches("crates/");
    path.replace("/src/", "/")
}

/// A reason without a code is the word for one that has a code in the same area: its sources
/// belong there.
fn fold_codeless(rows: &mut Rows) {
    let codeless: Vec<_> = rows
        .keys()
        .filter(|(_, _, code)| code.is_empty())
        .cloned()
        .collect();
    for key in codeless {
        let with_code =
            |other: &&Key| (other.0, &other.1) == (key.0, &key.1) && !other.2.is_empty();
        let targets: Vec<_> = rows.keys().filter(with_code).cloned().collect();
        let Some(row) = rows.get(&key).filter(|_| !targets.is_empty()).cloned() else {
            continue;
        };
        rows.remove(&key);
        for target in targets {
            let known = rows.entry(target).or_default();
            known.sources.extend(row.sources.iter().cloned());
            if known.meanings.is_empty() {
                known.meanings.clone_from(&row.meanings);
            }
        }
    }
}

/// Stable words in the sources that no table has.
fn find_undocumented(
    repository: &Repository,
    rows: &Rows,
    codes: &Codes,
    findings: &mut Vec<Finding>,
) {
    let known: BTreeSet<&str> = rows.keys().map(|(_, reason, _)| reason.as_str()).collect();
    for (_, path, text) in sources(repository) {
        for literal in literals(text) {
            let word = literal.value;
            let is_reason = word.contains('_')
                && is_upper_snake(word)
                && !NAMES.iter().any(|start| word.starts_with(start));
            if is_reason && !known.contains(word) && !codes.has(word) {
                let message = format!(
                    "`{word}` has no meaning: document it where it is made, or in \
                     xtask/src/docs/reasons/words.txt"
                );
                findings.push(Finding::error(path, literal.line, "reason", message));
            }
        }
    }
}

/// Stable words that the contract promises and nothing gives.
fn find_unknown_in_contract(
    repository: &Repository,
    rows: &Rows,
    codes: &Codes,
    findings: &mut Vec<Finding>,
) {
    let known: BTreeSet<&str> = rows.keys().map(|(_, reason, _)| reason.as_str()).collect();
    for (path, text) in repository.ending(".proto") {
        if !path.starts_with("proto/") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else {
                continue;
            };
            let quoted = comment.split('`').skip(1).step_by(2);
            for word in quoted.flat_map(|text| text.split('/')) {
                let is_reason = word.contains('_')
                    && is_upper_snake(word)
                    && !NAMES.iter().any(|start| word.starts_with(start));
                if is_reason && !known.contains(word) && !codes.has(word) {
                    let message = format!("nothing gives the reason `{word}`");
                    findings.push(Finding::error(path, index + 1, "reason", message));
                }
            }
        }
    }
}

fn render(area: &str, rows: &Rows, codes: &Codes) -> String {
    let of_area: Vec<_> = rows.iter().filter(|((of, _, _), _)| *of == area).collect();
    let has_codes = of_area.iter().any(|((_, _, code), _)| !code.is_empty());
    let lines = of_area.iter().map(|((_, reason, code), row)| {
        let reason = format!("`{reason}`");
        let meaning = row.meanings.join(" ");
        let from: Vec<String> = row.sources.iter().map(|path| format!("`{path}`")).collect();
        let from = from.join(", ");
        if !has_codes {
            return vec![reason, meaning, from];
        }
        let http = row.http.or_else(|| codes.http(code));
        let advice = match (&row.advice[..], &row.hints[..]) {
            ([], []) => codes.advice(code).to_owned(),
            ([], hints) => hints.join("; "),
            (advice, _) => advice.join("; "),
        };
        let code = if code.is_empty() { "–" } else { code };
        let http = http.map_or_else(|| "–".to_owned(), |http| http.to_string());
        vec![reason, code.to_owned(), http, meaning, advice, from]
    });
    let head: &[&str] = if has_codes {
        &["reason", "gRPC", "HTTP", "meaning", "who does what", "from"]
    } else {
        &["reason", "meaning", "from"]
    };
    table(head, lines)
}
