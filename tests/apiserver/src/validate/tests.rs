//! Tests of validation.

use serde_json::json;

use super::*;
use crate::defaults;
use crate::kinds::Kinds;

fn faults(resource: &str, mut object: Value) -> Vec<String> {
    let kinds = Kinds::built_in();
    let kind = kinds.get(resource).unwrap();
    defaults::fill(kind, &mut object);
    let causes = super::object(kind, &object);
    causes.iter().map(Cause::to_string).collect()
}

fn deployment(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "a", "image": "web:1"}],
                    "volumes": [{"name": "data"}],
                },
            },
        },
    });
    change(&mut object);
    object
}

#[test]
fn when_a_deployment_is_well_formed_then_nothing_is_found() {
    assert_eq!(faults("deployments.apps", deployment(|_| {})), [""; 0]);
}

#[test]
fn when_something_is_wrong_with_a_deployment_then_the_field_is_named() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 12] = [
        (
            |o| o["metadata"]["name"] = json!("Web_1"),
            "metadata.name: Invalid value: \"Web_1\": a lowercase RFC 1123 subdomain",
        ),
        (
            |o| o["spec"]["template"]["metadata"]["labels"]["app"] = json!("api"),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"api\"}: `selector` does not \
             match template `labels`",
        ),
        (
            |o| o["spec"]["template"]["spec"]["containers"] = json!([]),
            "spec.template.spec.containers: Required value",
        ),
        (
            |o| {
                let list = &mut o["spec"]["template"]["spec"]["containers"];
                *list = json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]);
            },
            "spec.template.spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            |o| o["spec"]["template"]["spec"]["containers"][0]["image"] = json!(""),
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            |o| {
                o["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
                    json!([{"name": "other", "mountPath": "/x"}]);
            },
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\"",
        ),
        (
            |o| {
                o["spec"]["template"]["spec"]["containers"][0]["ports"] =
                    json!([{"containerPort": 70000}]);
            },
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must \
             be between 1 and 65535, inclusive",
        ),
        (
            |o| {
                o["spec"]["template"]["spec"]["containers"][0]["resources"] =
                    json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}});
            },
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be \
             less than or equal to cpu limit of 1",
        ),
        (
            |o| o["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \
             \"Always\"",
        ),
        (
            |o| o["spec"]["replicas"] = json!(-1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            |o| {
                o["spec"]["strategy"] =
                    json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
            },
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when \
             `maxSurge` is 0",
        ),
        (
            |o| o["metadata"]["labels"] = json!({"a": "not a value"}),
            "metadata.labels: Invalid value: \"not a value\": a valid label must be",
        ),
    ];

    for (change, expected) in cases {
        let found = faults("deployments.apps", deployment(change));

        assert!(
            found.iter().any(|fault| fault.starts_with(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn when_other_kinds_are_wrong_then_the_field_is_named() {
    let pod = json!({"spec": {"containers": [{"name": "a", "image": "b"}]}});
    let cases = [
        (
            "services",
            json!({"metadata": {"name": "1a"}, "spec": {"ports": [{"port": 80}]}}),
            "metadata.name: Invalid value: \"1a\": a DNS-1035 label",
        ),
        (
            "cronjobs.batch",
            json!({"metadata": {"name": "a"}, "spec": {"schedule": "* *", "jobTemplate": {"spec": {"template": pod}}}}),
            "spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: [* *]",
        ),
        (
            "jobs.batch",
            json!({"metadata": {"name": "a"}, "spec": {"template": pod}}),
            "spec.template.spec.restartPolicy: Unsupported value: \"Always\"",
        ),
        (
            "persistentvolumeclaims",
            json!({"metadata": {"name": "a"}, "spec": {"accessModes": ["ReadWriteOnce"]}}),
            "spec.resources[storage]: Required value",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a"}, "data": {"a/b": ""}}),
            "data[a/b]: Invalid value: \"a/b\": a valid config key",
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            json!({"metadata": {"name": "a"}, "spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "a"}}}),
            "spec.maxReplicas: Invalid value: 2",
        ),
    ];

    for (resource, object, expected) in cases {
        let found = faults(resource, object);

        assert!(
            found.iter().any(|fault| fault.starts_with(expected)),
            "{expected}: {found:?}"
        );
    }
}
