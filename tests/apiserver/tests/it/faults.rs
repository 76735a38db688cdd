//! Faults.

use std::time::Duration;

use baetyl_apiserver::{ApiServer, Fault, Filter, Outage, When};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::support::{LIMIT, client, client_as, config_map, server, status};

fn only(verbs: &[&'static str]) -> Filter {
    Filter {
        verbs: verbs.to_vec(),
        ..Filter::default()
    }
}

fn write(server: &ApiServer, name: &str) {
    let object = config_map(name, json!({}));
    server.store().apply(&object).unwrap();
}

type Events = BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>;

async fn open(server: &ApiServer) -> Events {
    let maps: Api<ConfigMap> = Api::namespaced(client(server).await, "one");
    let version = server.store().version().to_string();
    let events = maps.watch(&WatchParams::default(), &version).await;
    events.unwrap().boxed()
}

async fn next(events: &mut Events) -> Option<kube::Result<WatchEvent<ConfigMap>>> {
    tokio::time::timeout(LIMIT, events.next()).await.unwrap()
}

fn name(event: Option<kube::Result<WatchEvent<ConfigMap>>>) -> String {
    match event.unwrap().unwrap() {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => object.name_any(),
        other => panic!("something else: {other:?}"),
    }
}

#[tokio::test]
async fn when_the_server_refuses_one_user_then_others_go_on() {
    let server = server().await;
    let core_client = client_as(&server, "core").await;
    let admin: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let core: Api<ConfigMap> = Api::namespaced(core_client, "one");
    let filter = Filter {
        user: Some("core".to_owned()),
        ..Filter::default()
    };
    let id = server
        .faults()
        .add(filter, When::Always, Fault::Answer(429));

    let refused = status(core.list(&ListParams::default()).await);
    let fine = admin.list(&ListParams::default()).await;
    server.faults().remove(id);
    let then = status(core.list(&ListParams::default()).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (429, "TooManyRequests")
    );
    assert!(fine.is_ok());
    assert_eq!(then.code, 403);
}

#[tokio::test]
async fn when_a_write_fails_after_it_was_stored_then_it_is_there() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let apply = |name: &'static str| {
        let maps = maps.clone();
        async move {
            let patch = Patch::Apply(config_map(name, json!({})));
            maps.patch(name, &PatchParams::apply("x"), &patch).await
        }
    };
    let faults = server.faults();

    faults.add(
        only(&["patch"]),
        When::Next(1),
        Fault::StoredThenAnswer(500),
    );
    let answered = apply("a").await;
    faults.add(only(&["patch"]), When::Next(1), Fault::StoredThenCut);
    let cut = apply("b").await;
    faults.add(only(&["patch"]), When::Next(1), Fault::Cut);
    let never = apply("c").await;

    assert_eq!(status(answered).code, 500);
    assert!(cut.is_err() && never.is_err());
    let names = maps.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = names.iter().map(ConfigMap::name_any).collect();
    assert_eq!(names, ["a", "b"]);
    let log = server.log().entries();
    let statuses: Vec<_> = log.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [500, 0, 0, 200]);
}

#[tokio::test]
async fn when_the_server_goes_away_then_watchers_resume_when_it_is_back() {
    let server = server().await;
    write(&server, "a");
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let mut events = watcher(maps.clone(), watcher::Config::default()).boxed();
    while !matches!(events.try_next().await.unwrap(), Some(Event::InitDone)) {}

    server.faults().go_away(Outage::Reset);
    let refused = maps.list(&ListParams::default()).await;
    let broken = tokio::time::timeout(LIMIT, events.next()).await.unwrap();
    write(&server, "b");
    server.faults().come_back();
    let found = async {
        loop {
            if let Some(Ok(Event::Apply(object))) = events.next().await {
                return object.name_any();
            }
        }
    };
    let found = tokio::time::timeout(LIMIT, found).await.unwrap();

    assert!(matches!(refused, Err(error) if !matches!(error, kube::Error::Api(_))));
    assert!(broken.unwrap().is_err());
    assert_eq!(found, "b");
}

#[tokio::test]
async fn when_the_server_is_silent_then_nothing_is_answered_until_it_is_back() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");

    server.faults().go_away(Outage::Silent);
    let params = ListParams::default();
    let mut waiting = std::pin::pin!(maps.list(&params));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    server.faults().come_back();
    let cut = tokio::time::timeout(LIMIT, waiting).await.unwrap();
    let then = maps.list(&ListParams::default()).await;

    assert!(early.is_err());
    assert!(cut.is_err());
    assert!(then.is_ok());
}

#[tokio::test]
async fn when_a_watch_breaks_in_a_line_then_the_event_comes_with_the_next_watch() {
    let server = server().await;
    let mut events = open(&server).await;
    let version = server.store().version().to_string();

    server
        .faults()
        .add(Filter::default(), When::Next(1), Fault::WatchBreak);
    write(&server, "a");
    let mut rest = Vec::new();
    while let Some(event) = next(&mut events).await {
        rest.push(event);
    }
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    let again = maps.watch(&WatchParams::default(), &version).await;
    let mut again = again.unwrap().boxed();

    assert!(rest.iter().all(Result::is_err));
    assert_eq!(name(next(&mut again).await), "a");
}

#[tokio::test]
async fn when_a_watch_stalls_then_its_events_come_afterwards() {
    let server = server().await;
    let mut events = open(&server).await;

    let id = server
        .faults()
        .add(Filter::default(), When::Always, Fault::WatchStall);
    write(&server, "a");
    let early = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
    server.faults().remove(id);

    assert!(early.is_err());
    assert_eq!(name(next(&mut events).await), "a");
}

#[tokio::test]
async fn when_a_watch_expires_then_it_says_410_and_ends() {
    let server = server().await;
    let mut events = open(&server).await;

    server
        .faults()
        .add(only(&["watch"]), When::Next(1), Fault::WatchExpire);
    write(&server, "a");
    let first = next(&mut events).await;

    assert!(matches!(first, Some(Ok(WatchEvent::Error(status))) if status.code == 410));
    assert!(next(&mut events).await.is_none());
}

#[tokio::test]
async fn when_a_watch_repeats_then_old_events_come_first() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        write(&server, name);
    }

    server
        .faults()
        .add(only(&["watch"]), When::Next(1), Fault::WatchRepeat(2));
    let mut events = open(&server).await;
    write(&server, "d");

    for expected in ["b", "c", "d"] {
        assert_eq!(name(next(&mut events).await), expected);
    }
}

#[tokio::test]
async fn when_requests_are_counted_then_each_verb_and_resource_has_its_number() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "one");
    server.log().clear();

    maps.list(&ListParams::default()).await.unwrap();
    let _ = maps.get("a").await;
    let _ = maps.get("b").await;

    let counts = server.log().counts();
    let count = |verb: &str| {
        counts
            .get(&(verb.to_owned(), "configmaps".to_owned()))
            .copied()
    };
    assert_eq!((count("list"), count("get")), (Some(1), Some(2)));
    let missing = server
        .log()
        .count(|request| request.status == 404 && request.name == "b");
    assert_eq!(missing, 1);
    server.stop().await;
}
