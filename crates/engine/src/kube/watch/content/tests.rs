//! What counts as a write, and what does not.

use serde_json::{Value, json};

use super::content;

fn autoscaler(most: u32, scaled: &str, version: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "resourceVersion": version, "labels": {"a": "b"}},
        "spec": {"maxReplicas": most},
        "status": {"lastScaleTime": scaled},
    })
}

#[test]
fn when_only_the_status_of_a_kind_without_generation_changes_then_the_content_stays() {
    let before = autoscaler(3, "2026-01-01T00:00:00Z", "7");
    let after = autoscaler(3, "2026-01-01T00:00:15Z", "8");

    assert_eq!(content(&before), content(&after));
}

#[test]
fn when_spec_or_labels_of_a_kind_without_generation_change_then_the_content_does() {
    let before = autoscaler(3, "2026-01-01T00:00:00Z", "7");
    let mut labelled = before.clone();
    labelled["metadata"]["labels"]["a"] = json!("c");

    assert_ne!(content(&before), content(&autoscaler(4, "", "8")));
    assert_ne!(content(&before), content(&labelled));
}

#[test]
fn when_a_kind_has_a_generation_then_that_is_its_content() {
    let deployment = |generation: u64, version: &str| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"generation": generation, "resourceVersion": version},
            "spec": {},
        })
    };

    assert_eq!(content(&deployment(2, "7")), content(&deployment(2, "8")));
    assert_ne!(content(&deployment(2, "7")), content(&deployment(3, "8")));
}

#[test]
fn when_a_kind_has_neither_then_every_version_is_a_write() {
    let values = |version: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"resourceVersion": version},
            "data": {},
        })
    };

    assert_ne!(content(&values("7")), content(&values("8")));
}

#[test]
fn when_an_object_is_no_object_then_nothing_breaks() {
    assert_eq!(content(&json!(null)), content(&json!([1])));
}
