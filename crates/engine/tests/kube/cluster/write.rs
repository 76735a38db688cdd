//! Applying in order, again, and making right what was changed.

use baetyl_engine::kube::cluster::{Checked, Known};
use baetyl_engine::reason;
use serde_json::json;

use super::rig::{NAMESPACE, Rig, config_map, deployment, object, service, uid, version, with};

#[tokio::test]
async fn when_a_set_is_applied_then_each_comes_after_what_it_needs() {
    let rig = Rig::start().await;
    let account = object(
        "v1",
        "ServiceAccount",
        "a",
        json!({"automountServiceAccountToken": false}),
    );
    let budget = object(
        "policy/v1",
        "PodDisruptionBudget",
        "a",
        json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "a"}}}}),
    );
    let objects = [
        budget,
        deployment("a"),
        service("a"),
        config_map("a", "1"),
        account,
    ];

    let applied = rig.apply(&objects).await.unwrap();

    assert_eq!(
        rig.writes(),
        [
            "patch serviceaccounts/a",
            "patch configmaps/a",
            "patch services/a",
            "patch deployments.apps/a",
            "patch poddisruptionbudgets.policy/a",
        ]
    );
    assert_eq!(applied.objects.len(), 5);
    let live = rig.live(objects[1].key()).unwrap();
    let seen = &applied.objects[objects[1].key()];
    assert_eq!(
        (&seen.uid, &seen.resource_version),
        (&uid(&live), &version(&live))
    );
    assert_eq!((seen.generation, seen.changed), (1, true));
}

#[tokio::test]
async fn when_the_same_is_applied_again_then_nothing_changes() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1"), deployment("b"), service("c")];
    rig.apply(&objects).await.unwrap();
    let before = rig.store().version();
    rig.server.log().clear();

    let known = rig.known(&objects);
    let applied = rig
        .cluster
        .apply(&objects, &Checked::default(), &known, &rig.options)
        .await;

    assert!(
        applied
            .unwrap()
            .objects
            .values()
            .all(|object| !object.changed)
    );
    assert_eq!(rig.store().version(), before);
    assert_eq!(rig.counts(), [("patch".to_owned(), 3)].into());
}

#[tokio::test]
async fn when_a_field_is_no_longer_set_then_it_goes() {
    let rig = Rig::start().await;
    let mut object = config_map("a", "1");
    object.edit(|body| body["data"]["more"] = "2".into());
    rig.apply(std::slice::from_ref(&object)).await.unwrap();

    rig.apply(&[config_map("a", "3")]).await.unwrap();

    assert_eq!(rig.live(object.key()).unwrap()["data"], json!({"key": "3"}));
}

#[tokio::test]
async fn when_the_known_object_was_replaced_by_another_then_that_is_not_touched() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1")];
    rig.apply(&objects).await.unwrap();
    let stale: Known = rig.known(&objects);
    rig.store()
        .delete("configmaps", NAMESPACE, "a", Default::default())
        .unwrap();
    let foreign = json!({"metadata": {"name": "a"}, "data": {"theirs": "1"}});
    let theirs = rig
        .store()
        .create("configmaps", NAMESPACE, foreign)
        .unwrap();

    let failure = rig
        .cluster
        .apply(&objects, &Checked::default(), &stale, &rig.options)
        .await
        .unwrap_err();

    assert_eq!(failure.rejection.reason, reason::OBJECT_CHANGED);
    assert!(!failure.rejection.is_final);
    assert_eq!(
        version(&rig.live(objects[0].key()).unwrap()),
        version(&theirs)
    );
}

#[tokio::test]
async fn when_somebody_is_faster_with_a_name_then_theirs_is_not_touched() {
    for (data, force_conflicts) in [
        (json!({"theirs": "1"}), false),
        (json!({"key": "1"}), false),
        (json!({"key": "theirs"}), false),
        (json!({"key": "theirs"}), true),
    ] {
        let mut rig = Rig::start().await;
        rig.options.force_conflicts = force_conflicts;
        let objects = [config_map("a", "1")];
        let checked = rig.check(&objects).await.unwrap();
        let foreign = json!({"metadata": {"name": "a"}, "data": data});
        let theirs = rig
            .store()
            .create("configmaps", NAMESPACE, foreign)
            .unwrap();

        let applied = rig
            .cluster
            .apply(&objects, &checked, &Known::new(), &rig.options)
            .await;

        let rejection = applied.unwrap_err().rejection;
        assert_eq!(rejection.reason, reason::OBJECT_CHANGED, "{data}");
        assert!(!rejection.is_final);
        assert_eq!(*rig.live(objects[0].key()).unwrap(), *theirs, "{data}");
        let rejection = rig.apply(&objects).await.unwrap_err().rejection;
        assert_eq!(rejection.violations[0].reason, reason::OBJECT_NOT_OURS);
    }
}

#[tokio::test]
async fn when_an_object_was_removed_or_edited_then_a_repair_makes_it_right() {
    let rig = Rig::start().await;
    let object = config_map("a", "1");
    rig.apply(std::slice::from_ref(&object)).await.unwrap();
    rig.store()
        .delete("configmaps", NAMESPACE, "a", Default::default())
        .unwrap();

    let repaired = rig
        .cluster
        .repair(&object, None, &rig.options)
        .await
        .unwrap();

    let live = rig.live(object.key()).unwrap();
    assert_eq!(repaired.uid, uid(&live));

    rig.store()
        .named("hand")
        .edit("configmaps", NAMESPACE, "a", |body| {
            body["data"]["key"] = "9".into()
        })
        .unwrap();
    rig.server.log().clear();
    let repaired = rig
        .cluster
        .repair(&object, Some(&uid(&live)), &rig.options)
        .await
        .unwrap();
    assert_eq!(repaired.uid, uid(&live));
    assert_eq!(rig.live(object.key()).unwrap()["data"]["key"], "1");
    assert_eq!(rig.counts(), [("patch".to_owned(), 2)].into());
}

#[tokio::test]
async fn when_the_number_of_a_named_port_was_edited_then_a_repair_takes_it_back() {
    let rig = Rig::start().await;
    let mut object = service("a");
    object.edit(|body| {
        body["spec"]["ports"] = json!([{"name": "http", "port": 80, "targetPort": 8080}]);
    });
    rig.apply(std::slice::from_ref(&object)).await.unwrap();
    let before = rig.live(object.key()).unwrap();
    rig.store()
        .named("hand")
        .edit("services", NAMESPACE, "a", |body| {
            body["spec"]["ports"][0]["port"] = 81.into();
            body["spec"]["sessionAffinity"] = "ClientIP".into();
        })
        .unwrap();

    let repaired = rig
        .cluster
        .repair(&object, Some(&uid(&before)), &rig.options)
        .await
        .unwrap();

    assert!(repaired.changed);
    let live = rig.live(object.key()).unwrap();
    assert_eq!(live["spec"]["ports"], before["spec"]["ports"]);
    assert_eq!(live["spec"]["sessionAffinity"], "ClientIP", "not ours");
}

#[tokio::test]
async fn when_pods_are_touched_then_only_their_annotation_changes() {
    let rig = Rig::start().await;
    for name in ["one", "two"] {
        let spec = json!({"containers": [{"name": "main", "image": "busybox:1"}]});
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        rig.store().create("pods", NAMESPACE, pod).unwrap();
    }
    let pods = ["one", "gone", "two"].map(|name| (NAMESPACE.to_owned(), name.to_owned()));

    rig.cluster.touch_pods(&pods, "abc").await.unwrap();

    for name in ["one", "two"] {
        let pod = rig.store().get("pods", NAMESPACE, name).unwrap();
        assert_eq!(
            pod["metadata"]["annotations"],
            json!({"baetyl.io/inputs": "abc"})
        );
    }
    assert_eq!(rig.counts(), [("patch".to_owned(), 3)].into());
}

#[tokio::test]
async fn when_part_of_a_set_fails_then_it_says_what_was_applied_and_goes_on_from_there() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1"), deployment("b")];
    let checked = rig.check(&objects).await.unwrap();
    let bad = with(
        deployment("b"),
        "/spec/template/spec/containers/0/name",
        "Not A Name".into(),
    );

    let failure = rig
        .cluster
        .apply(
            &[config_map("a", "1"), bad],
            &checked,
            &Known::new(),
            &rig.options,
        )
        .await
        .unwrap_err();

    let applied: Vec<_> = failure.applied.objects.keys().collect();
    assert_eq!(applied, [objects[0].key()]);
    assert_eq!(failure.rejection.reason, reason::INVALID_OBJECT);
    rig.apply(&objects).await.unwrap();
    assert!(rig.live(objects[1].key()).is_some());
}
