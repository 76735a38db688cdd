//! Which selectors find which pods.

use serde_json::json;

use super::selects;

#[test]
fn when_labels_fit_then_a_selector_takes_the_pods_over() {
    let labels = json!({"app": "web", "tier": "front"});
    let rows = [
        (json!({"matchLabels": {"app": "web"}}), true),
        (
            json!({"matchLabels": {"app": "web", "tier": "front"}}),
            true,
        ),
        (json!({"matchLabels": {"app": "api"}}), false),
        (json!({"matchLabels": {"new": "web"}}), false),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "x", "operator": "Odd"}]}),
            false,
        ),
    ];
    for (selector, expected) in rows {
        assert_eq!(selects(&selector, &labels), expected, "{selector}");
    }
}
