//! Tests of patches.

use serde_json::json;

use super::*;
use crate::schema::Schema;

#[test]
fn when_a_merge_patch_is_applied_then_nulls_take_away_and_lists_are_replaced() {
    let mut object = json!({"a": {"b": 1, "c": 2}, "list": [1, 2]});

    merge(
        &mut object,
        &json!({"a": {"b": null, "d": {"e": null}}, "list": [3]}),
    );

    assert_eq!(object, json!({"a": {"c": 2, "d": {}}, "list": [3]}));
}

#[test]
fn when_a_json_patch_is_applied_then_every_operation_counts() {
    let mut object = json!({"a": {"b/c": 1}, "list": [1, 3]});

    json(
        &mut object,
        &json!([
            {"op": "test", "path": "/a/b~1c", "value": 1},
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "add", "path": "/list/-", "value": 4},
            {"op": "move", "from": "/a/b~1c", "path": "/moved"},
            {"op": "copy", "from": "/moved", "path": "/a/copied"},
            {"op": "replace", "path": "/moved", "value": 5},
            {"op": "remove", "path": "/list/0"},
        ]),
    )
    .unwrap();

    assert_eq!(
        object,
        json!({"a": {"copied": 1}, "list": [2, 3, 4], "moved": 5})
    );
    let refusal = json(
        &mut object,
        &json!([{"op": "test", "path": "/moved", "value": 6}]),
    );
    assert_eq!(refusal.unwrap_err().code, 422);
}

#[test]
fn when_a_strategic_patch_is_applied_then_items_are_joined_by_their_key() {
    let schema = Schema::kubernetes();
    let pod = schema.node(schema.named("core.v1.Pod").unwrap());
    let mut object = json!({
        "metadata": {"finalizers": ["a"]},
        "spec": {
            "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}],
            "tolerations": [{"key": "x"}],
        },
    });

    strategic(
        pod,
        &mut object,
        &json!({
            "metadata": {"finalizers": ["b"]},
            "spec": {
                "$setElementOrder/containers": [{"name": "a"}],
                "containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c"}],
                "tolerations": [{"key": "y"}],
            },
        }),
    )
    .unwrap();

    assert_eq!(
        object,
        json!({
            "metadata": {"finalizers": ["a", "b"]},
            "spec": {
                "containers": [{"name": "a", "image": "2"}, {"name": "c"}],
                "tolerations": [{"key": "y"}],
            },
        })
    );
}
