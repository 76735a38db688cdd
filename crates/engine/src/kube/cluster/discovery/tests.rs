//! Paths, definitions of a set, and the aggregated list.

use serde_json::json;

use super::super::super::object::{Object, ObjectKey};
use super::{aggregated, defined, root};

#[test]
fn when_a_group_version_is_given_then_its_path_is_that_of_the_api() {
    assert_eq!(root("v1").as_deref(), Some("/api/v1"));
    assert_eq!(root("apps/v1").as_deref(), Some("/apis/apps/v1"));
    assert_eq!(root("a?b/v1").as_deref(), Some("/apis/a%3Fb/v1"));
    for odd in ["", "/v1", "apps/", "a/b/c"] {
        assert_eq!(root(odd), None, "{odd}");
    }
}

#[test]
fn when_a_set_defines_a_kind_then_its_served_versions_are_known() {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [
                {"name": "v1", "served": true},
                {"name": "v0", "served": false},
            ],
        },
    });
    let broken = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "spec": 3,
    });
    let objects = [definition, broken].map(|body| Object::try_new(body).unwrap());

    let found = defined(&objects);

    let kinds: Vec<_> = found.keys().cloned().collect();
    assert_eq!(kinds, [("example.com/v1".to_owned(), "Widget".to_owned())]);
    let resource = found.values().next().unwrap();
    let key = ObjectKey::namespaced("example.com/v1", "Widget", "edge", "a/b");
    assert_eq!(
        resource.path(&key),
        "/apis/example.com/v1/namespaces/edge/widgets/a%2Fb"
    );
}

#[test]
fn when_the_aggregated_list_names_a_resource_then_it_is_taken_over() {
    let listed = json!({
        "resource": "nodes",
        "responseKind": {"group": "", "version": "", "kind": "Node"},
        "scope": "Cluster",
        "verbs": ["get", "patch"],
    });

    let (kind, resource) = aggregated("v1", &listed).unwrap();

    assert_eq!(kind, "Node");
    assert!(resource.can_patch && !resource.is_namespaced);
    assert_eq!(resource.collection(None), "/api/v1/nodes");
    assert_eq!(aggregated("v1", &json!({"resource": "nodes"})), None);
}
