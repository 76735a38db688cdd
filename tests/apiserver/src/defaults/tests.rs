//! Tests of defaults.

use serde_json::json;

use super::*;
use crate::kinds::Kinds;

fn filled(resource: &str, mut object: Value) -> Value {
    let kinds = Kinds::built_in();
    fill(kinds.get(resource).unwrap(), &mut object);
    object
}

#[test]
fn when_a_deployment_says_little_then_the_rest_is_filled_in() {
    let object = filled(
        "deployments.apps",
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "web:1", "ports": [{"containerPort": 80}],
             "readinessProbe": {"httpGet": {"port": 80}}},
        ]}}}}),
    );

    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(object["spec"]["replicas"], 1);
    assert_eq!(
        object["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
        "25%"
    );
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/");
}

#[test]
fn when_a_secret_has_text_then_it_is_stored_as_data() {
    let object = filled("secrets", json!({"stringData": {"a": "b"}}));

    assert_eq!(object, json!({"type": "Opaque", "data": {"a": "Yg=="}}));
}

#[test]
fn when_a_job_names_no_selector_then_its_uid_selects() {
    let object = filled(
        "jobs.batch",
        json!({"metadata": {"uid": "u1", "name": "j"}, "spec": {"template": {"spec": {}}}}),
    );

    let labels = &object["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["batch.kubernetes.io/controller-uid"], "u1");
    assert_eq!(labels["job-name"], "j");
    assert_eq!(
        object["spec"]["selector"]["matchLabels"]
            .as_object()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn when_an_image_names_no_version_then_it_is_always_pulled() {
    for (image, policy) in [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("host:5000/web", "Always"),
        ("host:5000/web:1", "IfNotPresent"),
        ("web@sha256:aa", "IfNotPresent"),
    ] {
        let pod = filled(
            "pods",
            json!({"spec": {"containers": [{"name": "a", "image": image}]}}),
        );

        assert_eq!(
            pod["spec"]["containers"][0]["imagePullPolicy"], policy,
            "{image}"
        );
    }
}
