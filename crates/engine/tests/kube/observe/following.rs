//! Kinds that only some applications have.

use std::collections::BTreeSet;

use baetyl_apiserver::Deletion;
use baetyl_engine::kube::facts::{Health, KindName};
use serde_json::{Value, json};

use super::rig::{CLUSTER_ROLE, EDGE, Rig, ours, role};

const WIDGETS: &str = "widgets.example.com";
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What an installation grants beyond the committed role.
const EXTRA: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: extra}
rules:
  - apiGroups: [example.com]
    resources: [widgets]
    verbs: [list, watch]
  - apiGroups: [apiextensions.k8s.io]
    resources: [customresourcedefinitions]
    verbs: [list, watch]
"#;

fn widget_kind() -> KindName {
    ("example.com/v1".to_owned(), "Widget".to_owned())
}

fn definition_kind() -> KindName {
    let group = "apiextensions.k8s.io/v1".to_owned();
    (group, "CustomResourceDefinition".to_owned())
}

fn definition() -> Value {
    json!({
        "metadata": {"name": WIDGETS, "labels": super::labels("web")},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
                "subresources": {"status": {}},
            }],
        },
    })
}

fn widget(application: &str, name: &str) -> Value {
    json!({"metadata": ours(application, name), "spec": {"size": 1}})
}

#[tokio::test]
async fn when_a_kind_is_defined_later_then_it_is_seen_from_then_on() {
    let rig = Rig::prepared(&[&role(EDGE), CLUSTER_ROLE, EXTRA], |_| (), |_| ()).await;
    rig.ready().await;
    let store = rig.store();

    rig.watches
        .follow("web", BTreeSet::from([widget_kind(), definition_kind()]));
    let at_once = rig.watches.facts("web").borrow().clone();
    let unserved = rig
        .facts("web", |facts| {
            let why = facts.unobserved.get(&widget_kind());
            why.is_some_and(|why| why.contains("does not serve"))
        })
        .await;
    store.create(DEFINITIONS, "", definition()).expect("new");
    rig.facts("web", |facts| facts.unobserved.is_empty()).await;
    store
        .create(WIDGETS, EDGE, widget("web", "w"))
        .expect("new");
    let status = store.edit_status(WIDGETS, EDGE, "w", |object| {
        object["status"] = json!({"conditions": [{
            "type": "Ready",
            "status": "False",
            "reason": "Waiting",
            "message": "for its turn",
        }]});
    });
    status.expect("it is there");
    let facts = rig
        .facts("web", |facts| {
            let is_waiting = |health: &Health| matches!(health, Health::Progressing { .. });
            let mut objects = facts.objects.iter();
            objects.any(|(key, object)| key.kind == "Widget" && is_waiting(&object.health))
        })
        .await;

    let unobserved: Vec<_> = at_once.unobserved.keys().cloned().collect();
    assert_eq!(unobserved, [definition_kind(), widget_kind()]);
    assert!(unserved.objects.is_empty());
    let kinds: Vec<_> = facts.objects.keys().map(|key| &*key.kind).collect();
    assert_eq!(kinds, ["CustomResourceDefinition", "Widget"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_nobody_needs_a_kind_any_more_then_it_is_not_watched() {
    let before = |server: &baetyl_apiserver::ApiServer| {
        let store = server.store();
        store.create(DEFINITIONS, "", definition()).expect("new");
        for application in ["one", "other"] {
            let widget = widget(application, application);
            store.create(WIDGETS, EDGE, widget).expect("new");
        }
    };
    let rig = Rig::prepared(&[&role(EDGE), EXTRA], before, |_| ()).await;
    rig.ready().await;
    let only = || BTreeSet::from([widget_kind()]);
    for application in ["one", "other"] {
        rig.watches.follow(application, only());
        rig.facts(application, |facts| {
            facts.unobserved.is_empty() && facts.objects.len() == 1
        })
        .await;
    }

    rig.watches.follow("one", BTreeSet::new());
    let shared = rig.watches.facts("other").borrow().objects.len();
    rig.watches.follow("other", BTreeSet::new());
    rig.facts("other", |facts| facts.objects.is_empty()).await;

    assert_eq!(shared, 1);
    assert!(rig.watches.applications().borrow().is_empty());
    let counts = rig.server.log().counts();
    assert_eq!(counts[&("list".to_owned(), WIDGETS.to_owned())], 1);
    rig.stop().await;
}

#[tokio::test]
async fn when_a_kind_may_not_be_watched_then_only_its_application_is_told() {
    let before = |server: &baetyl_apiserver::ApiServer| {
        let created = server.store().create(DEFINITIONS, "", definition());
        created.expect("new");
    };
    let rig = Rig::prepared(&[&role(EDGE)], before, |_| ()).await;
    rig.ready().await;

    rig.watches.follow("web", BTreeSet::from([widget_kind()]));
    let facts = rig
        .facts("web", |facts| {
            let why = facts.unobserved.get(&widget_kind());
            why.is_some_and(|why| why.starts_with("no permission"))
        })
        .await;

    assert_eq!(
        facts.unobserved[&widget_kind()],
        format!("no permission to list {WIDGETS} in namespace {EDGE}")
    );
    let cluster = rig.watches.cluster().borrow().clone();
    assert_eq!((cluster.blind_since, cluster.forbidden.len()), (None, 0));
    rig.stop().await;
}

#[tokio::test]
async fn when_a_definition_goes_then_its_objects_are_not_seen_any_more() {
    let before = |server: &baetyl_apiserver::ApiServer| {
        let store = server.store();
        store.create(DEFINITIONS, "", definition()).expect("new");
        let created = store.create(WIDGETS, EDGE, widget("web", "w"));
        created.expect("new");
    };
    let rig = Rig::prepared(&[&role(EDGE), EXTRA], before, |_| ()).await;
    rig.watches.follow("web", BTreeSet::from([widget_kind()]));
    rig.facts("web", |facts| facts.objects.len() == 1).await;

    let deleted = rig
        .store()
        .delete(DEFINITIONS, "", WIDGETS, Deletion::default());
    deleted.expect("it was there");
    rig.server.faults().cut_connections();
    let facts = rig.facts("web", |facts| facts.objects.is_empty()).await;

    assert!(facts.pods.is_empty());
    rig.stop().await;
}
