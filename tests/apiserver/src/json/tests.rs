//! Tests of reading bodies.

use serde_json::json;

use super::*;

#[test]
fn when_a_field_is_there_twice_then_its_path_is_told_and_the_last_value_counts() {
    let body = read_json(br#"{"spec":{"list":[{"a":1,"a":2}],"b":null,"b":3.5}}"#).unwrap();

    assert_eq!(body.value, json!({"spec": {"list": [{"a": 2}], "b": 3.5}}));
    assert_eq!(body.duplicates, ["spec.list[0].a", "spec.b"]);
}

#[test]
fn when_a_body_is_yaml_then_it_is_read_as_such() {
    let body = read_yaml(b"kind: ConfigMap\ndata:\n  a: \"1\"\n").unwrap();

    assert_eq!(body.value, json!({"kind": "ConfigMap", "data": {"a": "1"}}));
}

#[test]
fn when_a_body_is_cut_then_it_is_refused() {
    assert!(read_json(br#"{"spec":"#).is_err());
    assert!(read_json(br#"{} {}"#).is_err());
}
