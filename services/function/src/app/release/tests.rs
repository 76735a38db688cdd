//! Which releases may be the same.

use super::{MAX_LABEL_BYTES, Release, is_label};

fn release(revision: u64, label: &str) -> Release {
    Release {
        revision,
        label: label.to_owned(),
    }
}

#[test]
fn when_both_labels_are_known_then_they_must_be_equal() {
    for (one, other, is_match) in [
        (release(1, "a"), release(1, "a"), true),
        (release(1, "a"), release(1, "b"), false),
        (release(1, "a"), release(2, "a"), false),
        (release(1, ""), release(1, "b"), true),
        (release(1, ""), release(1, ""), true),
        (release(1, ""), release(2, ""), false),
    ] {
        assert_eq!(one.matches(&other), is_match, "{one:?} and {other:?}");
        assert_eq!(other.matches(&one), is_match, "{other:?} and {one:?}");
    }
}

#[test]
fn when_a_label_is_too_long_then_it_is_none() {
    assert!(is_label(""));
    assert!(is_label(&"a".repeat(MAX_LABEL_BYTES)));
    assert!(!is_label(&"a".repeat(MAX_LABEL_BYTES + 1)));
}
