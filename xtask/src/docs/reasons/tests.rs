//! From sources to lines of a table.

use super::{Codes, Rows, add, fold_codeless, render, scan};
use crate::repository::Repository;

const CODES: &str = r#"
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::NotFound => "NOT_FOUND",
        Code::Internal => "INTERNAL",
    }
}

pub fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::NotFound => 404,
        Code::Internal => 500,
    }
}
"#;

const ERROR: &str = r#"
/// Not a variant.
#[derive(thiserror::Error)]
pub enum Error {
    /// There is no such shelf.
    #[error("no shelf {0}; count them")]
    NoShelf(u8),
    #[error("broken")]
    Broken,
    #[error(transparent)]
    Inner(Inner),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoShelf(_) => Code::NotFound,
            Self::Broken => Code::Internal,
            Self::Inner(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoShelf(_) => "NO_SHELF",
            Self::Broken => "BROKEN",
            Self::Inner(error) => error.reason(),
        }
    }
}

pub const REASONS: &[Reason] = &[
    ("BROKEN", Code::Internal, "an operator mends it"),
];

impl Problem {
    /// The way leads nowhere.
    fn lost() -> Self {
        let mut problem = Self::new(Code::NotFound, "LOST_WAY", "lost");
        problem.status = StatusCode::METHOD_NOT_ALLOWED;
        problem
    }
}
"#;

fn repository(files: &[(&str, &str)]) -> Repository {
    let kit = ("crates/service-kit/src/fault/code.rs", CODES);
    let files: Vec<_> = files.iter().copied().chain([kit]).collect();
    Repository::of(&files)
}

fn rows(repository: &Repository, codes: &Codes) -> Rows {
    let mut rows = Rows::new();
    for seen in scan::all(repository, codes) {
        add(&mut rows, seen);
    }
    fold_codeless(&mut rows);
    rows
}

#[test]
fn when_an_error_has_reasons_then_code_status_meaning_and_advice_are_in_one_line() {
    let repository = repository(&[("services/cloud/src/error.rs", ERROR)]);
    let codes = Codes::read(&repository);

    let text = render("cloud", &rows(&repository, &codes), &codes);

    let lines: Vec<&str> = text.lines().skip(2).collect();
    let expected = [
        "| `BROKEN` | INTERNAL | 500 | Broken. | an operator mends it | `cloud/error.rs` |",
        "| `LOST_WAY` | NOT_FOUND | 405 | The way leads nowhere. | the caller checks the name | `cloud/error.rs` |",
        "| `NO_SHELF` | NOT_FOUND | 404 | There is no such shelf. | count them | `cloud/error.rs` |",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn when_a_reason_has_no_code_anywhere_then_the_table_has_no_column_for_it() {
    let source = "reasons! {\n    /// It ended\n    /// by itself.\n    EXITED;\n}\n";
    let repository = repository(&[("crates/engine/src/reason.rs", source)]);
    let codes = Codes::read(&repository);

    let text = render("applications", &rows(&repository, &codes), &codes);

    let line = text.lines().nth(2);
    assert_eq!(
        line,
        Some("| `EXITED` | It ended by itself. | `engine/reason.rs` |")
    );
}

#[test]
fn when_sources_and_contract_say_unknown_words_then_each_is_found() {
    let source = "fn f() -> End {\n    end(\"NEVER_TOLD\")\n}\n";
    let repository = repository(&[
        ("services/core/src/end.rs", source),
        (
            "proto/baetyl/x.proto",
            "// `NOT_FOUND` with reason `NEVER_GIVEN`.\n",
        ),
    ]);

    let found = super::tables(&repository).findings;

    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    for start in [
        "services/core/src/end.rs:2: reason: `NEVER_TOLD` has no meaning",
        "proto/baetyl/x.proto:1: reason: nothing gives the reason `NEVER_GIVEN`",
    ] {
        assert!(
            shown.iter().any(|line| line.starts_with(start)),
            "{start}: {shown:#?}"
        );
    }
    assert!(
        !shown.iter().any(|line| line.contains("`NOT_FOUND`")),
        "{shown:#?}"
    );
}
