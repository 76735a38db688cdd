//! The laws of merge patches; those that do not hold as named counter-examples.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Patch, diff, missing, patch};
use crate::arbitrary::{a_patch, disjoint_patches, document, documents, nested, patches};
use crate::{Document, Error};

fn patched(document: &Document, change: &Patch) -> Document {
    patch(document.clone(), change).expect("small documents fit")
}

/// Holds when every leaf of `wanted` is in `held`; an empty object is a leaf.
fn holds(held: &Value, wanted: &Value) -> bool {
    match (held, wanted) {
        (Value::Object(held), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| held.get(key).is_some_and(|held| holds(held, wanted))),
        _ => crate::number::same(held, wanted),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn when_the_patch_is_empty_then_nothing_changes(a in documents()) {
        prop_assert_eq!(patched(&a, &Patch::new()), a);
    }

    #[test]
    fn when_both_ends_are_equal_then_the_diff_is_empty(a in documents()) {
        prop_assert!(diff(&a, &a).is_empty());
    }

    #[test]
    fn when_the_diff_is_applied_then_the_other_end_is_reached(a in documents(), b in documents()) {
        prop_assert_eq!(patched(&a, &diff(&a, &b)), b);
    }

    #[test]
    fn when_the_diff_was_applied_then_the_next_diff_is_empty(a in documents(), b in documents()) {
        prop_assert!(diff(&patched(&a, &diff(&a, &b)), &b).is_empty());
    }

    #[test]
    fn when_a_patch_is_applied_twice_then_it_is_as_once(a in documents(), p in patches()) {
        let once = patched(&a, &p);

        prop_assert_eq!(patched(&once, &p), once);
    }

    #[test]
    fn when_a_document_is_patched_then_it_is_still_one(a in documents(), p in patches()) {
        let result = patched(&a, &p);

        prop_assert!(Document::try_from(result.into_value()).is_ok());
    }

    #[test]
    fn when_a_diff_is_computed_then_it_is_a_patch(a in documents(), b in documents()) {
        let computed = diff(&a, &b);

        prop_assert_eq!(Patch::try_from(computed.clone().into_value()), Ok(computed));
    }

    #[test]
    fn when_what_is_missing_is_applied_then_every_desired_leaf_is_there(
        desired in documents(),
        reported in documents(),
    ) {
        let lacking = missing(&desired, &reported);
        let result = patched(&reported, &lacking);

        prop_assert!(holds(&result.into_value(), &desired.clone().into_value()));
        let was_there = holds(&reported.into_value(), &desired.into_value());
        prop_assert_eq!(lacking.is_empty(), was_there);
    }

    #[test]
    fn when_what_is_missing_is_applied_then_nothing_more_is_missing(
        desired in documents(),
        reported in documents(),
    ) {
        let result = patched(&reported, &missing(&desired, &reported));

        prop_assert!(missing(&desired, &result).is_empty());
    }

    #[test]
    fn when_patches_share_no_key_then_their_order_is_of_no_concern(
        a in documents(),
        (p, q) in disjoint_patches(),
    ) {
        prop_assert_eq!(patched(&patched(&a, &p), &q), patched(&patched(&a, &q), &p));
    }

    #[test]
    fn when_a_patch_is_printed_then_it_is_read_back(p in patches()) {
        let text = serde_json::to_vec(&p).unwrap();

        prop_assert_eq!(Patch::parse(&text), Ok(p));
    }
}

#[test]
fn when_the_examples_of_rfc_7396_are_applied_then_its_results_come_out() {
    let rows = [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (
            json!({"a":"b","b":"c"}),
            json!({"a":null}),
            json!({"b":"c"}),
        ),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (
            json!({"a":{"b":"c"}}),
            json!({"a":{"b":"d","c":null}}),
            json!({"a":{"b":"d"}}),
        ),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (
            json!({}),
            json!({"a":{"bb":{"ccc":null}}}),
            json!({"a":{"bb":{}}}),
        ),
    ];
    for (target, change, expected) in rows {
        let result = patched(&document(target.clone()), &a_patch(change.clone()));
        assert_eq!(result, document(expected), "{target} {change}");
    }
}

/// The law `patch(patch(a, p), q) == patch(a, merge(p, q))` is false, for every
/// way to merge that knows only `p` and `q`.
#[test]
fn when_two_patches_are_merged_then_the_result_differs_from_applying_them_in_turn() {
    let a = document(json!({"x": {"k": 1}}));
    let p = a_patch(json!({"x": null}));
    let q = a_patch(json!({"x": {"y": 2}}));
    let merged = a_patch(json!({"x": {"y": 2}}));

    let in_turn = patched(&patched(&a, &p), &q);

    assert_eq!(in_turn, document(json!({"x": {"y": 2}})));
    assert_eq!(
        patched(&a, &merged),
        document(json!({"x": {"k": 1, "y": 2}}))
    );
    assert_ne!(in_turn, patched(&a, &merged));
}

/// The law `patch(a, diff(a, b)) == b` is false when members may be null: a
/// patch cannot say "set to null". That is why a document has none.
#[test]
fn when_a_member_could_be_null_then_no_patch_leads_there() {
    let wanted = json!({"x": null});
    let says_null = a_patch(json!({"x": null}));

    let reached = patched(&Document::new(), &says_null);

    assert!(reached.is_empty());
    assert!(matches!(
        Document::try_from(wanted),
        Err(Error::NullMember { path }) if path == "/x"
    ));
}

#[test]
fn when_only_the_writing_of_a_number_differs_then_the_diff_is_empty() {
    let a = document(json!({"a": 1, "b": [2]}));
    let b = document(json!({"a": 1.0, "b": [2.0]}));

    assert!(diff(&a, &b).is_empty());
}

#[test]
fn when_an_empty_object_is_wanted_then_the_diff_says_so() {
    let rows = [
        (json!({}), json!({"a": {}}), json!({"a": {}})),
        (json!({"a": 1}), json!({"a": {}}), json!({"a": {}})),
        (
            json!({"a": {"b": 1}}),
            json!({"a": {}}),
            json!({"a": {"b": null}}),
        ),
    ];
    for (from, to, expected) in rows {
        assert_eq!(diff(&document(from), &document(to)), a_patch(expected));
    }
}

#[test]
fn when_a_patch_hides_a_null_member_in_an_array_then_it_is_refused() {
    let hidden = json!({"a": {"b": [{"c": null}]}});

    let expected = Error::NullMember {
        path: "/a/b/0/c".into(),
    };
    assert_eq!(Patch::try_from(hidden), Err(expected));
}

#[test]
fn when_a_patch_is_nested_too_deeply_then_it_is_refused() {
    assert!(Patch::try_from(nested(64)).is_ok());
    assert_eq!(
        Patch::try_from(nested(65)),
        Err(Error::TooDeep { limit: 64 })
    );
}

#[test]
fn when_the_result_would_be_too_long_then_it_is_refused() {
    let half = "x".repeat(600 * 1024);
    let a = document(json!({"a": half}));

    let result = patch(a, &a_patch(json!({"b": half})));

    assert_eq!(
        result,
        Err(Error::TooLarge {
            limit_bytes: 1024 * 1024
        })
    );
}

/// The bound of a patch holds for the longest diff: many short members that go.
#[test]
fn when_the_longest_diff_is_computed_then_it_is_a_valid_patch() {
    let member = |index: u32| (format!("{index:05x}"), json!(1));
    let many: Map<_, _> = (0..100_000).map(member).collect();
    let from = document(Value::Object(many));
    let to = document(json!({"a": "x".repeat(1024 * 1024 - 8)}));

    let computed = diff(&from, &to);

    assert!(Patch::try_from(computed.into_value()).is_ok());
}
