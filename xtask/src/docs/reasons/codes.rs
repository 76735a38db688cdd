//! The table of codes, from the kit's.

use std::collections::BTreeMap;

use super::super::rust::{functions, word};
use super::super::table;
use crate::repository::Repository;

const HOME: &str = "crates/service-kit/src/fault/code.rs";

/// Who does what about a code, where a reason does not say more.
const ADVICE: [(&str, &str); 16] = [
    ("CANCELLED", "nobody: the call was given up"),
    (
        "UNKNOWN",
        "whoever wrote the code that failed reads the details",
    ),
    ("INVALID_ARGUMENT", "the caller corrects the request"),
    (
        "DEADLINE_EXCEEDED",
        "the caller repeats it if that is safe, with more time",
    ),
    ("NOT_FOUND", "the caller checks the name"),
    (
        "ALREADY_EXISTS",
        "the caller chooses another name, or uses what is there",
    ),
    ("PERMISSION_DENIED", "an operator decides who may"),
    ("UNAUTHENTICATED", "the caller shows other credentials"),
    (
        "RESOURCE_EXHAUSTED",
        "the caller waits as told, then repeats it",
    ),
    (
        "FAILED_PRECONDITION",
        "somebody changes what is named first; repeating it does not help",
    ),
    ("ABORTED", "the caller reads again, then decides again"),
    ("OUT_OF_RANGE", "the caller begins again from what there is"),
    (
        "UNIMPLEMENTED",
        "the caller asks for something else, or an operator updates",
    ),
    ("INTERNAL", "an operator reads the log of the service"),
    ("UNAVAILABLE", "the caller waits, then repeats it"),
    ("DATA_LOSS", "an operator restores a backup"),
];

/// A code as the kit has it.
#[derive(Debug, Default)]
struct Code {
    name: String,
    http: Option<u16>,
    is_retryable: bool,
}

/// The codes by the name of their variant.
#[derive(Debug, Default)]
pub(super) struct Codes {
    by_variant: BTreeMap<String, Code>,
}

impl Codes {
    /// Reads the functions `name`, `http_status` and `is_retryable`.
    pub(super) fn read(repository: &Repository) -> Self {
        let mut codes = Self::default();
        for function in functions(repository.text(HOME).unwrap_or_default()) {
            for (variants, value) in arms(&function.body) {
                for variant in variants {
                    let code = codes.by_variant.entry(variant).or_default();
                    match function.name.as_str() {
                        "name" => value.trim_matches('"').clone_into(&mut code.name),
                        "http_status" => code.http = value.parse().ok(),
                        "is_retryable" => code.is_retryable = value == "true",
                        _ => {}
                    }
                }
            }
        }
        codes.by_variant.retain(|variant, _| variant != "Ok");
        codes
    }

    /// The name of the first code that a text names; empty when it names none.
    pub(super) fn first_in(&self, text: &str) -> &str {
        let mut variants = text.split("Code::").skip(1).map(word);
        let known = variants.find_map(|variant| self.by_variant.get(variant));
        known.map_or("", |code| code.name.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_variant.values().any(|code| code.name == name)
    }

    pub(super) fn http(&self, name: &str) -> Option<u16> {
        self.by_variant
            .values()
            .find(|code| code.name == name)?
            .http
    }

    pub(super) fn advice(&self, name: &str) -> &'static str {
        let known = ADVICE.iter().find(|(code, _)| *code == name);
        known.map_or("–", |(_, advice)| advice)
    }

    pub(super) fn table(&self) -> String {
        let lines = self.by_variant.values().map(|code| {
            vec![
                format!("`{}`", code.name),
                code.http
                    .map_or_else(|| "–".to_owned(), |http| http.to_string()),
                if code.is_retryable { "yes" } else { "no" }.to_owned(),
                self.advice(&code.name).to_owned(),
            ]
        });
        table(
            &["gRPC", "HTTP", "the same again can help", "who does what"],
            lines,
        )
    }
}

/// Arms of a match over codes, as `(variants, value)`.
fn arms(body: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let joined = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = joined.as_str();
    while let Some((pattern, after)) = rest.split_once("=>") {
        let variants = pattern
            .split("Code::")
            .skip(1)
            .map(|text| word(text).to_owned());
        let (value, next) = after.split_once(',').unwrap_or((after, ""));
        found.push((variants.collect(), value.trim().to_owned()));
        rest = next;
    }
    found
}
