//! Server-side apply.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::support::{client, config_map, deployment, fields, object, server, status};

#[tokio::test]
async fn when_the_same_is_applied_twice_then_the_version_stays() {
    let server = server().await;
    let deployments: Api<Deployment> = Api::namespaced(client(&server).await, "one");
    let params = PatchParams::apply("baetyl").validation_strict();
    let desired = Patch::Apply(deployment("web:1"));

    let first = deployments.patch("web", &params, &desired).await.unwrap();
    let second = deployments.patch("web", &params, &desired).await.unwrap();

    assert_eq!(first.resource_version(), second.resource_version());
    assert_eq!(first.managed_fields(), second.managed_fields());
    assert_eq!(first.metadata.generation, Some(1));
    let log = server.log().entries();
    assert_eq!((log[0].status, log[1].status), (201, 200));
}

#[tokio::test]
async fn when_somebody_edited_a_field_then_apply_conflicts_until_it_is_forced() {
    let server = server().await;
    let deployments: Api<Deployment> = Api::namespaced(client(&server).await, "one");
    let params = PatchParams::apply("baetyl");
    let desired = Patch::Apply(deployment("web:1"));
    deployments.patch("web", &params, &desired).await.unwrap();
    let edit = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "web:2"}]}}}});
    deployments
        .patch("web", &edit, &Patch::Strategic(image))
        .await
        .unwrap();

    let conflict = status(deployments.patch("web", &params, &desired).await);
    let forced = deployments
        .patch("web", &params.clone().force(), &desired)
        .await
        .unwrap();

    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        fields(&conflict),
        [".spec.template.spec.containers[name=\"a\"].image"]
    );
    assert!(conflict.message.ends_with(
        "conflict with \"kubectl-edit\" using apps/v1: \
         .spec.template.spec.containers[name=\"a\"].image"
    ));
    let template = forced.spec.unwrap().template.spec.unwrap();
    assert_eq!(template.containers[0].image.as_deref(), Some("web:1"));
    assert_eq!(forced.metadata.generation, Some(3));
}

#[tokio::test]
async fn when_a_key_is_no_longer_declared_then_it_goes_and_others_stay() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let params = PatchParams::apply("baetyl");
    let desired = Patch::Apply(config_map("a", json!({"x": "1", "y": "1"})));
    maps.patch("a", &params, &desired).await.unwrap();
    let other = Patch::Merge(json!({"data": {"z": "1"}}));
    maps.patch("a", &PatchParams::default(), &other)
        .await
        .unwrap();

    let desired = Patch::Apply(config_map("a", json!({"x": "1"})));
    let after = maps.patch("a", &params, &desired).await.unwrap();

    let keys: Vec<_> = after.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["x", "z"]);
}

#[tokio::test]
async fn when_a_uid_is_meant_then_another_object_is_not_touched() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let params = PatchParams::apply("baetyl").force();
    let mut desired = config_map("a", json!({"x": "1"}));
    desired["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");

    let absent = status(maps.patch("a", &params, &Patch::Apply(&desired)).await);
    let new = object(config_map("a", json!({})));
    maps.create(&PostParams::default(), &new).await.unwrap();
    let other = status(maps.patch("a", &params, &Patch::Apply(&desired)).await);

    assert_eq!((absent.code, other.code), (409, 409));
    assert!(absent.message.contains("and no existing object was found"));
    assert!(
        other
            .message
            .contains("Precondition failed: UID in precondition")
    );
}

#[tokio::test]
async fn when_a_field_is_not_known_then_the_answer_has_no_reason_as_that_of_the_server() {
    let server = server().await;
    let deployments: Api<Deployment> = Api::namespaced(client(&server).await, "one");
    let mut desired = deployment("web:1");
    desired["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");

    let params = PatchParams::apply("baetyl").validation_strict();
    let refused = status(
        deployments
            .patch("web", &params, &Patch::Apply(desired))
            .await,
    );

    assert_eq!((refused.code, refused.reason.as_str()), (500, ""));
    assert_eq!(
        refused.message,
        "failed to create typed patch object (one/web; apps/v1, Kind=Deployment): \
         .spec.template.spec.containers[name=\"a\"].imagee: field not declared in schema"
    );
}

#[tokio::test]
async fn when_apply_is_asked_wrongly_then_it_is_refused() {
    let server = server().await;
    let client = client(&server).await;
    let send = |query: &str, body: serde_json::Value| {
        let uri = format!("/api/v1/namespaces/one/configmaps/a?{query}");
        let request =
            http::Request::patch(uri).header("content-type", "application/apply-patch+yaml");
        let request = request.body(body.to_string().into_bytes()).unwrap();
        let client = client.clone();
        async move { status(client.request::<serde_json::Value>(request).await) }
    };
    let mut managed = config_map("a", json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let mut other_kind = config_map("a", json!({}));
    other_kind["kind"] = json!("Secret");

    let without_manager = send("", config_map("a", json!({}))).await;
    let with_managers = send("fieldManager=x", managed).await;
    let of_another_name = send("fieldManager=x", config_map("b", json!({}))).await;
    let of_another_kind = send("fieldManager=x", other_kind).await;

    assert_eq!(without_manager.code, 422);
    assert_eq!(with_managers.message, "metadata.managedFields must be nil");
    assert_eq!(
        of_another_name.message,
        "the name of the object (b) does not match the name on the URL (a)"
    );
    assert_eq!(of_another_kind.code, 400);
}

#[tokio::test]
async fn when_a_secret_is_applied_with_text_then_it_is_stored_as_data() {
    let server = server().await;
    let secrets: Api<Secret> = Api::namespaced(client(&server).await, "one");
    let params = PatchParams::apply("baetyl");
    let desired = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
        "stringData": {"x": "hello"},
    });

    let first = secrets
        .patch("a", &params, &Patch::Apply(&desired))
        .await
        .unwrap();
    let second = secrets
        .patch("a", &params, &Patch::Apply(&desired))
        .await
        .unwrap();

    assert_eq!(first.data.as_ref().unwrap()["x"].0, b"hello");
    assert_eq!(first.string_data, None);
    assert_eq!(first.resource_version(), second.resource_version());
}
