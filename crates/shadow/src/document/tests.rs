//! What a document takes, and what it refuses.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Document, MAX_BYTES, MAX_DEPTH};
use crate::Error;
use crate::arbitrary::{document, documents, nested};

#[test]
fn when_a_member_is_null_then_it_is_refused_with_its_place() {
    let rows = [
        (json!({"a": null}), "/a"),
        (json!({"a": {"b/c": {"~": null}}}), "/a/b~1c/~0"),
        (json!({"a": [1, [{"b": null}]]}), "/a/1/0/b"),
    ];
    for (value, path) in rows {
        let expected = Error::NullMember { path: path.into() };
        assert_eq!(Document::try_from(value), Err(expected));
    }
}

#[test]
fn when_an_element_of_an_array_is_null_then_it_is_taken() {
    assert!(Document::parse(br#"{"a": [null, 1]}"#).is_ok());
}

#[test]
fn when_it_is_no_object_then_it_is_refused() {
    for text in ["1", "null", "[]", "\"a\""] {
        assert_eq!(Document::parse(text.as_bytes()), Err(Error::NotAnObject));
    }
}

#[test]
fn when_it_is_not_json_then_the_place_is_named() {
    let expected = Error::Json { line: 2, column: 2 };
    assert_eq!(Document::parse(b"{\n}}"), Err(expected));
}

#[test]
fn when_it_is_nested_at_the_bound_then_it_is_taken_and_beyond_refused() {
    assert!(Document::try_from(nested(MAX_DEPTH)).is_ok());
    let expected = Error::TooDeep { limit: MAX_DEPTH };
    assert_eq!(
        Document::try_from(nested(MAX_DEPTH + 1)),
        Err(expected.clone())
    );
    let arrays = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(Document::try_from(json!({"a": arrays})), Err(expected));
}

#[test]
fn when_it_is_as_long_as_the_bound_then_it_is_taken_and_beyond_refused() {
    let around = r#"{"a":""}"#.len();
    let of = |length: usize| json!({"a": "x".repeat(length - around)});

    assert!(Document::try_from(of(MAX_BYTES)).is_ok());
    let expected = Error::TooLarge {
        limit_bytes: MAX_BYTES,
    };
    assert_eq!(Document::try_from(of(MAX_BYTES + 1)), Err(expected));
}

#[test]
fn when_numbers_are_written_differently_then_documents_are_equal() {
    assert_eq!(
        document(json!({"a": [1, {"b": 2}]})),
        document(json!({"a": [1.0, {"b": 2.0}]}))
    );
    assert_ne!(document(json!({"a": {}})), document(json!({})));
}

proptest! {
    #[test]
    fn when_printed_then_it_is_read_back(document in documents()) {
        let read = Document::parse(document.to_string().as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&document));
        let value: Value = serde_json::to_value(&document).unwrap();
        prop_assert_eq!(serde_json::from_value::<Document>(value).unwrap(), document);
    }

    #[test]
    fn when_any_bytes_are_read_then_nothing_panics(bytes: Vec<u8>) {
        let _ = Document::parse(&bytes);
    }
}
