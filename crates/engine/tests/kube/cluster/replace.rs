//! Fields that cannot change in place.

use baetyl_engine::kube::object::Object;
use baetyl_engine::reason;
use serde_json::{Value, json};

use super::rig::{NAMESPACE, Rig, deployment, object, pod_template, uid, with};

fn stateful_set(service: &str) -> Object {
    let spec = json!({
        "replicas": 1,
        "serviceName": service,
        "selector": {"matchLabels": {"app": "db"}},
        "template": pod_template("db"),
    });
    object("apps/v1", "StatefulSet", "db", json!({"spec": spec}))
}

fn job(command: &str) -> Object {
    let mut template = pod_template("job");
    template["spec"]["restartPolicy"] = "Never".into();
    template["spec"]["containers"][0]["command"] = json!([command]);
    object(
        "batch/v1",
        "Job",
        "once",
        json!({"spec": {"template": template}}),
    )
}

/// A pod that belongs to an object.
fn owned_pod(rig: &Rig, owner: &Value, app: &str) {
    let metadata = json!({
        "name": "db-0",
        "labels": {"app": app},
        "ownerReferences": [{
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    let spec = json!({"containers": [{"name": "main", "image": "busybox:1"}]});
    let pod = json!({"metadata": metadata, "spec": spec});
    rig.store().create("pods", NAMESPACE, pod).unwrap();
}

#[tokio::test]
async fn when_a_stateful_set_cannot_change_then_it_is_replaced_and_its_pods_go_on() {
    let rig = Rig::start().await;
    let old = stateful_set("old");
    rig.apply(std::slice::from_ref(&old)).await.unwrap();
    let before = rig.live(old.key()).unwrap();
    owned_pod(&rig, &before, "db");
    let pod = uid(&rig.store().get("pods", NAMESPACE, "db-0").unwrap());
    let new = [stateful_set("new")];

    let checked = rig.check(&new).await.unwrap();
    assert!(checked.replace[old.key()].keeps_pods);
    rig.apply(&new).await.unwrap();

    let after = rig.live(old.key()).unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["spec"]["serviceName"], "new");
    let kept = rig.store().get("pods", NAMESPACE, "db-0").unwrap();
    assert_eq!(uid(&kept), pod);
}

#[tokio::test]
async fn when_a_job_cannot_change_then_it_is_made_anew() {
    let rig = Rig::start().await;
    rig.apply(&[job("one")]).await.unwrap();
    let new = [job("two")];

    let checked = rig.check(&new).await.unwrap();
    assert!(!checked.replace[new[0].key()].keeps_pods);
    rig.apply(&new).await.unwrap();

    let live = rig.live(new[0].key()).unwrap();
    let command = live.pointer("/spec/template/spec/containers/0/command");
    assert_eq!(command, Some(&json!(["two"])));
}

#[tokio::test]
async fn when_nobody_checked_then_a_replacement_is_found_while_applying() {
    let rig = Rig::start().await;
    rig.apply(&[job("one")]).await.unwrap();
    let new = [job("two")];
    let known = rig.known(&new);

    let applied = rig
        .cluster
        .apply(&new, &Default::default(), &known, &rig.options)
        .await;

    assert!(applied.unwrap().objects[new[0].key()].changed);
}

#[tokio::test]
async fn when_data_could_be_lost_then_the_change_is_refused() {
    let rig = Rig::start().await;
    let claim = |class: &str| {
        let spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}},
        });
        object("v1", "PersistentVolumeClaim", "data", json!({"spec": spec}))
    };
    rig.apply(&[claim("fast")]).await.unwrap();

    let rejection = rig.check(&[claim("slow")]).await.unwrap_err();

    assert_eq!(rejection.reason, reason::IMMUTABLE_FIELD);
    assert!(rejection.is_final);
    assert!(
        rejection
            .message
            .starts_with("PersistentVolumeClaim baetyl-edge/data: spec")
    );
}

#[tokio::test]
async fn when_the_pods_would_be_left_behind_then_the_change_is_refused() {
    let rig = Rig::start().await;
    rig.apply(&[deployment("web")]).await.unwrap();
    let other = with(
        deployment("web"),
        "/spec/selector/matchLabels/app",
        "api".into(),
    );
    let other = with(other, "/spec/template/metadata/labels/app", "api".into());

    let rejection = rig.check(&[other]).await.unwrap_err();

    assert_eq!(rejection.reason, reason::IMMUTABLE_FIELD);
    assert_eq!(rejection.violations[0].field, "spec.selector");
    assert!(rejection.message.contains("another name"), "{rejection}");
}

#[tokio::test]
async fn when_the_new_selector_finds_the_pods_then_they_are_taken_over() {
    let rig = Rig::start().await;
    let mut old = deployment("web");
    old.edit(|body| body["spec"]["template"]["metadata"]["labels"]["tier"] = "front".into());
    rig.apply(std::slice::from_ref(&old)).await.unwrap();
    let mut new = old.clone();
    new.edit(|body| body["spec"]["selector"]["matchLabels"] = json!({"tier": "front"}));

    let checked = rig.check(std::slice::from_ref(&new)).await.unwrap();

    assert!(checked.replace[new.key()].keeps_pods);
    rig.apply(std::slice::from_ref(&new)).await.unwrap();
    let live = rig.live(new.key()).unwrap();
    assert_eq!(
        live["spec"]["selector"]["matchLabels"],
        json!({"tier": "front"})
    );
}

#[tokio::test]
async fn when_an_old_object_goes_slowly_then_the_new_one_waits_for_it() {
    let rig = Rig::start().await;
    let old = job("one");
    rig.apply(std::slice::from_ref(&old)).await.unwrap();
    let hold = |body: &mut Value| body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    rig.store()
        .edit("jobs.batch", NAMESPACE, "once", hold)
        .unwrap();
    let new = [job("two")];
    let release = async {
        let store = rig.store();
        let is_ending = |store: &baetyl_apiserver::Store| {
            let job = store.get("jobs.batch", NAMESPACE, "once")?;
            job["metadata"]["deletionTimestamp"]
                .is_string()
                .then_some(())
        };
        store
            .wait_for(std::time::Duration::from_secs(30), is_ending)
            .await
            .unwrap();
        let release = |body: &mut Value| body["metadata"]["finalizers"] = json!([]);
        store
            .edit("jobs.batch", NAMESPACE, "once", release)
            .unwrap();
    };

    let (applied, ()) = tokio::join!(rig.apply(&new), release);

    assert_eq!(applied.unwrap().objects.len(), 1);
    let live = rig.live(new[0].key()).unwrap();
    assert!(live["metadata"]["deletionTimestamp"].is_null());
}
