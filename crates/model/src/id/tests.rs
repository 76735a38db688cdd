//! Which texts are identifiers.

use proptest::prelude::*;

use super::{IdError, Kind, Name, NamespaceName, ServiceName, Uid};

fn is_name(text: &str) -> bool {
    Name::parse(text).is_ok()
}

#[test]
fn when_text_follows_the_rule_then_it_is_a_name() {
    let longest = "a".repeat(63);
    for text in ["ab", "a0", "a.b", "a-b.c", "0a", "a..b", longest.as_str()] {
        assert!(is_name(text), "{text}");
    }
}

#[test]
fn when_text_breaks_the_rule_then_it_is_refused_with_a_reason() {
    let too_long = "a".repeat(64);
    let wrong = [
        "",
        "a",
        "-a",
        "a-",
        ".a",
        "a.",
        "aB",
        "a_b",
        "ä1",
        "a b",
        "a/b",
        too_long.as_str(),
    ];
    for text in wrong {
        let refused = Name::parse(text).map_err(|error| error.reason);
        assert_eq!(refused, Err("INVALID_NAME"), "{text}");
    }
}

#[test]
fn when_name_has_a_dot_then_it_is_neither_tenant_nor_service() {
    assert!(NamespaceName::parse("a.b").is_err());
    assert!(ServiceName::parse("a.b").is_err());
    assert!(Name::parse_for(Kind::Namespace, "a.b").is_err());
}

#[test]
fn when_application_has_more_than_55_characters_then_it_is_refused() {
    assert!(Name::parse_for(Kind::Application, &"a".repeat(55)).is_ok());
    assert!(Name::parse_for(Kind::Application, &"a".repeat(56)).is_err());
    assert!(Name::parse_for(Kind::Node, &"a".repeat(56)).is_ok());
}

#[test]
fn when_uid_is_drawn_then_it_reads_back() {
    let uid = Uid::random();

    assert_eq!(Uid::parse(uid.as_str()), Ok(uid));
}

#[test]
fn when_text_is_no_canonical_uuid_of_version_4_then_it_is_no_uid() {
    let wrong = [
        "",
        "67e5504410b1426f9247bb680e5fe0c8",
        "67E55044-10B1-426F-9247-BB680E5FE0C8",
        "67e55044-10b1-126f-9247-bb680e5fe0c8",
    ];
    for text in wrong {
        assert!(
            matches!(
                Uid::parse(text),
                Err(IdError {
                    reason: "INVALID_UID",
                    ..
                })
            ),
            "{text}"
        );
    }
}

#[test]
fn when_kind_is_printed_then_both_spellings_read_back() {
    for kind in Kind::ALL {
        assert_eq!(kind.title().parse(), Ok(kind));
        assert_eq!(kind.word().parse(), Ok(kind));
    }
    assert!("Pod".parse::<Kind>().is_err());
}

proptest! {
    #[test]
    fn when_any_text_is_a_name_then_it_prints_as_it_was(text in "\\PC{0,70}") {
        if let Ok(name) = Name::parse(&text) {
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn when_text_is_drawn_from_the_grammar_then_it_is_a_name(
        text in "[a-z0-9][a-z0-9.-]{0,61}[a-z0-9]",
    ) {
        prop_assert!(is_name(&text));
    }
}
