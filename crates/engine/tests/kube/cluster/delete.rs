//! Deleting exactly what is the application's.

use baetyl_engine::kube::object::{Object, ObjectKey};
use baetyl_engine::reason;
use serde_json::{Value, json};

use super::rig::{
    APPLICATION, NAMESPACE, Rig, config_map, definition, deployment, object, service, uid, widget,
};

fn targets(rig: &Rig, objects: &[Object]) -> Vec<(ObjectKey, Option<String>)> {
    let target = |object: &Object| {
        let live = rig.live(object.key());
        (object.key().clone(), live.map(|live| uid(&live)))
    };
    objects.iter().map(target).collect()
}

fn without_uid(objects: &[Object]) -> Vec<(ObjectKey, Option<String>)> {
    objects
        .iter()
        .map(|object| (object.key().clone(), None))
        .collect()
}

#[tokio::test]
async fn when_objects_are_deleted_then_the_last_applied_go_first() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1"), service("b"), deployment("c")];
    rig.apply(&objects).await.unwrap();
    let targets = targets(&rig, &objects);
    rig.server.log().clear();

    let deleted = rig.cluster.delete(APPLICATION, &targets).await.unwrap();

    assert_eq!(
        rig.writes(),
        [
            "delete deployments.apps/c",
            "delete services/b",
            "delete configmaps/a"
        ]
    );
    assert_eq!(rig.counts(), [("delete".to_owned(), 3)].into());
    assert_eq!(deleted.gone.len(), 3);
    assert!(deleted.terminating.is_empty() && deleted.waiting.is_empty());
    let again = rig.cluster.delete(APPLICATION, &targets).await.unwrap();
    assert_eq!(again.gone.len(), 3);
}

#[tokio::test]
async fn when_an_object_was_not_seen_then_it_is_looked_whose_it_is() {
    let rig = Rig::start().await;
    let ours = config_map("ours", "1");
    rig.apply(std::slice::from_ref(&ours)).await.unwrap();
    let foreign = json!({"metadata": {"name": "theirs"}});
    rig.store()
        .create("configmaps", NAMESPACE, foreign)
        .unwrap();
    let labels = json!({"baetyl.io/owner": super::rig::OWNER, "baetyl.io/application": "other"});
    let other = json!({"metadata": {"name": "other", "labels": labels}});
    rig.store().create("configmaps", NAMESPACE, other).unwrap();
    let names = ["ours", "theirs", "other", "never"];
    let objects = names.map(|name| config_map(name, "1"));

    let deleted = rig
        .cluster
        .delete(APPLICATION, &without_uid(&objects))
        .await
        .unwrap();

    assert_eq!(deleted.gone.len(), 4);
    assert!(rig.live(objects[0].key()).is_none());
    assert!(rig.live(objects[1].key()).is_some());
    assert!(rig.live(objects[2].key()).is_some());
}

#[tokio::test]
async fn when_another_object_has_the_name_then_it_stays() {
    let rig = Rig::start().await;
    let object = config_map("a", "1");
    rig.apply(std::slice::from_ref(&object)).await.unwrap();
    let stale = targets(&rig, std::slice::from_ref(&object));
    rig.store()
        .delete("configmaps", NAMESPACE, "a", Default::default())
        .unwrap();
    let foreign = json!({"metadata": {"name": "a"}});
    rig.store()
        .create("configmaps", NAMESPACE, foreign)
        .unwrap();

    let deleted = rig.cluster.delete(APPLICATION, &stale).await.unwrap();

    assert_eq!(deleted.gone, [object.key().clone()]);
    assert!(rig.live(object.key()).is_some());
}

#[tokio::test]
async fn when_custom_objects_go_slowly_then_their_operator_stays_until_they_are_gone() {
    let rig = Rig::start_with_more().await;
    let objects = [definition(), widget("w", json!(1)), deployment("operator")];
    rig.apply(&objects).await.unwrap();
    let hold = |body: &mut Value| body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    rig.store()
        .edit("widgets.example.com", NAMESPACE, "w", hold)
        .unwrap();
    let all = targets(&rig, &objects);

    let deleted = rig.cluster.delete(APPLICATION, &all).await.unwrap();

    assert_eq!(deleted.terminating, [objects[1].key().clone()]);
    assert_eq!(
        deleted.waiting,
        [objects[2].key().clone(), objects[0].key().clone()]
    );
    assert!(rig.live(objects[2].key()).is_some());

    let release = |body: &mut Value| body["metadata"]["finalizers"] = json!([]);
    rig.store()
        .edit("widgets.example.com", NAMESPACE, "w", release)
        .unwrap();
    let rest: Vec<_> = all
        .into_iter()
        .filter(|(key, _)| deleted.waiting.contains(key))
        .collect();
    let deleted = rig.cluster.delete(APPLICATION, &rest).await.unwrap();
    assert_eq!(
        deleted.gone.len() + deleted.terminating.len(),
        2,
        "{deleted:?}"
    );
    assert!(rig.live(objects[2].key()).is_none());
}

#[tokio::test]
async fn when_others_have_objects_of_a_kind_then_its_definition_stays() {
    let rig = Rig::start_with_more().await;
    let objects = [definition()];
    rig.apply(&objects).await.unwrap();
    let theirs = json!({"metadata": {"name": "theirs"}, "spec": {"size": 1}});
    rig.store()
        .create("widgets.example.com", NAMESPACE, theirs)
        .unwrap();

    let deleted = rig
        .cluster
        .delete(APPLICATION, &targets(&rig, &objects))
        .await
        .unwrap();

    let why = "Widget theirs is not this application's and would go with it".to_owned();
    assert_eq!(deleted.kept, [(objects[0].key().clone(), why)]);
    assert!(rig.live(objects[0].key()).is_some());
    assert!(
        rig.store()
            .get("widgets.example.com", NAMESPACE, "theirs")
            .is_some()
    );
}

#[tokio::test]
async fn when_a_namespace_holds_things_of_others_then_it_stays() {
    let rig = Rig::start_with_more().await;
    let namespace = object("v1", "Namespace", "own", json!({}));
    let mut body = config_map("a", "1").body().clone();
    body["metadata"]["namespace"] = "own".into();
    let objects = [namespace, Object::try_new(body).unwrap()];
    rig.apply(&objects).await.unwrap();
    let foreign = json!({"metadata": {"name": "theirs"}});
    rig.store().create("secrets", "own", foreign).unwrap();

    let deleted = rig
        .cluster
        .delete(APPLICATION, &targets(&rig, &objects))
        .await
        .unwrap();

    assert_eq!(deleted.kept[0].0, *objects[0].key());
    assert!(deleted.kept[0].1.contains("theirs"), "{deleted:?}");
    assert!(rig.store().get("secrets", "own", "theirs").is_some());

    rig.store()
        .delete("secrets", "own", "theirs", Default::default())
        .unwrap();
    let deleted = rig
        .cluster
        .delete(APPLICATION, &targets(&rig, &objects))
        .await
        .unwrap();
    assert!(deleted.kept.is_empty(), "{deleted:?}");
}

#[tokio::test]
async fn when_core_may_not_delete_then_nothing_before_it_goes() {
    let rig = Rig::start().await;
    let labels = super::rig::labels();
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "door", "labels": labels}, "spec": {"defaultBackend": backend}});
    let resource = "ingresses.networking.k8s.io";
    rig.store().create(resource, NAMESPACE, ingress).unwrap();
    let objects = [config_map("a", "1")];
    rig.apply(&objects).await.unwrap();
    let mut targets = targets(&rig, &objects);
    let door = ObjectKey::namespaced("networking.k8s.io/v1", "Ingress", NAMESPACE, "door");
    let live = rig.store().get(resource, NAMESPACE, "door").unwrap();
    targets.push((door, Some(uid(&live))));

    let rejection = rig.cluster.delete(APPLICATION, &targets).await.unwrap_err();

    assert_eq!(rejection.reason, reason::FORBIDDEN);
    assert_eq!(
        rejection.message,
        "Ingress baetyl-edge/door: this node lacks the permission to delete ingresses.networking.k8s.io in namespace baetyl-edge"
    );
    assert!(rig.live(objects[0].key()).is_some());
}
