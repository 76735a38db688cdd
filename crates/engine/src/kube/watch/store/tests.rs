//! The levels: who is woken by what, and that nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{MAX_STRAYS, Store};
use crate::kube::facts::{Health, ObjectFacts, PodFacts};
use crate::kube::object::ObjectKey;
use crate::kube::watch::events::{Happening, happening};
use crate::kube::watch::pod;

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("v1", kind, "edge", name)
}

fn object(uid: &str, version: &str) -> ObjectFacts {
    ObjectFacts {
        uid: uid.to_owned(),
        resource_version: version.to_owned(),
        generation: 1,
        content: "generation 1".to_owned(),
        release: String::new(),
        is_controlled: false,
        is_deleting: false,
        health: Health::Ready,
    }
}

fn pod(namespace: &str, uid: &str, ready: bool) -> PodFacts {
    let raw = json!({
        "metadata": {"namespace": namespace, "uid": uid},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        "status": {"containerStatuses": [{
            "name": "web",
            "ready": ready,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }]},
    });
    pod::facts(serde_json::from_value(raw).expect("a pod"))
}

fn event(name: &str, about: Value, message: &str) -> Happening {
    let raw = json!({
        "metadata": {"name": name, "namespace": "edge"},
        "involvedObject": about,
        "reason": "Unhealthy",
        "message": message,
        "lastTimestamp": "2026-01-01T00:01:00Z",
    });
    happening(serde_json::from_value(raw).expect("an event"))
}

fn about(uid: &str) -> Value {
    json!({"kind": "Pod", "name": "web-1", "uid": uid, "fieldPath": "spec.containers{web}"})
}

fn with_pod(ready: bool) -> Arc<Store> {
    let store = Store::new();
    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", ready), None);
    store
}

#[test]
fn when_one_application_changes_then_only_its_readers_are_woken() {
    let store = Store::new();
    store.upsert(key("Secret", "a"), "one", object("u1", "1"));
    store.upsert(key("Secret", "b"), "other", object("u2", "1"));
    let (mut one, mut other) = (store.facts("one"), store.facts("other"));
    one.mark_unchanged();
    other.mark_unchanged();

    store.upsert(key("Secret", "a"), "one", object("u1", "2"));

    assert!(one.has_changed().expect("the store lives"));
    assert!(!other.has_changed().expect("the store lives"));
}

#[test]
fn when_the_same_is_seen_again_then_nobody_is_woken() {
    let store = with_pod(true);
    store.upsert(key("Secret", "a"), "web", object("u2", "1"));
    let mut facts = store.facts("web");
    let mut names = store.applications();
    facts.mark_unchanged();
    names.mark_unchanged();

    store.upsert(key("Secret", "a"), "web", object("u2", "1"));
    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", true), None);

    assert!(!facts.has_changed().expect("the store lives"));
    assert!(!names.has_changed().expect("the store lives"));
}

#[test]
fn when_a_list_does_not_show_objects_then_they_are_gone() {
    let store = Store::new();
    store.upsert(key("Secret", "a"), "web", object("u1", "1"));
    store.upsert(key("Secret", "b"), "web", object("u2", "1"));
    store.upsert(key("Service", "c"), "web", object("u3", "1"));
    let listed = BTreeSet::from(["b".to_owned()]);

    let kind = ("v1".to_owned(), "Secret".to_owned());
    store.retain(&kind, Some("elsewhere"), &BTreeSet::new());
    store.retain(&kind, Some("edge"), &listed);

    let facts = store.facts("web").borrow().clone();
    let names: Vec<_> = facts.objects.keys().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn when_the_last_of_an_application_goes_then_so_does_the_application() {
    let store = with_pod(true);
    store.happened(event("e1", about("u1"), "no answer"));
    let facts = store.facts("web");
    let names = store.applications();
    assert_eq!(facts.borrow().events.len(), 1);

    store.remove(&key("Pod", "web-1"));

    assert!(names.borrow().is_empty());
    assert_eq!(**facts.borrow(), crate::kube::facts::AppFacts::default());
    drop(facts);
    drop(store.facts("another"));
    assert_eq!(store.state.lock().applications.len(), 1);
    assert!(store.state.lock().events.is_empty());
    assert!(store.state.lock().uids.is_empty());
}

#[test]
fn when_a_label_moves_an_object_then_it_is_in_one_application_only() {
    let store = Store::new();
    store.upsert(key("Secret", "a"), "one", object("u1", "1"));

    store.upsert(key("Secret", "a"), "other", object("u1", "2"));
    let moved = (
        store.facts("one").borrow().objects.len(),
        store.facts("other").borrow().objects.len(),
    );
    let is_known = store.upsert(key("Secret", "a"), "", object("u1", "3"));

    assert_eq!(moved, (0, 1));
    assert!(!is_known);
    assert!(store.applications().borrow().is_empty());
}

#[test]
fn when_a_pod_is_replaced_under_its_name_then_nothing_of_the_old_one_stays() {
    let store = with_pod(true);
    store.used(
        "edge",
        "web-1",
        &BTreeMap::from([("web".to_owned(), (1 << 30, 500))]),
    );
    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", false), None);
    let kept = store.facts("web").borrow().pods["web-1"].containers[0].memory_bytes;

    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u2", false), None);

    let facts = store.facts("web").borrow().clone();
    assert_eq!(kept, 1 << 30);
    assert_eq!(facts.pods["web-1"].containers[0].memory_bytes, 0);
    assert_eq!(store.state.lock().uids.len(), 1);
}

#[test]
fn when_two_namespaces_have_a_pod_of_one_name_then_both_are_seen() {
    let store = with_pod(true);
    let other = ObjectKey::namespaced("v1", "Pod", "new", "web-1");

    store.upsert_pod(other.clone(), "web", pod("new", "u2", true), None);
    let both: Vec<_> = store.facts("web").borrow().pods.keys().cloned().collect();
    store.remove(&key("Pod", "web-1"));
    store.upsert_pod(other.clone(), "web", pod("new", "u2", false), None);
    let one: Vec<_> = store.facts("web").borrow().pods.keys().cloned().collect();
    store.remove(&other);

    assert_eq!(both, ["new/web-1", "web-1"]);
    assert_eq!(one, ["new/web-1"]);
    assert!(store.applications().borrow().is_empty());
}

#[test]
fn when_an_event_comes_before_its_object_then_it_is_told_all_the_same() {
    let store = Store::new();
    let is_known = store.happened(event("e1", about("u1"), "no answer"));

    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", false), None);

    let facts = store.facts("web").borrow().clone();
    assert!(!is_known);
    assert_eq!(facts.events.len(), 1);
    assert_eq!(facts.pods["web-1"].containers[0].probe_message, "no answer");
}

#[test]
fn when_others_flood_with_events_then_memory_does_not_grow() {
    let store = with_pod(true);

    for count in 0..10_000 {
        let stranger = about(&format!("stranger-{count}"));
        store.happened(event(&format!("e{count}"), stranger, "noise"));
    }

    let state = store.state.lock();
    assert_eq!(state.strays.len(), MAX_STRAYS);
    assert!(state.events.is_empty());
}

#[test]
fn when_replica_sets_cannot_make_pods_then_the_deployment_is_told() {
    let store = Store::new();
    let deployment = ObjectKey::namespaced("apps/v1", "Deployment", "edge", "web");
    store.upsert(deployment, "web", object("u1", "1"));
    let set = |name: &str| json!({"kind": "ReplicaSet", "name": name, "uid": "u9"});

    let is_ours = store.happened(event("e1", set("web-5d4f"), "exceeded quota"));
    let is_others = store.happened(event("e2", set("webs-5d4f"), "exceeded quota"));

    assert_eq!((is_ours, is_others), (true, false));
    let facts = store.facts("web").borrow().clone();
    assert_eq!(facts.events[0].object, "ReplicaSet/web-5d4f");
}

#[test]
fn when_a_container_gets_ready_then_its_probe_says_nothing_any_more() {
    let store = with_pod(false);
    store.happened(event("e1", about("u1"), "no answer"));
    let message = |store: &Store| {
        let facts = store.facts("web").borrow().clone();
        facts.pods["web-1"].containers[0].probe_message.clone()
    };
    let before = message(&store);

    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", true), None);

    assert_eq!(before, "no answer");
    assert_eq!(message(&store), "");
}

#[test]
fn when_events_expire_then_they_are_not_told_any_more() {
    let store = with_pod(false);
    store.happened(event("e1", about("u1"), "one"));
    store.happened(event("e2", about("u1"), "two"));
    store.happened(event("e3", about("u1"), "three"));

    store.forget_event(&("edge".to_owned(), "e1".to_owned()));
    store.forget_event(&("edge".to_owned(), "e2".to_owned()));

    let facts = store.facts("web").borrow().clone();
    let told: Vec<_> = facts.events.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(told, ["three"]);
    assert_eq!(store.events("edge"), BTreeSet::from(["e3".to_owned()]));
}

#[test]
fn when_usage_changes_a_little_then_nobody_is_woken() {
    let store = with_pod(true);
    let usage = |bytes: u64| BTreeMap::from([("web".to_owned(), (bytes, 100))]);
    store.used("edge", "web-1", &usage(100 << 20));
    let mut facts = store.facts("web");
    facts.mark_unchanged();

    store.used("edge", "web-1", &usage(101 << 20));
    let little = facts.has_changed().expect("the store lives");
    store.used("edge", "web-1", &usage(120 << 20));
    let much = facts.has_changed().expect("the store lives");
    store.used("edge", "nobody", &usage(1));

    assert_eq!((little, much), (false, true));
    let seen = facts.borrow().pods["web-1"].containers[0].memory_bytes;
    assert_eq!(seen, 120 << 20);
}

#[test]
fn when_a_pod_was_applied_as_such_then_it_is_an_object_too() {
    let store = Store::new();

    let bare = Some(object("u1", "1"));
    store.upsert_pod(key("Pod", "web-1"), "web", pod("edge", "u1", true), bare);
    let facts = store.facts("web").borrow().clone();
    store.remove(&key("Pod", "web-1"));

    assert!(facts.objects.contains_key(&key("Pod", "web-1")));
    assert_eq!(facts.pods.len(), 1);
    assert!(store.applications().borrow().is_empty());
}

#[test]
fn when_a_definition_becomes_established_then_who_waits_for_kinds_is_told() {
    let store = Store::new();
    let definition = ObjectKey {
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        namespace: None,
        name: "widgets.example.com".to_owned(),
    };
    let mut definitions = store.definitions();
    let waiting = ObjectFacts {
        health: Health::Progressing {
            message: String::new(),
        },
        ..object("u1", "1")
    };

    store.upsert(definition.clone(), "web", waiting);
    let early = definitions.has_changed().expect("the store lives");
    store.upsert(definition, "web", object("u1", "2"));
    let late = definitions.has_changed().expect("the store lives");
    definitions.mark_unchanged();

    assert_eq!((early, late), (false, true));
}
