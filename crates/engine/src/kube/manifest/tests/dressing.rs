//! Objects that somebody else wrote.

use serde_json::{Value, json};

use super::case;
use super::rig::{Fixture, settings};
use crate::driver::Refusal;
use crate::kube::manifest::{MAX_OBJECTS, Scope, dress};
use crate::kube::object::Object;
use crate::reason;

/// The kinds that the cluster has.
fn scope(api_version: &str, kind: &str) -> Option<Scope> {
    match (api_version, kind) {
        ("rbac.authorization.k8s.io/v1", "ClusterRole")
        | ("v1", "Namespace")
        | ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => Some(Scope::Cluster),
        ("v1" | "apps/v1" | "batch/v1" | "apps/v1beta2", _) => Some(Scope::Namespaced),
        _ => None,
    }
}

fn dressed(bodies: impl IntoIterator<Item = Value>) -> Result<Vec<Value>, Refusal> {
    let material = Fixture::read(case("deployment")).material;
    let objects = bodies
        .into_iter()
        .map(|body| Object::try_new(body).unwrap());
    let objects = dress(objects.collect(), &material, &settings(), &scope)?;
    Ok(objects
        .into_iter()
        .map(|object| object.body().clone())
        .collect())
}

fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

fn labels() -> Value {
    json!({
        "app.kubernetes.io/managed-by": "baetyl",
        "baetyl.io/application": "web",
        "baetyl.io/owner": "0c8d1b4e-5f6a-4b7c-8d9e-0a1b2c3d4e5f",
    })
}

#[test]
fn when_an_object_names_no_namespace_then_it_gets_the_applications() {
    let found = dressed([config_map("limits")]).unwrap();

    let metadata = json!({ "name": "limits", "namespace": "baetyl-edge", "labels": labels() });
    assert_eq!(
        found,
        [json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata })]
    );
}

#[test]
fn when_an_object_is_of_the_whole_cluster_then_it_has_no_namespace() {
    let body = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "reader", "namespace": "kube-system" },
    });

    let found = dressed([body]).unwrap();

    assert_eq!(
        found[0]["metadata"],
        json!({ "name": "reader", "labels": labels() })
    );
}

#[test]
fn when_a_workload_is_dressed_then_its_pods_are_marked_without_a_release() {
    let body = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "db",
            "namespace": "factory",
            "creationTimestamp": null,
            "managedFields": [],
            "resourceVersion": "7",
            "uid": "x",
            "labels": { "app.kubernetes.io/managed-by": "Helm", "app": "db" },
        },
        "spec": {
            "selector": { "matchLabels": { "app": "db", "app.kubernetes.io/managed-by": "Helm" } },
            "template": {
                "metadata": {
                    "creationTimestamp": null,
                    "labels": { "app": "db", "app.kubernetes.io/managed-by": "Helm" },
                },
                "spec": { "containers": [] },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
        },
        "status": { "replicas": 1 },
    });

    let found = dressed([body]).unwrap().remove(0);

    let mut expected = labels();
    expected["app"] = "db".into();
    assert_eq!(
        found["metadata"],
        json!({ "name": "db", "namespace": "factory", "labels": expected })
    );
    // The selector names it, so it stays.
    expected["app.kubernetes.io/managed-by"] = "Helm".into();
    assert_eq!(
        found["spec"]["template"]["metadata"],
        json!({ "labels": expected })
    );
    let claim = &found["spec"]["volumeClaimTemplates"][0]["metadata"];
    assert_eq!(claim, &json!({ "name": "data", "labels": labels() }));
    assert_eq!(found.get("status"), None);
}

#[test]
fn when_a_cron_job_is_dressed_then_its_jobs_and_pods_are_marked() {
    let body = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": { "name": "report" },
        "spec": { "jobTemplate": { "spec": { "template": { "spec": {} } } } },
    });

    let found = dressed([body]).unwrap().remove(0);

    let job = &found["spec"]["jobTemplate"];
    assert_eq!(job["metadata"]["labels"], labels());
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels());
}

#[test]
fn when_a_kind_is_defined_beside_its_objects_then_the_cluster_is_not_asked() {
    let definition = |scope: &str| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": "valves.factory.example.com" },
            "spec": {
                "group": "factory.example.com",
                "names": { "kind": "Valve" },
                "scope": scope,
                "versions": [{ "name": "v1beta1" }, { "name": "v1" }],
            },
        })
    };
    let valve = json!({
        "apiVersion": "factory.example.com/v1",
        "kind": "Valve",
        "metadata": { "name": "main" },
    });

    let in_namespace = dressed([valve.clone(), definition("Namespaced")]).unwrap();
    let in_cluster = dressed([definition("Cluster"), valve.clone()]).unwrap();
    let unknown = dressed([valve]).unwrap_err();

    assert_eq!(in_namespace[0]["metadata"]["namespace"], "baetyl-edge");
    assert_eq!(in_cluster[1]["metadata"].get("namespace"), None);
    assert_eq!(unknown.reason, reason::KIND_NOT_FOUND);
    assert!(!unknown.is_final);
    let message = "Valve main: kind: the cluster has no Valve of factory.example.com/v1";
    assert_eq!(unknown.message, message);
}

#[test]
fn when_a_list_is_dressed_then_its_items_are() {
    let list = json!({
        "apiVersion": "v1",
        "kind": "ConfigMapList",
        "metadata": { "name": "all" },
        "items": [config_map("a"), config_map("b")],
    });

    let found = dressed([list]).unwrap();

    assert_eq!(found.len(), 2);
    assert_eq!(found[1]["metadata"]["name"], "b");
}

#[test]
fn when_objects_cannot_be_taken_in_then_object_and_field_are_named() {
    let with = |pointer: &str, value: Value| {
        let mut body = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "web" },
            "spec": { "template": { "metadata": { "labels": {} } } },
        });
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
        body
    };
    let older = json!({
        "apiVersion": "apps/v1beta2",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "baetyl-edge" },
    });
    let invalid = reason::INVALID_OBJECT;
    let rows = [
        (
            vec![with("/metadata/namespace", "kube-system".into())],
            reason::NAMESPACE_NOT_ALLOWED,
            "Deployment kube-system/web: metadata.namespace: this node may not use the namespace \
             \"kube-system\"",
        ),
        (
            vec![with("/metadata/labels", json!({ "baetyl.io/owner": "me" }))],
            invalid,
            "Deployment web: metadata.labels[baetyl.io/owner]: is set by the engine only",
        ),
        (
            vec![with(
                "/spec/template/metadata/labels",
                json!({ "baetyl.io/release": "1" }),
            )],
            invalid,
            "Deployment web: spec.template.metadata.labels[baetyl.io/release]: is set by the \
             engine only",
        ),
        (
            vec![with("/metadata/labels", json!(["a"]))],
            invalid,
            "Deployment web: metadata.labels: must be a mapping",
        ),
        (
            vec![with("/spec/template/metadata", json!("a"))],
            invalid,
            "Deployment web: spec.template.metadata: must be a mapping",
        ),
        (
            vec![with("/spec/x", Value::Null), older],
            invalid,
            "Deployment baetyl-edge/web: metadata.name: this object stands here twice",
        ),
        (
            vec![json!({
                "apiVersion": "v1",
                "kind": "List",
                "metadata": { "name": "all" },
                "items": [{ "apiVersion": "v1", "kind": "ConfigMap" }],
            })],
            invalid,
            "List all: items[0].metadata.name: is required",
        ),
        (
            (0..=MAX_OBJECTS)
                .map(|index| config_map(&format!("c{index}")))
                .collect(),
            invalid,
            "there are more than 512 objects",
        ),
    ];
    for (bodies, reason, message) in rows {
        let refusal = dressed(bodies).unwrap_err();
        assert_eq!((refusal.reason, &*refusal.message), (reason, message));
        assert!(refusal.is_final);
    }
}
