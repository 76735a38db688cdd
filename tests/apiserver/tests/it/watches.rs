//! Watches.

use baetyl_apiserver::{ApiServer, Deletion, Options};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{PartialObjectMeta, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{LIMIT, client, config_map, pod, server, server_with};

/// What a watch says, in short: `ADDED a`.
fn short<K: ResourceExt>(event: &WatchEvent<K>) -> String {
    match event {
        WatchEvent::Added(object) => format!("ADDED {}", object.name_any()),
        WatchEvent::Modified(object) => format!("MODIFIED {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("DELETED {}", object.name_any()),
        WatchEvent::Bookmark(_) => "BOOKMARK".to_owned(),
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    }
}

async fn open(
    server: &ApiServer,
    params: WatchParams,
    version: &str,
) -> BoxStream<'static, kube::Result<WatchEvent<Pod>>> {
    let pods: Api<Pod> = Api::namespaced(client(server).await, "one");
    pods.watch(&params, version).await.unwrap().boxed()
}

async fn next<T>(stream: &mut BoxStream<'static, kube::Result<WatchEvent<T>>>) -> String
where
    T: ResourceExt,
{
    let next = tokio::time::timeout(LIMIT, stream.try_next()).await;
    match next.unwrap().unwrap() {
        Some(event) => short(&event),
        None => "END".to_owned(),
    }
}

fn create(server: &ApiServer, name: &str, labels: Value) {
    let store = server.store();
    store.create("pods", "one", pod(name, labels)).unwrap();
}

fn label(server: &ApiServer, name: &str, labels: Value) {
    let store = server.store();
    store
        .edit("pods", "one", name, |pod| {
            pod["metadata"]["labels"] = labels
        })
        .unwrap();
}

fn delete(server: &ApiServer, name: &str) {
    let store = server.store();
    store
        .delete("pods", "one", name, Deletion::default())
        .unwrap();
}

#[tokio::test]
async fn when_labels_change_then_objects_come_and_go() {
    let server = server().await;
    let version = server.store().version().to_string();
    let params = WatchParams::default().labels("app=web");
    let mut events = open(&server, params, &version).await;

    create(&server, "other", json!({"app": "api"}));
    create(&server, "a", json!({"app": "web"}));
    label(&server, "a", json!({"app": "web", "x": "y"}));
    label(&server, "a", json!({"app": "api"}));
    label(&server, "other", json!({"app": "web"}));
    delete(&server, "a");
    delete(&server, "other");

    for expected in [
        "ADDED a",
        "MODIFIED a",
        "DELETED a",
        "ADDED other",
        "DELETED other",
    ] {
        assert_eq!(next(&mut events).await, expected);
    }
}

#[tokio::test]
async fn when_a_version_is_forgotten_then_the_watch_says_410() {
    let server = server().await;
    let version = server.store().version().to_string();
    create(&server, "a", json!({}));

    server.compact();
    let mut events = open(&server, WatchParams::default(), &version).await;

    assert_eq!(next(&mut events).await, "ERROR 410");
    assert_eq!(next(&mut events).await, "END");
}

#[tokio::test]
async fn when_history_is_compacted_then_open_watches_go_on() {
    let server = server().await;
    let version = server.store().version().to_string();
    let mut events = open(&server, WatchParams::default(), &version).await;
    create(&server, "a", json!({}));
    let first = next(&mut events).await;

    server.compact();
    create(&server, "b", json!({}));

    assert_eq!(first, "ADDED a");
    assert_eq!(next(&mut events).await, "ADDED b");
}

#[tokio::test]
async fn when_the_time_is_over_then_a_bookmark_ends_the_watch() {
    let server = server().await;
    let version = server.store().version().to_string();
    let mut events = open(&server, WatchParams::default().timeout(1), &version).await;

    let mut found = Vec::new();
    for _ in 0..2 {
        found.push(next(&mut events).await);
    }

    assert_eq!(found, ["BOOKMARK", "END"]);
}

#[tokio::test]
async fn when_bookmarks_are_called_for_then_only_watches_that_allow_them_send_one() {
    let server = server().await;
    let version = server.store().version().to_string();
    let mut with = open(&server, WatchParams::default(), &version).await;
    let params = WatchParams::default().disable_bookmarks();
    let mut without = open(&server, params, &version).await;

    server.bookmark();
    let first = next(&mut with).await;
    create(&server, "a", json!({}));

    assert_eq!(first, "BOOKMARK");
    assert_eq!(next(&mut without).await, "ADDED a");
    assert_eq!(server.log().open_watches(), 2);
    drop((with, without));
}

#[tokio::test]
async fn when_a_list_is_streamed_then_a_marked_bookmark_ends_it() {
    let server = server().await;
    create(&server, "a", json!({}));
    create(&server, "b", json!({}));
    let mut events = open(&server, WatchParams::streaming_lists(), "0").await;

    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(next(&mut events).await);
    }
    create(&server, "c", json!({}));

    assert_eq!(found, ["ADDED a", "ADDED b", "BOOKMARK"]);
    assert_eq!(next(&mut events).await, "ADDED c");
}

/// What a watcher says, in short.
fn told<K: ResourceExt>(event: &Event<K>) -> String {
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("has {}", object.name_any()),
        Event::InitDone => "done".to_owned(),
        Event::Apply(object) => format!("apply {}", object.name_any()),
        Event::Delete(object) => format!("delete {}", object.name_any()),
    }
}

#[tokio::test]
async fn when_a_watcher_runs_then_both_ways_of_listing_tell_the_same() {
    let server = server().await;
    create(&server, "a", json!({}));
    let client = client(&server).await;

    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let pods: Api<Pod> = Api::namespaced(client.clone(), "one");
        let mut events = watcher(pods, config).boxed();
        let mut found = Vec::new();
        for _ in 0..3 {
            let next = tokio::time::timeout(LIMIT, events.try_next()).await;
            found.push(told(&next.unwrap().unwrap().unwrap()));
        }
        create(&server, "b", json!({}));
        delete(&server, "b");
        for _ in 0..2 {
            let next = tokio::time::timeout(LIMIT, events.try_next()).await;
            found.push(told(&next.unwrap().unwrap().unwrap()));
        }

        assert_eq!(found, ["init", "has a", "done", "apply b", "delete b"]);
    }
}

#[tokio::test]
async fn when_a_watcher_watches_metadata_then_nothing_else_comes() {
    let server = server().await;
    let store = server.store();
    store.apply(&config_map("a", json!({"x": "1"}))).unwrap();
    let maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client(&server).await, "one");
    let mut events = watcher(maps, watcher::Config::default()).boxed();

    let mut found = Vec::new();
    for _ in 0..3 {
        let next = tokio::time::timeout(LIMIT, events.try_next()).await;
        found.push(told(&next.unwrap().unwrap().unwrap()));
    }
    store.apply(&config_map("a", json!({"x": "2"}))).unwrap();
    let next = tokio::time::timeout(LIMIT, events.try_next()).await;

    assert_eq!(found, ["init", "has a", "done"]);
    assert_eq!(told(&next.unwrap().unwrap().unwrap()), "apply a");
}

#[tokio::test]
async fn when_a_watch_falls_behind_the_history_then_it_says_410() {
    let server = server_with(Options {
        history: 2,
        ..Options::default()
    })
    .await;
    let version = server.store().version().to_string();
    for name in ["a", "b", "c", "d"] {
        create(&server, name, json!({}));
    }

    let mut events = open(&server, WatchParams::default(), &version).await;

    assert_eq!(next(&mut events).await, "ERROR 410");
}
