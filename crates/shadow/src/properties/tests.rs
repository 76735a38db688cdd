//! Properties: set and remove by patch, times, bounds.

use std::collections::BTreeSet;

use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    MAX_KEYS, MAX_VALUE_BYTES, MAX_VIOLATIONS, Properties, PropertyKey, PropertySet, UnixMillis,
};
use crate::arbitrary::a_patch;
use crate::{Error, Patch};

fn set(value: Value) -> PropertySet {
    let mut set = PropertySet::new();
    set.merge(&a_patch(value), UnixMillis(1)).unwrap();
    set
}

fn keys(names: &[&str]) -> BTreeSet<PropertyKey> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn when_a_patch_is_merged_then_only_what_changed_gets_the_time() {
    let mut held = set(json!({"a": 1, "b": "x", "c": true}));

    let changed = held.merge(
        &a_patch(json!({"a": 1.0, "b": "y", "c": null, "d": 2, "e": null})),
        UnixMillis(2),
    );

    assert_eq!(changed, Ok(keys(&["b", "c", "d"])));
    assert_eq!(held.get("a").unwrap().time, UnixMillis(1));
    assert_eq!(held.get("b").unwrap().time, UnixMillis(2));
    assert_eq!(held.get("c"), None);
    assert_eq!(held.get("d").unwrap().time, UnixMillis(2));
    assert_eq!(held.len(), 3);
}

#[test]
fn when_anything_is_wrong_then_everything_wrong_is_said_and_nothing_changes() {
    let mut held = set(json!({"a": 1}));
    let long = "x".repeat(MAX_VALUE_BYTES - 1);

    let refused = held.merge(
        &a_patch(json!({"a": 2, "b": [1], "c": {"d": 1}, "e f": 1, "g": long})),
        UnixMillis(2),
    );

    let not_a_scalar = |key: &str| Error::NotAScalar { key: key.into() };
    let expected = vec![
        not_a_scalar("b"),
        not_a_scalar("c"),
        Error::KeyInvalid { key: "e f".into() },
        Error::ValueTooLarge {
            key: "g".into(),
            limit_bytes: MAX_VALUE_BYTES,
        },
    ];
    assert_eq!(refused, Err(expected));
    assert_eq!(held, set(json!({"a": 1})));
}

#[test]
fn when_a_key_is_not_of_the_alphabet_then_it_is_refused() {
    let longest = "k".repeat(128);
    for key in ["a", "_a", "9", "a.b_c-d/e:f", &longest] {
        assert!(key.parse::<PropertyKey>().is_ok(), "{key}");
    }
    let too_long = format!("{longest}k");
    for key in ["", "-a", ".a", "/a", "a b", "ä", "a\n", "a$", &too_long] {
        assert!(key.parse::<PropertyKey>().is_err(), "{key}");
    }
}

#[test]
fn when_there_are_too_many_keys_then_the_patch_is_refused() {
    let member = |index: usize| (format!("k{index}"), json!(1));
    let full: Map<_, _> = (0..MAX_KEYS).map(member).collect();
    let mut held = set(Value::Object(full));

    let one_more = held.merge(&a_patch(json!({"x": 1})), UnixMillis(2));
    assert_eq!(
        one_more,
        Err(vec![Error::TooManyEntries { limit: MAX_KEYS }])
    );

    let exchanged = held.merge(&a_patch(json!({"x": 1, "k0": null})), UnixMillis(2));
    assert_eq!(exchanged, Ok(keys(&["k0", "x"])));
}

#[test]
fn when_all_values_together_are_too_long_then_the_patch_is_refused() {
    let member = |index: usize| (format!("k{index}"), json!("x".repeat(4000)));
    let large: Map<_, _> = (0..300).map(member).collect();

    let refused = PropertySet::new().merge(&a_patch(Value::Object(large)), UnixMillis(1));

    assert_eq!(
        refused,
        Err(vec![Error::TooLarge {
            limit_bytes: 1024 * 1024
        }])
    );
}

#[test]
fn when_very_much_is_wrong_then_the_list_has_an_end() {
    let member = |index: usize| (format!("k {index}"), json!(1));
    let wrong: Map<_, _> = (0..1000).map(member).collect();

    let refused = PropertySet::new().merge(&a_patch(Value::Object(wrong)), UnixMillis(1));

    assert_eq!(refused.map_err(|list| list.len()), Err(MAX_VIOLATIONS));
}

#[test]
fn when_the_node_has_followed_then_nothing_is_missing() {
    let mut properties = Properties {
        desired: set(json!({"a": 1, "b": "x"})),
        reported: set(json!({"a": 1.0, "b": "y", "c": true})),
    };

    assert_eq!(properties.missing(), a_patch(json!({"b": "x"})));
    properties
        .reported
        .merge(&properties.missing(), UnixMillis(2))
        .unwrap();
    assert!(properties.missing().is_empty());
}

#[test]
fn when_stored_properties_break_a_bound_then_they_are_not_read() {
    let property = |value: Value| json!({"value": value, "time": 5});
    let good = json!({"a": property(json!("x"))});
    let rows = [
        json!({"a b": property(json!(1))}),
        json!({"a": property(json!(null))}),
        json!({"a": property(json!([1]))}),
        json!({"a": property(json!("x".repeat(5000)))}),
    ];

    assert!(serde_json::from_value::<PropertySet>(good).is_ok());
    for row in rows {
        assert!(serde_json::from_value::<PropertySet>(row).is_err());
    }
}

fn sets() -> impl Strategy<Value = PropertySet> {
    let scalar = prop_oneof![
        (0..3).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[xy]".prop_map(Value::from),
    ];
    btree_map("[a-d]", scalar, 0..4)
        .prop_map(|members| set(Value::Object(members.into_iter().collect())))
}

fn values(set: &PropertySet) -> Vec<(String, Value)> {
    set.iter()
        .map(|(key, property)| (key.to_string(), Value::from(&property.value)))
        .collect()
}

proptest! {
    #[test]
    fn when_the_diff_is_merged_then_the_other_set_is_reached(a in sets(), b in sets()) {
        let mut held = a.clone();
        held.merge(&a.diff(&b), UnixMillis(2)).unwrap();

        prop_assert_eq!(values(&held), values(&b));
    }

    #[test]
    fn when_a_patch_is_merged_again_then_nothing_changes(a in sets(), b in sets()) {
        let change: Patch = a.diff(&b);
        let mut held = a;
        held.merge(&change, UnixMillis(2)).unwrap();
        let once = held.clone();

        prop_assert_eq!(held.merge(&change, UnixMillis(3)), Ok(BTreeSet::new()));
        prop_assert_eq!(held, once);
    }

    #[test]
    fn when_written_as_json_then_it_is_read_back(a in sets()) {
        let json = serde_json::to_value(&a).unwrap();

        prop_assert_eq!(serde_json::from_value::<PropertySet>(json).unwrap(), a);
    }
}
