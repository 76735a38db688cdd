//! Kinds that definitions add.

use baetyl_apiserver::Options;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{client, dynamic, fields, object, server, server_with, status};

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "required": ["size"],
                            "properties": {
                                "size": {"type": "integer", "minimum": 1},
                                "parts": {
                                    "type": "array",
                                    "x-kubernetes-list-type": "map",
                                    "x-kubernetes-list-map-keys": ["id"],
                                    "items": {
                                        "type": "object", "required": ["id"],
                                        "properties": {"id": {"type": "string"}, "n": {"type": "integer"}},
                                    },
                                },
                            },
                        },
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    })
}

fn widget(spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "a", "namespace": "one"}, "spec": spec,
    })
}

#[tokio::test]
async fn when_a_definition_is_applied_then_its_kind_is_served_once_established() {
    let server = server_with(Options {
        establish_crds: false,
        ..Options::default()
    })
    .await;
    let client = client(&server).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let widgets = dynamic(&client, "example.com", "v1", "Widget");
    let params = PatchParams::apply("baetyl");
    definitions
        .patch("widgets.example.com", &params, &Patch::Apply(definition()))
        .await
        .unwrap();

    let early = status(widgets.list(&kube::api::ListParams::default()).await);
    server.store().establish("widgets.example.com").unwrap();
    let established = definitions.get("widgets.example.com").await.unwrap();
    let desired = Patch::Apply(widget(json!({"size": 1})));
    let created = widgets.patch("a", &params, &desired).await.unwrap();

    assert_eq!(early.code, 404);
    let conditions = established.status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
    );
    assert_eq!(created.data["spec"]["size"], 1);
    assert_eq!(created.metadata.generation, Some(1));
}

#[tokio::test]
async fn when_a_custom_resource_breaks_its_schema_then_the_field_is_named() {
    let server = server().await;
    let client = client(&server).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .create(&PostParams::default(), &object(definition()))
        .await
        .unwrap();
    let widgets = dynamic(&client, "example.com", "v1", "Widget");
    let create = |spec: Value| {
        let new = object(widget(spec));
        let widgets = widgets.clone();
        async move { status(widgets.create(&PostParams::default(), &new).await) }
    };

    let missing = create(json!({})).await;
    let mistyped = create(json!({"size": "large"})).await;
    let small = create(json!({"size": 0})).await;
    let apply = Patch::Apply(widget(json!({"size": 1, "colour": "red"})));
    let params = PatchParams::apply("baetyl");
    let unknown = status(widgets.patch("a", &params, &apply).await);

    assert_eq!(fields(&missing), ["spec.size"]);
    assert_eq!(fields(&mistyped), ["spec.size"]);
    assert_eq!(fields(&small), ["spec.size"]);
    assert!(
        unknown
            .message
            .ends_with(".spec.colour: field not declared in schema")
    );
}

#[tokio::test]
async fn when_custom_resources_are_applied_by_two_then_items_are_joined_by_their_key() {
    let server = server().await;
    let client = client(&server).await;
    server.store().apply(&definition()).unwrap();
    let widgets = dynamic(&client, "example.com", "v1", "Widget");
    let apply = |manager: &'static str, spec: Value| {
        let widgets = widgets.clone();
        async move {
            let params = PatchParams::apply(manager);
            let patch = Patch::Apply(widget(spec));
            widgets.patch("a", &params, &patch).await.unwrap()
        }
    };

    apply(
        "one",
        json!({"size": 1, "parts": [{"id": "x", "n": 1}, {"id": "y"}]}),
    )
    .await;
    apply("two", json!({"size": 1, "parts": [{"id": "z"}]})).await;
    let after = apply("one", json!({"size": 1, "parts": [{"id": "y"}]})).await;

    assert_eq!(
        after.data["spec"]["parts"],
        json!([{"id": "y"}, {"id": "z"}])
    );
}

#[tokio::test]
async fn when_the_status_of_a_custom_resource_is_written_then_only_it_changes() {
    let server = server().await;
    let client = client(&server).await;
    server.store().apply(&definition()).unwrap();
    let widgets = dynamic(&client, "example.com", "v1", "Widget");
    let new = object(widget(json!({"size": 1})));
    widgets.create(&PostParams::default(), &new).await.unwrap();

    let patch = Patch::Merge(json!({
        "metadata": {"labels": {"a": "b"}}, "spec": {"size": 5}, "status": {"free": [1]},
    }));
    let written = widgets
        .patch_status("a", &PatchParams::default(), &patch)
        .await
        .unwrap();

    assert_eq!(written.data["spec"]["size"], 1);
    assert_eq!(written.data["status"]["free"], json!([1]));
    assert_eq!(written.metadata.labels, None);
    assert_eq!(written.metadata.generation, Some(1));
}

#[tokio::test]
async fn when_a_definition_goes_then_its_kind_is_no_longer_served() {
    let server = server().await;
    let client = client(&server).await;
    server.store().apply(&definition()).unwrap();
    let widgets = dynamic(&client, "example.com", "v1", "Widget");
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let new = object(widget(json!({"size": 1})));
    widgets.create(&PostParams::default(), &new).await.unwrap();

    definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();

    assert_eq!(status(widgets.get("a").await).code, 404);
    assert_eq!(
        status(definitions.get("widgets.example.com").await).code,
        404
    );
}
