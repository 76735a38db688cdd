//! Manifests of an application, and workloads that an autoscaler keeps.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::object::Object;
use super::{leave_to_autoscalers, manifests};
use crate::inputs::Files;
use crate::reason;

fn files(texts: &[(&str, &str)]) -> Files {
    let own = |(key, text): &(&str, &str)| ((*key).to_owned(), Bytes::from((*text).to_owned()));
    texts.iter().map(own).collect::<BTreeMap<_, _>>()
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn names(files: &Files, keys: &[&str]) -> Vec<String> {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let objects = manifests(files, &keys).unwrap();
    objects
        .iter()
        .map(|object| object.key().name.clone())
        .collect()
}

#[test]
fn when_no_keys_are_named_then_all_are_read_in_their_order() {
    let (a, b) = (config_map("a"), config_map("b"));
    let files = files(&[("2.yaml", &a), ("1.yaml", &b)]);

    assert_eq!(names(&files, &[]), ["b", "a"]);
    assert_eq!(names(&files, &["2.yaml"]), ["a"]);
    assert_eq!(names(&files, &["2.yaml", "1.yaml"]), ["a", "b"]);
}

#[test]
fn when_a_key_is_missing_then_it_is_named() {
    let refusal = manifests(&files(&[]), &["x".to_owned()]).unwrap_err();

    assert_eq!(refusal.reason, reason::KEY_NOT_FOUND);
    assert_eq!(
        refusal.message,
        "manifest.keys: the configuration has no key \"x\""
    );
}

#[test]
fn when_there_is_no_object_at_all_then_it_is_refused() {
    let refusal = manifests(&files(&[("a", "# nothing\n---\n")]), &[]).unwrap_err();

    assert_eq!(refusal.reason, reason::INVALID_OBJECT);
    assert!(refusal.is_final);
}

#[test]
fn when_an_autoscaler_keeps_a_workload_then_its_replicas_are_left_to_it() {
    let workload = |name: &str| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": 3, "paused": false},
        })
    };
    let scaler = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "any"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "scaled"}},
    });
    let bodies = [workload("scaled"), workload("fixed"), scaler];
    let mut objects = bodies.map(|body| Object::try_new(body).unwrap());

    leave_to_autoscalers(&mut objects);

    let specs: Vec<&Value> = objects
        .iter()
        .map(|object| &object.body()["spec"])
        .collect();
    assert_eq!(specs[0], &json!({"paused": false}));
    assert_eq!(specs[1], &json!({"replicas": 3, "paused": false}));
}
