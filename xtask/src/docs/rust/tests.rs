//! Reading of definitions, functions, matches and literals.

use super::{arms, definitions, functions, literals};

const SOURCE: &str = r#"//! Purpose.
use std::io;

/// An error;
/// in two lines.
///
/// More.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// First (of them).
    #[error(
        "a } long text"
    )]
    One { path: PathBuf },
    #[error(transparent)]
    Two(#[from] io::Error),
    Three,
}

/// Settings.
struct Settings {
    /// A field.
    #[serde(rename = "x")]
    pub first: Option<Vec<u8>>,
    pub(super) second: bool,
}

struct Unit;

impl<T: Into<u8>> baetyl::Fault for Error<T> {
    /// Says why.
    fn reason(
        &self,
    ) -> &'static str {
        // A comment.
        match self {
            Self::One { .. } | Self::Two(_) => "A_B",
            Self::Three => {
                let brace = "}";
                "C"
            }
        }
    }
}

fn free() {}

pub const fn other() -> u8 {
    1
}
"#;

#[test]
fn when_types_are_read_then_members_have_docs_attributes_and_kinds() {
    let found = definitions(SOURCE);

    let names: Vec<_> = found.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["Error", "Settings", "Unit"]);
    let error = &found[0];
    assert!(error.is_enum && error.attributes.contains("thiserror"));
    assert_eq!(error.docs, "An error; in two lines.");
    let variants: Vec<_> = error
        .members
        .iter()
        .map(|m| (m.name.as_str(), m.kind.as_str()))
        .collect();
    let expected = [
        ("One", " { path: PathBuf }"),
        ("Two", "(#[from] io::Error)"),
        ("Three", ""),
    ];
    assert_eq!(variants, expected);
    assert_eq!(error.members[0].docs, "First (of them).");
    assert!(error.members[0].attributes.contains("a } long text"));
    let fields = &found[1].members;
    assert_eq!(
        (fields[0].name.as_str(), fields[0].kind.as_str()),
        ("first", "Option<Vec<u8>>")
    );
    assert_eq!((fields[1].name.as_str(), fields[1].line), ("second", 25));
}

#[test]
fn when_functions_are_read_then_they_know_their_type_and_trait() {
    let found = functions(SOURCE);

    let heads: Vec<_> = found
        .iter()
        .map(|f| (f.name.as_str(), f.of_trait.as_str(), f.of_type.as_str()))
        .collect();
    assert_eq!(
        heads,
        [
            ("reason", "Fault", "Error"),
            ("free", "", ""),
            ("other", "", "")
        ]
    );
    assert_eq!(found[0].docs, "Says why.");
    assert!(!found[0].body.contains("comment"));
    assert_eq!(found[2].body, "    1\n");
}

#[test]
fn when_a_match_is_read_then_each_arm_has_its_variants_and_value() {
    let body = &functions(SOURCE)[0].body;

    let found = arms(body);

    assert_eq!(found[0].variants, ["One", "Two"]);
    assert_eq!(found[0].value, "\"A_B\"");
    assert_eq!(found[1].variants, ["Three"]);
    assert!(found[1].value.ends_with("\"C\""), "{:?}", found[1].value);
    assert_eq!(found.len(), 2);
    assert_eq!(arms("    \"ALL\"\n")[0].value, "\"ALL\"");
}

#[test]
fn when_literals_are_read_then_comments_characters_and_raw_texts_do_not_confuse() {
    let text = "// \"no\"\nlet a = '\"'; let b: &'static str = \"x\\\"y\";\nlet c = r#\"q\"q\"#; f('\\'', b\"z\");";

    let found: Vec<_> = literals(text)
        .iter()
        .map(|each| (each.value, each.line))
        .collect();

    assert_eq!(found, [("x\\\"y", 2), ("q\"q", 3), ("z", 3)]);
}
