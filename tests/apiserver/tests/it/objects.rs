//! Reading, writing and deleting objects.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::support::{client, config_map, deployment, fields, object, server, status};

#[tokio::test]
async fn when_an_object_is_created_then_it_can_be_read_replaced_and_deleted() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let new = object(config_map("a", json!({"x": "1"})));

    let created = maps.create(&PostParams::default(), &new).await.unwrap();
    let again = status(maps.create(&PostParams::default(), &new).await);
    let mut changed = maps.get("a").await.unwrap();
    changed.data = Some([("x".to_owned(), "2".to_owned())].into());
    let replaced = maps
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap();
    let stale = status(maps.replace("a", &PostParams::default(), &created).await);
    let deleted = maps.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = status(maps.get("a").await);

    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    assert_ne!(created.resource_version(), replaced.resource_version());
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    assert!(stale.message.contains("the object has been modified"));
    assert!(deleted.right().unwrap().is_success());
    assert_eq!(gone.message, "configmaps \"a\" not found");
}

#[tokio::test]
async fn when_a_list_is_read_in_pages_then_all_pages_show_one_moment() {
    let server = server().await;
    let client = client(&server).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "one");
    for index in 0..5 {
        let new = object(config_map(&format!("m{index}"), json!({})));
        maps.create(&PostParams::default(), &new).await.unwrap();
    }
    let page = |token: Option<String>| {
        let params = ListParams::default().limit(2);
        match token {
            Some(token) => params.continue_token(&token),
            None => params,
        }
    };

    let first = maps.list(&page(None)).await.unwrap();
    maps.delete("m3", &DeleteParams::default()).await.unwrap();
    let late = object(config_map("m9", json!({})));
    maps.create(&PostParams::default(), &late).await.unwrap();
    let second = maps
        .list(&page(first.metadata.continue_.clone()))
        .await
        .unwrap();
    let third = maps
        .list(&page(second.metadata.continue_.clone()))
        .await
        .unwrap();

    let pages = [&first, &second, &third];
    let names: Vec<_> = pages
        .iter()
        .flat_map(|page| page.iter().map(ConfigMap::name_any))
        .collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    assert_eq!(
        first.metadata.resource_version,
        third.metadata.resource_version
    );
    assert_eq!(third.metadata.continue_.as_deref().unwrap_or_default(), "");
}

#[tokio::test]
async fn when_the_moment_of_a_list_is_forgotten_then_it_expires() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    for index in 0..3 {
        let new = object(config_map(&format!("m{index}"), json!({})));
        maps.create(&PostParams::default(), &new).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(1)).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let new = object(config_map("late", json!({})));
    maps.create(&PostParams::default(), &new).await.unwrap();

    server.compact();
    let params = ListParams::default().limit(1).continue_token(&token);
    let expired = status(maps.list(&params).await);
    let exact = ListParams::default()
        .at(&first.metadata.resource_version.unwrap())
        .matching(kube::api::VersionMatch::Exact);
    let exact = status(maps.list(&exact).await);

    assert_eq!((expired.code, expired.reason.as_str()), (410, "Expired"));
    assert_eq!((exact.code, exact.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn when_a_version_is_yet_to_come_then_the_answer_is_a_timeout() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");

    let list = status(maps.list(&ListParams::default().at("99999")).await);
    let get = status(maps.get_with("a", &GetParams::at("99999")).await);

    assert_eq!((list.code, get.code), (504, 504));
    assert_eq!(list.reason, "Timeout");
}

#[tokio::test]
async fn when_objects_are_selected_then_only_those_are_listed_and_deleted() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut new = config_map(name, json!({}));
        new["metadata"]["labels"] = json!({"of": label});
        maps.create(&PostParams::default(), &object(new))
            .await
            .unwrap();
    }
    let names = |list: kube::api::ObjectList<ConfigMap>| -> Vec<String> {
        list.iter().map(ConfigMap::name_any).collect()
    };

    let labelled = maps
        .list(&ListParams::default().labels("of=x"))
        .await
        .unwrap();
    let named = maps
        .list(&ListParams::default().fields("metadata.name=b"))
        .await
        .unwrap();
    let params = ListParams::default().labels("of in (x)");
    maps.delete_collection(&DeleteParams::default(), &params)
        .await
        .unwrap();
    let left = maps.list(&ListParams::default()).await.unwrap();
    let refused = status(maps.list(&ListParams::default().fields("data.x=1")).await);

    assert_eq!(names(labelled), ["a", "c"]);
    assert_eq!(names(named), ["b"]);
    assert_eq!(names(left), ["b"]);
    assert_eq!(refused.code, 400);
}

#[tokio::test]
async fn when_nothing_is_to_be_stored_then_nothing_is() {
    let server = server().await;
    let client = client(&server).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "one");
    let deployments: Api<Deployment> = Api::namespaced(client, "one");
    let before = server.store().version();

    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let created = maps
        .create(&dry, &object(config_map("a", json!({"x": "1"}))))
        .await
        .unwrap();
    let apply = PatchParams::apply("baetyl").dry_run();
    let applied = deployments
        .patch("web", &apply, &Patch::Apply(deployment("web:1")))
        .await
        .unwrap();
    let mut wrong = deployment("web:1");
    wrong["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
    let refused = status(deployments.patch("web", &apply, &Patch::Apply(wrong)).await);

    assert!(created.uid().is_some());
    assert_eq!(applied.spec.unwrap().replicas, Some(1));
    assert_eq!(fields(&refused), ["spec.template.metadata.labels"]);
    assert_eq!(server.store().version(), before);
    assert!(
        server
            .log()
            .entries()
            .iter()
            .all(|request| request.is_dry_run)
    );
}

#[tokio::test]
async fn when_preconditions_do_not_hold_then_nothing_is_deleted() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let new = object(config_map("a", json!({})));
    let created = maps.create(&PostParams::default(), &new).await.unwrap();
    let with = |uid: &str| {
        DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        })
    };

    let other = status(maps.delete("a", &with("another")).await);
    let own = maps.delete("a", &with(&created.uid().unwrap())).await;

    assert_eq!(other.code, 409);
    assert!(
        other
            .message
            .contains("Precondition failed: UID in precondition: another")
    );
    assert!(own.is_ok());
}

#[tokio::test]
async fn when_dependents_are_to_stay_then_they_do() {
    let server = server().await;
    let client = client(&server).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "one");
    let secrets: Api<Secret> = Api::namespaced(client, "one");
    let owner = maps
        .create(&PostParams::default(), &object(config_map("a", json!({}))))
        .await
        .unwrap();
    for name in ["b", "c"] {
        let secret = json!({"metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner.uid(),
        }]}});
        secrets
            .create(&PostParams::default(), &object(secret))
            .await
            .unwrap();
    }
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };

    maps.delete("a", &orphan).await.unwrap();

    let left = secrets.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 2);
    assert!(
        left.iter()
            .all(|secret| secret.owner_references().is_empty())
    );
}

#[tokio::test]
async fn when_a_finalizer_holds_an_object_then_it_is_marked_and_goes_later() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let mut new = config_map("a", json!({}));
    new["metadata"]["finalizers"] = json!(["test/hold"]);
    maps.create(&PostParams::default(), &object(new))
        .await
        .unwrap();

    let pending = maps.delete("a", &DeleteParams::default()).await.unwrap();
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("a", &PatchParams::default(), &release)
        .await
        .unwrap();

    assert!(
        pending
            .left()
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    assert_eq!(status(maps.get("a").await).code, 404);
}

#[tokio::test]
async fn when_unknown_fields_are_refused_then_strictly_and_otherwise_warned_of() {
    let server = server().await;
    let client = client(&server).await;
    let send = |query: &str| {
        let mut body = config_map("a", json!({}));
        body["spec"] = json!({"x": 1});
        let uri = format!("/api/v1/namespaces/one/configmaps?dryRun=All&fieldValidation={query}");
        let request = http::Request::post(uri).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).unwrap();
        client.send(request.map(kube::client::Body::from))
    };

    let strict = send("Strict").await.unwrap();
    let warn = send("Warn").await.unwrap();

    assert_eq!(strict.status(), 400);
    assert_eq!(warn.status(), 201);
    let warning = warn.headers()["warning"].to_str().unwrap();
    assert_eq!(warning, "299 - \"unknown field \\\"spec\\\"\"");
}

#[tokio::test]
async fn when_a_namespace_is_not_there_then_nothing_is_created_in_it() {
    let server = server().await;
    let client = client(&server).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "two");
    let namespaces: Api<Namespace> = Api::all(client);
    let new = object(json!({"metadata": {"name": "a"}}));

    let missing = status(maps.create(&PostParams::default(), &new).await);
    let params = DeleteParams::default();
    let ending = namespaces.delete("one", &params).await.unwrap();

    assert_eq!(missing.message, "namespaces \"two\" not found");
    assert!(ending.is_left());
    assert_eq!(status(namespaces.get("one").await).code, 404);
}

#[tokio::test]
async fn when_only_metadata_is_asked_for_then_nothing_else_comes() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let new = object(config_map("a", json!({"x": "1"})));
    maps.create(&PostParams::default(), &new).await.unwrap();

    let one = maps.get_metadata("a").await.unwrap();
    let list = maps.list_metadata(&ListParams::default()).await.unwrap();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    let patched = maps
        .patch_metadata("a", &PatchParams::default(), &patch)
        .await
        .unwrap();

    assert_eq!(one.name_any(), "a");
    assert_eq!(one.types.unwrap().kind, "PartialObjectMetadata");
    assert_eq!(list.items.len(), 1);
    assert_eq!(patched.annotations()["a"], "b");
    assert!(maps.get("a").await.unwrap().data.is_some());
}

#[tokio::test]
async fn when_status_and_scale_are_written_then_nothing_else_changes() {
    let server = server().await;
    let deployments: Api<Deployment> = Api::namespaced(client(&server).await, "one");
    let new = object(deployment("web:1"));
    deployments
        .create(&PostParams::default(), &new)
        .await
        .unwrap();

    let status = Patch::Merge(json!({"status": {"replicas": 1}, "spec": {"paused": true}}));
    let params = PatchParams::default();
    let written = deployments
        .patch_status("web", &params, &status)
        .await
        .unwrap();
    let main = Patch::Merge(json!({"status": {"replicas": 7}}));
    let ignored = deployments.patch("web", &params, &main).await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let scaled = deployments
        .patch_scale("web", &params, &scale)
        .await
        .unwrap();
    let after = deployments.get("web").await.unwrap();

    assert_eq!(written.status.unwrap().replicas, Some(1));
    assert_eq!(written.spec.unwrap().paused, None);
    assert_eq!(ignored.status.unwrap().replicas, Some(1));
    assert_eq!(scaled.spec.unwrap().replicas, Some(4));
    assert_eq!(after.spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn when_an_object_is_invalid_then_every_field_is_named() {
    let server = server().await;
    let deployments: Api<Deployment> = Api::namespaced(client(&server).await, "one");
    let mut new = deployment("");
    new["spec"]["replicas"] = json!(-1);
    new["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "nothing", "mountPath": "/x"}]);

    let refused = status(
        deployments
            .create(&PostParams::default(), &object(new))
            .await,
    );

    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    assert!(
        refused
            .message
            .starts_with("Deployment.apps \"web\" is invalid: [")
    );
    assert_eq!(
        fields(&refused),
        [
            "spec.replicas",
            "spec.template.spec.containers[0].image",
            "spec.template.spec.containers[0].volumeMounts[0].name",
        ]
    );
}
