//! Tests of shapes and decoding.

use serde_json::json;

use super::*;

fn built_in(name: &str, value: &mut Value) -> (Vec<String>, Vec<String>) {
    let schema = Schema::kubernetes();
    let found = decode(schema.node(schema.named(name).unwrap()), value);
    let mismatches = found.mismatches.iter().map(decode::Mismatch::sentence);
    (found.unknown, mismatches.collect())
}

#[test]
fn when_a_field_is_not_known_then_it_is_dropped_and_named() {
    let mut pod = json!({
        "spec": {"containers": [{"name": "a", "imagee": "b", "env": []}], "nodeName": null},
    });

    let (unknown, mismatches) = built_in("core.v1.Pod", &mut pod);

    assert_eq!(unknown, ["spec.containers[0].imagee"]);
    assert_eq!(pod, json!({"spec": {"containers": [{"name": "a"}]}}));
    assert!(mismatches.is_empty());
}

#[test]
fn when_amounts_are_decoded_then_they_get_their_canonical_spelling() {
    let mut requirements = json!({"limits": {"cpu": "1000m", "memory": 1024}});

    built_in("core.v1.ResourceRequirements", &mut requirements);

    assert_eq!(
        requirements,
        json!({"limits": {"cpu": "1", "memory": "1024"}})
    );
}

#[test]
fn when_a_value_has_a_wrong_type_then_the_path_is_named() {
    let mut deployment = json!({"spec": {"replicas": "three"}});

    let (_, mismatches) = built_in("apps.v1.Deployment", &mut deployment);

    assert_eq!(
        mismatches,
        ["json: cannot unmarshal string into Go struct field spec.replicas of type integer"]
    );
}

#[test]
fn when_a_custom_resource_is_decoded_then_its_own_schema_counts() {
    let (schema, root) = read_openapi(&json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "colour": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        }},
    }));
    let mut widget = json!({
        "apiVersion": "example.com/v1",
        "metadata": {"name": "a"},
        "spec": {"size": 0, "free": {"a": null}, "other": 1},
    });

    let found = decode(schema.node(root), &mut widget);
    let causes = violations(schema.node(root), &widget);

    assert_eq!(found.unknown, ["spec.other"]);
    assert_eq!(widget["spec"]["colour"], "red");
    assert_eq!(widget["spec"]["free"], json!({"a": null}));
    assert_eq!(causes.len(), 1);
    assert_eq!(
        causes[0].to_string(),
        "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
}

#[test]
fn when_lists_are_read_then_their_keys_are_those_of_kubernetes() {
    let schema = Schema::kubernetes();
    let container = schema.node(schema.named("core.v1.Container").unwrap());

    let ports = container.field("ports").unwrap();

    let Shape::List {
        merge: ListMerge::Keys(keys),
        ..
    } = ports.shape()
    else {
        panic!("ports are known by keys");
    };
    assert_eq!(keys[0].field, "containerPort");
    assert_eq!(keys[1].default, Some(json!("TCP")));
    assert_eq!(container.patch_key("ports"), Some("containerPort"));
}
