//! What selectors match, and where they are wrong.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::{Operator, Requirement, Selector};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn when_selector_is_read_then_it_matches_as_in_kubernetes() {
    let node = labels(&[
        ("site", "demo"),
        ("tier", "a"),
        ("blank", ""),
        ("x.io/y", "1"),
    ]);
    let cases = [
        ("site = demo", true),
        ("site=demo", true),
        ("site == demo", true),
        ("site = other", false),
        ("missing = demo", false),
        ("site != other", true),
        ("site!=demo", false),
        ("missing != x", true),
        ("tier in (a, b)", true),
        ("tier in (b)", false),
        ("missing in (a)", false),
        ("tier notin (b,c)", true),
        ("tier notin (a)", false),
        ("missing notin (a)", true),
        ("tier", true),
        ("missing", false),
        ("!missing", true),
        ("! tier", false),
        ("site = demo, tier in (a), !missing", true),
        ("site = demo, tier = b", false),
        ("x.io/y = 1", true),
        ("blank = ", true),
        ("blank=,site=demo", true),
        ("blank in ()", true),
        ("in in (a)", false),
        ("notin notin (a)", true),
    ];
    for (text, expected) in cases {
        let selector = Selector::parse(text).expect(text);
        assert_eq!(selector.matches(&node), expected, "{text}");
    }
}

#[test]
fn when_selector_is_empty_then_applications_match_nothing_and_filters_everything() {
    let node = labels(&[("site", "demo")]);
    for text in ["", "  "] {
        let selector = Selector::parse(text).expect("empty is allowed");
        let filter = Selector::parse_filter(text).expect("empty is allowed");
        assert!(!selector.matches(&node));
        assert!(filter.matches(&node));
        assert!(filter.matches(&BTreeMap::new()));
    }
}

#[test]
fn when_selector_is_wrong_then_the_error_names_the_column() {
    let cases = [
        ("site ==! demo", "unexpected \"==!\"", 6),
        ("site = demo,", "unexpected end", 13),
        (", site", "unexpected \",\"", 1),
        ("site = demo tier", "unexpected \"tier\"", 13),
        ("site > 1", "unexpected \">\"", 6),
        ("site in a", "unexpected \"a\"", 9),
        ("site in (a", "unexpected end", 11),
        ("site in", "unexpected end", 8),
        ("site = (a)", "unexpected \"(\"", 8),
        ("!", "unexpected end", 2),
        ("!!a", "unexpected \"!!\"", 1),
        (
            "ä = 1",
            "the key \"ä\" may have letters, digits, `-`, `_` and `.` only",
            1,
        ),
        ("a = b c", "unexpected \"c\"", 7),
        (
            "é, b = -",
            "the key \"é\" may have letters, digits, `-`, `_` and `.` only",
            1,
        ),
        (
            "b = -",
            "the value \"-\" must start and end with a letter or digit",
            5,
        ),
    ];
    for (text, problem, column) in cases {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(
            (error.problem.as_str(), error.column),
            (problem, column),
            "{text}"
        );
    }
}

#[test]
fn when_selector_is_too_long_then_it_is_refused() {
    let text = vec!["a = b"; 300].join(",  ");

    assert!(Selector::parse(&text).is_err());
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("in".to_owned()),
        Just("notin".to_owned()),
        "[a-c]{1,2}",
        "[a-z]{1,5}\\.io/[A-Z][a-z_]{0,3}[0-9]",
    ]
}

fn label_values() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-c]{1,2}",
        "[A-Z]([a-z._-]{0,4}[0-9])?"
    ]
}

fn selectors() -> impl Strategy<Value = Selector> {
    let operator = prop_oneof![
        label_values().prop_map(Operator::Equals),
        label_values().prop_map(Operator::NotEquals),
        btree_set(label_values(), 1..4).prop_map(Operator::In),
        btree_set(label_values(), 1..4).prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::Absent),
    ];
    let requirement = (keys(), operator).prop_map(|(key, operator)| Requirement { key, operator });
    vec(requirement, 0..5).prop_map(|requirements| match requirements.as_slice() {
        [] => Selector::Nothing,
        _ => Selector::All(requirements),
    })
}

proptest! {
    #[test]
    fn when_selector_is_printed_then_it_reads_back(selector in selectors()) {
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn when_any_text_is_read_then_nothing_panics(text in "[a-c =!,()<>ä]{0,40}") {
        if let Err(error) = Selector::parse(&text) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn when_requirement_is_negated_then_it_matches_the_other_labels(
        key in keys(),
        value in label_values(),
        drawn in btree_map(keys(), label_values(), 0..4),
    ) {
        let is_matching = |text: String| {
            Selector::parse(&text).map(|selector| selector.matches(&drawn))
        };
        prop_assert_ne!(is_matching(format!("{key} = {value}")), is_matching(format!("{key} != {value}")));
        prop_assert_ne!(is_matching(format!("{key} in ({value})")), is_matching(format!("{key} notin ({value})")));
        prop_assert_ne!(is_matching(key.clone()), is_matching(format!("!{key}")));
    }
}
