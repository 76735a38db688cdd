//! Tests of the kinds.

use serde_json::json;

use super::*;

#[test]
fn when_the_server_starts_then_every_row_has_its_type() {
    let kinds = Kinds::built_in();

    let deployment = kinds.get("deployments.apps").unwrap();

    assert_eq!(deployment.api_version("v1"), "apps/v1");
    assert!(deployment.storage().node().field("spec").is_some());
    assert!(kinds.all().count() > 30);
}

#[test]
fn when_a_definition_is_read_then_its_kind_is_served_in_every_version() {
    let kind = kind_of_definition(&json!({
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {"name": "v1alpha1", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
                 "subresources": {"status": {}}},
            ],
        },
    }))
    .unwrap();

    assert_eq!(&*kind.resource, "widgets.example.com");
    assert_eq!(kind.storage().name, "v1");
    assert!(kind.storage().has_status);
    assert_eq!(kind.singular, "widget");
    assert!(kind.version("v1alpha1").is_some());
    let stored = Arc::new(json!({"apiVersion": "example.com/v1"}));
    let old = kind.present(kind.version("v1alpha1").unwrap(), &stored);
    assert_eq!(old["apiVersion"], "example.com/v1alpha1");
}
