//! A check finds everything that is wrong, and changes nothing.

use baetyl_engine::kube::cluster::Rejection;
use baetyl_engine::kube::object::Object;
use baetyl_engine::reason;
use serde_json::json;

use super::rig::{NAMESPACE, OWNER, Rig, config_map, deployment, object, service, version};

/// Object, field and reason of each violation.
fn rows(rejection: &Rejection) -> Vec<(String, &str, &'static str)> {
    let violations = rejection.violations.iter();
    violations
        .map(|v| (v.object.to_string(), v.field.as_str(), v.reason))
        .collect()
}

#[tokio::test]
async fn when_objects_are_checked_then_nothing_changes_and_nothing_is_asked_twice() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1"), deployment("b"), service("c")];
    let before = rig.store().version();

    rig.check(&objects).await.unwrap();

    assert_eq!(rig.store().version(), before);
    let counts = rig.counts();
    // Two group versions; to look whose each is, and to try it.
    assert_eq!(counts["discovery"], 2);
    assert_eq!(counts["get"], 3);
    assert_eq!(counts["dry run"], 3);
    assert_eq!(counts.len(), 3);

    rig.server.log().clear();
    rig.apply(&objects).await.unwrap();
    rig.server.log().clear();
    rig.check(&objects).await.unwrap();

    // Kinds and owners are known by now.
    assert_eq!(rig.counts(), [("dry run".to_owned(), 3)].into());
}

#[tokio::test]
async fn when_many_things_are_wrong_then_all_are_named_at_once() {
    let rig = Rig::start().await;
    let mut unknown = deployment("unknown");
    unknown.edit(|body| body["spec"]["template"]["spec"]["shape"] = "round".into());
    let ports = json!([{"containerPort": 70000}]);
    let mut range = deployment("range");
    range.edit(|body| body["spec"]["template"]["spec"]["containers"][0]["ports"] = ports);
    let objects = [
        config_map("fine", "1"),
        unknown,
        range,
        config_map("Wrong_Name", "1"),
    ];

    let rejection = rig.check(&objects).await.unwrap_err();

    assert!(rejection.is_final);
    assert_eq!(rejection.reason, reason::INVALID_OBJECT);
    let expected = [
        (
            format!("Deployment {NAMESPACE}/range"),
            "spec.template.spec.containers[0].ports[0].containerPort",
        ),
        (
            format!("Deployment {NAMESPACE}/unknown"),
            "spec.template.spec.shape",
        ),
        (format!("ConfigMap {NAMESPACE}/Wrong_Name"), "metadata.name"),
    ];
    let mut found = rows(&rejection);
    found.sort();
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|(o, f)| (o, f, reason::INVALID_OBJECT))
        .collect();
    expected.sort();
    assert_eq!(found, expected, "{rejection}");
    assert!(
        rig.store()
            .list("configmaps", NAMESPACE)
            .iter()
            .all(|o| o["metadata"]["name"] != "fine")
    );
}

#[tokio::test]
async fn when_an_object_is_somebody_elses_then_it_is_refused_and_not_touched() {
    let rig = Rig::start().await;
    let foreign = json!({"metadata": {"name": "a"}, "data": {"theirs": "1"}});
    let theirs = rig
        .store()
        .create("configmaps", NAMESPACE, foreign)
        .unwrap();
    let object = config_map("a", "1");

    let checked = rig.check(std::slice::from_ref(&object)).await.unwrap_err();
    let applied = rig
        .cluster
        .apply(
            std::slice::from_ref(&object),
            &Default::default(),
            &Default::default(),
            &rig.options,
        )
        .await
        .unwrap_err()
        .rejection;
    let repaired = rig
        .cluster
        .repair(&object, None, &rig.options)
        .await
        .unwrap_err();

    for rejection in [checked, applied, repaired] {
        assert_eq!(rejection.reason, reason::OBJECT_NOT_OURS);
        assert!(rejection.is_final);
        assert_eq!(
            rejection.message,
            "ConfigMap baetyl-edge/a: it exists already and belongs to somebody else"
        );
    }
    assert_eq!(version(&rig.live(object.key()).unwrap()), version(&theirs));
    assert!(rig.writes().is_empty(), "{:?}", rig.writes());
}

#[tokio::test]
async fn when_an_object_belongs_to_another_application_or_node_then_it_says_to_which() {
    let rig = Rig::start().await;
    let rows = [
        ("other", OWNER, "application other"),
        ("watcher", "another-uid", "another node, another-uid"),
    ];
    for (application, owner, whose) in rows {
        let labels = json!({"baetyl.io/owner": owner, "baetyl.io/application": application});
        let name = format!("of-{application}");
        let body = json!({"metadata": {"name": name, "labels": labels}});
        rig.store().create("configmaps", NAMESPACE, body).unwrap();

        let rejection = rig.check(&[config_map(&name, "1")]).await.unwrap_err();

        assert_eq!(rejection.reason, reason::OBJECT_NOT_OURS);
        assert!(rejection.message.ends_with(whose), "{rejection}");
    }
}

#[tokio::test]
async fn when_a_field_was_edited_by_hand_then_it_is_forced_back() {
    let rig = Rig::start().await;
    let objects = [deployment("a")];
    rig.apply(&objects).await.unwrap();
    rig.store()
        .named("kubectl-edit")
        .edit("deployments.apps", NAMESPACE, "a", |body| {
            body["spec"]["replicas"] = 5.into()
        })
        .unwrap();

    rig.apply(&objects).await.unwrap();

    assert_eq!(rig.live(objects[0].key()).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn when_somebody_declares_a_field_then_it_is_reported_and_forced_only_on_demand() {
    let mut rig = Rig::start().await;
    let objects = [deployment("a")];
    rig.apply(&objects).await.unwrap();
    let theirs = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": NAMESPACE},
        "spec": {"replicas": 7},
    });
    rig.store().named("argocd").apply(&theirs).unwrap();

    let rejection = rig.check(&objects).await.unwrap_err();

    assert_eq!(rejection.reason, reason::FIELD_CONFLICT);
    assert!(rejection.is_final);
    assert_eq!(
        rejection.message,
        "Deployment baetyl-edge/a: spec.replicas: argocd declares this field with another value"
    );
    let repair = rig
        .cluster
        .repair(&objects[0], None, &rig.options)
        .await
        .unwrap_err();
    assert_eq!(repair.reason, reason::FIELD_CONFLICT);
    assert_eq!(rig.live(objects[0].key()).unwrap()["spec"]["replicas"], 7);

    rig.options.force_conflicts = true;
    rig.apply(&objects).await.unwrap();
    assert_eq!(rig.live(objects[0].key()).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn when_core_lacks_permissions_then_each_is_named() {
    let rig = Rig::start_without_rights().await;
    let objects = [config_map("a", "1"), deployment("b")];

    let rejection = rig.check(&objects).await.unwrap_err();

    assert_eq!(rejection.reason, reason::FORBIDDEN);
    assert!(!rejection.is_final, "somebody may give them");
    let messages: Vec<&str> = rejection
        .violations
        .iter()
        .map(|v| v.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "this node lacks the permission to get deployments.apps in namespace baetyl-edge",
            "this node lacks the permission to get configmaps in namespace baetyl-edge",
        ]
    );
}

#[tokio::test]
async fn when_a_namespace_does_not_exist_then_it_is_said_and_tried_again() {
    let rig = Rig::start_with_more().await;
    let mut body = config_map("a", "1").body().clone();
    body["metadata"]["namespace"] = "nowhere".into();
    let object = Object::try_new(body).unwrap();

    let rejection = rig.check(&[object]).await.unwrap_err();

    assert_eq!(rejection.reason, reason::NAMESPACE_NOT_FOUND);
    assert!(!rejection.is_final);
}

#[tokio::test]
async fn when_a_kind_is_unknown_then_it_is_not_asked_for_again_at_once() {
    let rig = Rig::start().await;
    let objects = [
        object("example.org/v1", "Gadget", "a", json!({})),
        object("v1", "Gadget", "b", json!({})),
    ];

    let rejection = rig.check(&objects).await.unwrap_err();

    assert_eq!(rejection.reason, reason::KIND_NOT_FOUND);
    assert!(!rejection.is_final, "another application may bring it");
    assert_eq!(rejection.violations.len(), 2);
    rig.server.log().clear();
    rig.check(&objects).await.unwrap_err();
    assert!(rig.counts().is_empty(), "{:?}", rig.counts());
}

#[tokio::test]
async fn when_an_object_cannot_be_where_it_says_then_it_is_refused_without_asking() {
    let rig = Rig::start().await;
    rig.check(&[config_map("warm", "1")]).await.unwrap();
    rig.server.log().clear();
    let mut nowhere = config_map("a", "1").body().clone();
    nowhere["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("namespace");
    let mut path = config_map("a", "1").body().clone();
    path["metadata"]["name"] = "..".into();
    for (body, field) in [(nowhere, "metadata.namespace"), (path, "metadata.name")] {
        let object = Object::try_new(body).unwrap();

        let rejection = rig.check(&[object]).await.unwrap_err();

        assert_eq!(rejection.violations[0].field, field);
        assert!(rejection.is_final);
    }
    assert!(rig.counts().is_empty());
}
