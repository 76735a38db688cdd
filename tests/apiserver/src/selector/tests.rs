//! Tests of selectors.

use serde_json::json;

use super::*;

#[test]
fn when_labels_are_selected_then_every_form_of_requirement_counts() {
    let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
    let cases = [
        ("", true),
        ("app=web", true),
        ("app==web,tier", true),
        ("app=api", false),
        ("app!=api", true),
        ("other!=x", true),
        ("app in (api, web)", true),
        ("app notin (api,web),tier", false),
        ("!other", true),
        ("!app", false),
    ];

    for (selector, expected) in cases {
        let parsed = LabelSelector::parse(selector).unwrap();

        assert_eq!(parsed.matches(&object), expected, "{selector}");
    }
}

#[test]
fn when_a_selector_is_none_then_it_is_refused() {
    for selector in ["a in b", "a within (b)", "=b", "a b"] {
        assert!(LabelSelector::parse(selector).is_err(), "{selector}");
    }
    let refusal = FieldSelector::parse("spec.replicas=1", "deployments.apps").unwrap_err();
    assert_eq!(refusal.message, "field label not supported: spec.replicas");
}

#[test]
fn when_fields_are_selected_then_missing_ones_are_empty() {
    let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}});
    let cases = [
        ("metadata.name=a", true),
        ("spec.nodeName=n1,status.phase=", true),
        ("spec.nodeName!=n1", false),
        ("spec.hostNetwork=false", true),
    ];

    for (selector, expected) in cases {
        let parsed = FieldSelector::parse(selector, "pods").unwrap();

        assert_eq!(parsed.matches(&pod), expected, "{selector}");
    }
}

#[test]
fn when_an_object_selects_by_expressions_then_they_count() {
    let selector = LabelSelector::of_object(&json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["back"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }));

    assert!(selector.matches_labels(&json!({"app": "web", "tier": "front"})));
    assert!(!selector.matches_labels(&json!({"app": "web", "tier": "back"})));
}
