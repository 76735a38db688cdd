//! Tests of what requests do, in process.

use std::time::Duration;

use serde_json::{Value, json};

use crate::options::Options;
use crate::shared::Shared;
use crate::store::{Change, Deletion, Propagation, Store};
use crate::{ChangeKind, Refusal};
use std::sync::Arc;

fn store_with(options: Options) -> Store {
    let store = Store::new(Arc::new(Shared::new(options)));
    create(&store, "namespaces", "", "one", json!({}));
    store
}

fn store() -> Store {
    store_with(Options::default())
}

fn create(store: &Store, resource: &str, namespace: &str, name: &str, mut object: Value) -> Value {
    object["metadata"]["name"] = json!(name);
    let created = store.create(resource, namespace, object);
    Value::clone(&created.unwrap())
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn owned_by(owner: &Value, kind: &str, blocks: bool) -> Value {
    json!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": kind, "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
    }]}})
}

fn pod() -> Value {
    json!({"spec": {"containers": [{"name": "a", "image": "b"}]}})
}

fn deployment() -> Value {
    json!({"spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]},
    }})
}

fn exists(store: &Store, resource: &str, name: &str) -> bool {
    store.get(resource, "one", name).is_some()
}

#[test]
fn when_an_owner_goes_then_its_dependents_go_too() {
    let store = store();
    let top = create(&store, "configmaps", "one", "top", json!({}));
    let middle = create(
        &store,
        "configmaps",
        "one",
        "middle",
        owned_by(&top, "ConfigMap", false),
    );
    create(
        &store,
        "secrets",
        "one",
        "bottom",
        owned_by(&middle, "ConfigMap", false),
    );

    store
        .delete("configmaps", "one", "top", Deletion::default())
        .unwrap();

    assert!(!exists(&store, "configmaps", "middle"));
    assert!(!exists(&store, "secrets", "bottom"));
}

#[test]
fn when_one_of_two_owners_goes_then_the_dependent_stays_and_forgets_it() {
    let store = store();
    let first = create(&store, "configmaps", "one", "first", json!({}));
    let second = create(&store, "configmaps", "one", "second", json!({}));
    let mut object = owned_by(&first, "ConfigMap", false);
    let reference = owned_by(&second, "ConfigMap", false)["metadata"]["ownerReferences"][0].clone();
    object["metadata"]["ownerReferences"]
        .as_array_mut()
        .unwrap()
        .push(reference);
    create(&store, "secrets", "one", "both", object);

    store
        .delete("configmaps", "one", "first", Deletion::default())
        .unwrap();

    let left = store.get("secrets", "one", "both").unwrap();
    let owners = left["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1);
    assert_eq!(owners[0]["uid"], uid(&second));
}

#[test]
fn when_an_owner_is_orphaned_then_its_dependents_stay_without_it() {
    let store = store();
    let top = create(&store, "configmaps", "one", "top", json!({}));
    create(
        &store,
        "secrets",
        "one",
        "below",
        owned_by(&top, "ConfigMap", true),
    );

    let how = Deletion {
        propagation: Some(Propagation::Orphan),
        ..Deletion::default()
    };
    store.delete("configmaps", "one", "top", how).unwrap();

    let below = store.get("secrets", "one", "below").unwrap();
    assert!(!exists(&store, "configmaps", "top"));
    assert_eq!(below["metadata"]["ownerReferences"], Value::Null);
}

#[test]
fn when_an_owner_goes_in_the_foreground_then_it_waits_for_those_that_block() {
    let store = store();
    let top = create(&store, "configmaps", "one", "top", json!({}));
    let mut below = owned_by(&top, "ConfigMap", true);
    below["metadata"]["finalizers"] = json!(["test/hold"]);
    create(&store, "secrets", "one", "below", below);
    let how = Deletion {
        propagation: Some(Propagation::Foreground),
        ..Deletion::default()
    };

    store.delete("configmaps", "one", "top", how).unwrap();
    let while_held = store.get("configmaps", "one", "top").unwrap();
    store
        .edit("secrets", "one", "below", |secret| {
            secret["metadata"]["finalizers"] = json!([]);
        })
        .unwrap();

    assert_eq!(
        while_held["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert!(!exists(&store, "secrets", "below"));
    assert!(!exists(&store, "configmaps", "top"));
}

#[test]
fn when_a_job_is_deleted_without_saying_how_then_its_pods_stay() {
    let store = store();
    let mut object = json!({"spec": {"template": pod()}});
    object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    let job = create(&store, "jobs.batch", "one", "once", object);
    let mut pod = pod();
    pod["metadata"] = owned_by(&job, "Job", true)["metadata"].clone();
    create(&store, "pods", "one", "once-1", pod);

    store
        .delete("jobs.batch", "one", "once", Deletion::default())
        .unwrap();

    assert!(exists(&store, "pods", "once-1"));
}

#[test]
fn when_a_namespace_is_deleted_then_it_empties_and_refuses_what_is_new() {
    let store = store();
    create(&store, "configmaps", "one", "plain", json!({}));
    create(
        &store,
        "secrets",
        "one",
        "held",
        json!({"metadata": {"finalizers": ["test/hold"]}}),
    );

    store
        .delete("namespaces", "", "one", Deletion::default())
        .unwrap();
    let ending = store.get("namespaces", "", "one").unwrap();
    let refusal = store
        .create("configmaps", "one", json!({"metadata": {"name": "late"}}))
        .unwrap_err();
    store
        .edit("secrets", "one", "held", |secret| {
            secret["metadata"]["finalizers"] = json!([]);
        })
        .unwrap();

    assert_eq!(ending["status"]["phase"], "Terminating");
    assert!(!exists(&store, "configmaps", "plain"));
    assert_eq!(refusal.code, 403);
    assert_eq!(refusal.causes()[0].reason, "NamespaceTerminating");
    assert!(store.get("namespaces", "", "one").is_none());
}

#[test]
fn when_somebody_plays_the_kubelet_then_running_pods_have_time() {
    let store = store_with(Options {
        kubelet: true,
        ..Options::default()
    });
    create(&store, "pods", "one", "waiting", pod());
    create(&store, "pods", "one", "running", pod());
    store.bind("one", "running", "node").unwrap();

    for name in ["waiting", "running"] {
        store
            .delete("pods", "one", name, Deletion::default())
            .unwrap();
    }
    let ending = store.get("pods", "one", "running").unwrap();
    store
        .delete("pods", "one", "running", Deletion::now())
        .unwrap();

    assert!(!exists(&store, "pods", "waiting"));
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(!exists(&store, "pods", "running"));
}

#[test]
fn when_specs_and_annotations_change_then_generations_count_as_the_kind_says() {
    let store = store();
    let generation = |object: &Value| object["metadata"]["generation"].as_i64();
    let created = create(&store, "deployments.apps", "one", "web", deployment());
    let edit = |change: fn(&mut Value)| {
        store
            .edit("deployments.apps", "one", "web", change)
            .unwrap()
    };

    let labelled = edit(|d| d["metadata"]["labels"] = json!({"a": "b"}));
    let annotated = edit(|d| d["metadata"]["annotations"] = json!({"a": "b"}));
    let scaled = edit(|d| d["spec"]["replicas"] = json!(3));
    let status = store
        .edit_status("deployments.apps", "one", "web", |deployment| {
            deployment["status"] = json!({"replicas": 3});
            deployment["spec"]["replicas"] = json!(9);
            deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
        })
        .unwrap();

    assert_eq!(generation(&created), Some(1));
    assert_eq!(generation(&labelled), Some(1));
    assert_eq!(generation(&annotated), Some(2));
    assert_eq!(generation(&scaled), Some(3));
    assert_eq!(generation(&status), Some(3));
    assert_eq!(status["spec"]["replicas"], 3);
    assert_eq!(
        status["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
}

#[test]
fn when_nothing_changes_then_the_version_stays() {
    let store = store();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "one"}, "data": {"x": "1"},
    });
    let first = store.apply(&object).unwrap();

    let second = store.apply(&object).unwrap();
    let third = store.edit("configmaps", "one", "a", |_| {}).unwrap();

    assert_eq!(first, second);
    assert_eq!(first, third);
}

#[test]
fn when_amounts_are_applied_in_another_spelling_then_nothing_changes() {
    let store = store();
    let object = |cpu: &str| {
        let mut object = deployment();
        object["apiVersion"] = json!("apps/v1");
        object["kind"] = json!("Deployment");
        object["metadata"] = json!({"name": "web", "namespace": "one"});
        object["spec"]["template"]["spec"]["containers"][0]["resources"] =
            json!({"limits": {"cpu": cpu}});
        object
    };
    let first = store.apply(&object("1000m")).unwrap();

    let second = store.apply(&object("1")).unwrap();

    assert_eq!(
        first["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"],
        "1"
    );
    assert_eq!(first, second);
}

#[test]
fn when_something_immutable_changes_then_the_sentence_is_that_of_the_server() {
    let store = store();
    create(&store, "deployments.apps", "one", "web", deployment());
    let mut object = deployment();
    object["spec"]["serviceName"] = json!("web");
    create(&store, "statefulsets.apps", "one", "db", object);
    create(
        &store,
        "secrets",
        "one",
        "sealed",
        json!({"immutable": true}),
    );

    let refusals: Vec<Refusal> = vec![
        store
            .edit("deployments.apps", "one", "web", |d| {
                d["spec"]["selector"]["matchLabels"]["x"] = json!("y");
                d["spec"]["template"]["metadata"]["labels"]["x"] = json!("y");
            })
            .unwrap_err(),
        store
            .edit("statefulsets.apps", "one", "db", |d| {
                d["spec"]["serviceName"] = json!("other");
            })
            .unwrap_err(),
        store
            .edit("secrets", "one", "sealed", |s| {
                s["data"] = json!({"a": "Yg=="})
            })
            .unwrap_err(),
    ];

    let found: Vec<_> = refusals
        .iter()
        .map(|refusal| (refusal.code, refusal.causes()[0].to_string()))
        .collect();
    assert!(found.iter().all(|(code, _)| *code == 422));
    assert!(found[0].1.starts_with("spec.selector: Invalid value: "));
    assert!(found[0].1.ends_with(": field is immutable"));
    assert!(found[1].1.starts_with(
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals',"
    ));
    assert_eq!(
        found[2].1,
        "data: Forbidden: field is immutable when `immutable` is set"
    );
}

#[test]
fn when_services_are_created_then_addresses_and_node_ports_are_given_once() {
    let store = store();
    let service = |port: Value| json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}});
    let first = create(&store, "services", "one", "first", service(json!(30_080)));
    let second = create(&store, "services", "one", "second", service(Value::Null));

    let refusal = store
        .create("services", "one", {
            let mut object = service(json!(30_080));
            object["metadata"] = json!({"name": "third"});
            object
        })
        .unwrap_err();

    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert_eq!(second["spec"]["ports"][0]["nodePort"], 30_000);
    assert_eq!(
        refusal.causes()[0].to_string(),
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    );
}

#[test]
fn when_a_definition_is_deleted_then_its_objects_go_first() {
    let store = store();
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let crds = "customresourcedefinitions.apiextensions.k8s.io";
    store.create(crds, "", definition).unwrap();
    create(&store, "widgets.example.com", "one", "a", json!({}));

    store
        .delete(crds, "", "widgets.example.com", Deletion::default())
        .unwrap();

    assert!(store.get(crds, "", "widgets.example.com").is_none());
    assert!(store.list("widgets.example.com", "").is_empty());
    let refusal = store.create("widgets.example.com", "one", json!({}));
    assert_eq!(refusal.unwrap_err().code, 404);
}

#[test]
fn when_a_definition_takes_the_name_of_a_built_in_kind_then_that_kind_stays() {
    let store = store();
    let definition = json!({
        "metadata": {"name": "deployments.apps"},
        "spec": {
            "group": "apps", "scope": "Namespaced",
            "names": {"plural": "deployments", "kind": "Deployment"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });

    let crds = "customresourcedefinitions.apiextensions.k8s.io";
    store.create(crds, "", definition).unwrap();
    store
        .delete(crds, "", "deployments.apps", Deletion::default())
        .unwrap();

    let created = create(&store, "deployments.apps", "one", "web", deployment());
    assert_eq!(created["spec"]["replicas"], 1);
}

#[test]
fn when_pods_name_what_is_not_there_then_they_are_refused() {
    let store = store();
    let with = |field: &str, value: &str| {
        let mut object = pod();
        object["metadata"] = json!({"name": "a"});
        object["spec"][field] = json!(value);
        store.create("pods", "one", object).unwrap_err().message
    };

    assert_eq!(
        with("serviceAccountName", "robot"),
        "pods \"a\" is forbidden: error looking up service account one/robot: serviceaccount \
         \"robot\" not found"
    );
    assert_eq!(
        with("priorityClassName", "high"),
        "pods \"a\" is forbidden: no PriorityClass with name high was found"
    );
}

#[tokio::test]
async fn when_changes_are_read_then_each_comes_once_and_forgotten_ones_are_told() {
    let store = store_with(Options {
        history: 3,
        ..Options::default()
    });
    let mut changes = store.changes();
    create(&store, "configmaps", "one", "a", json!({}));

    let Change::Written { kind, object, .. } = changes.next().await else {
        panic!("nothing is forgotten yet");
    };
    for name in ["b", "c", "d", "e"] {
        create(&store, "configmaps", "one", name, json!({}));
    }
    let lagged = changes.next().await;

    assert_eq!(kind, ChangeKind::Added);
    assert_eq!(object["metadata"]["name"], "a");
    assert!(matches!(lagged, Change::Lagged));
}

#[tokio::test]
async fn when_somebody_waits_then_a_change_wakes_them() {
    let store = store();
    let waiter = store.clone();
    let waiting = waiter.wait_for(Duration::from_secs(30), |store| {
        store.get("configmaps", "one", "late")
    });
    let writing = async {
        tokio::task::yield_now().await;
        create(&store, "configmaps", "one", "late", json!({}));
    };

    let (found, ()) = tokio::join!(waiting, writing);

    assert_eq!(found.unwrap()["metadata"]["name"], "late");
}
