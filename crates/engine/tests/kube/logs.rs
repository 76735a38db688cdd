//! Logs of pods on a fake API server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_apiserver::Deletion;
use baetyl_engine::LogQuery;
use baetyl_engine::kube::logs;
use baetyl_proto::node::v1::LogLine;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::timeout;

use crate::observe::rig::{BOUND, EDGE, Rig, pod, run};

type Lines = BoxStream<'static, Result<LogLine, baetyl_engine::DriverError>>;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

fn query() -> LogQuery {
    LogQuery {
        application: "web".to_owned(),
        ..LogQuery::default()
    }
}

/// A rig with pods that run, with the containers `web` and `side`.
async fn rig(pods: &[&str]) -> Rig {
    let rig = Rig::start().await;
    for name in pods {
        start(&rig, name).await;
    }
    rig
}

async fn start(rig: &Rig, name: &str) {
    let created = pod("web", name, &["web", "side"]);
    rig.store().create("pods", EDGE, created).expect("new");
    run(&rig.store(), name, 0);
    rig.facts("web", |facts| {
        facts.pods.get(name).is_some_and(|pod| pod.is_ready)
    })
    .await;
}

fn write(rig: &Rig, pod: &str, container: &str, second: u64, line: &str) {
    let logs = rig.server.pod_logs();
    logs.append_at(EDGE, pod, container, at(second), line);
}

fn read(rig: &Rig, query: LogQuery) -> Lines {
    logs::read(rig.watches.clone(), rig.client.clone(), query)
}

async fn next(lines: &mut Lines) -> Option<LogLine> {
    let next = timeout(BOUND, lines.next()).await.expect("in time");
    next.map(|line| line.expect("it can be read"))
}

async fn texts(mut lines: Lines) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(line) = next(&mut lines).await {
        texts.push(line.text);
    }
    texts
}

#[tokio::test]
async fn when_several_containers_wrote_then_their_lines_are_merged_by_time() {
    let rig = rig(&["web-1", "web-2"]).await;
    write(&rig, "web-1", "web", 1, "one");
    write(&rig, "web-2", "side", 2, "two");
    write(&rig, "web-1", "side", 3, "three");
    write(&rig, "web-1", "web", 4, "four");

    let mut lines = read(&rig, query());
    let mut seen = Vec::new();
    while let Some(line) = next(&mut lines).await {
        seen.push((line.instance_id, line.service, line.text));
    }
    let service = LogQuery {
        service: Some("side".to_owned()),
        ..query()
    };
    let side = texts(read(&rig, service)).await;

    let seen: Vec<_> = seen.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
    assert_eq!(
        seen,
        [
            ("web-1", "web", "one"),
            ("web-2", "side", "two"),
            ("web-1", "side", "three"),
            ("web-1", "web", "four"),
        ]
    );
    assert_eq!(side, ["two", "three"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_only_the_last_or_the_newest_are_wanted_then_no_others_come() {
    let rig = rig(&["web-1"]).await;
    for second in 0..6 {
        write(&rig, "web-1", "web", second, &second.to_string());
    }

    let tail = LogQuery {
        tail: Some(2),
        ..query()
    };
    let since = LogQuery {
        since: Some(at(3) + Duration::from_millis(1)),
        ..query()
    };

    assert_eq!(texts(read(&rig, tail)).await, ["4", "5"]);
    assert_eq!(texts(read(&rig, since)).await, ["4", "5"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_a_container_was_started_again_then_what_it_said_before_comes_first() {
    let rig = rig(&["web-1"]).await;
    for second in 0..3 {
        write(&rig, "web-1", "web", second, &second.to_string());
    }
    rig.server.pod_logs().restart(EDGE, "web-1", "web");
    run(&rig.store(), "web-1", 1);
    rig.facts("web", |facts| {
        facts.pods["web-1"].containers[0].restarts == 1
    })
    .await;
    for second in 3..5 {
        write(&rig, "web-1", "web", second, &second.to_string());
    }
    let of = |tail: Option<usize>| LogQuery {
        service: Some("web".to_owned()),
        tail,
        ..query()
    };

    assert_eq!(texts(read(&rig, of(None))).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(texts(read(&rig, of(Some(1)))).await, ["4"]);
    assert_eq!(texts(read(&rig, of(Some(4)))).await, ["1", "2", "3", "4"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_lines_belong_to_invocations_then_they_can_be_told_apart() {
    let rig = rig(&["web-1"]).await;
    let mark = '\u{1e}';
    write(&rig, "web-1", "web", 1, "plain");
    for second in 2..5 {
        let line = format!("{mark}inv=call-{second}{mark}text {second}");
        write(&rig, "web-1", "web", second, &line);
    }

    let of = |tail: Option<usize>| LogQuery {
        invocation_id: Some("call".to_owned()),
        tail,
        ..query()
    };

    let all = texts(read(&rig, of(None))).await;
    let last = texts(read(&rig, of(Some(1)))).await;
    assert_eq!(all, ["text 2", "text 3", "text 4"]);
    assert_eq!(last, ["text 4"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_somebody_follows_then_new_lines_pods_and_restarts_are_taken_up() {
    let rig = rig(&["web-1"]).await;
    write(&rig, "web-1", "web", 1, "old");
    let follow = LogQuery {
        follow: true,
        ..query()
    };
    let mut lines = read(&rig, follow);
    let old = next(&mut lines).await.expect("a line");

    write(&rig, "web-1", "web", 2, "new");
    let new = next(&mut lines).await.expect("a line");
    start(&rig, "web-2").await;
    write(&rig, "web-2", "side", 3, "joined");
    let joined = next(&mut lines).await.expect("a line");
    rig.server.pod_logs().restart(EDGE, "web-1", "web");
    run(&rig.store(), "web-1", 1);
    write(&rig, "web-1", "web", 4, "again");
    let again = next(&mut lines).await.expect("a line");
    for name in ["web-1", "web-2"] {
        let deleted = rig.store().delete("pods", EDGE, name, Deletion::now());
        deleted.expect("it was there");
        rig.server.pod_logs().forget(EDGE, name);
    }
    let end = next(&mut lines).await;

    let seen = [&old, &new, &joined, &again].map(|line| (&*line.instance_id, &*line.text));
    assert_eq!(
        seen,
        [
            ("web-1", "old"),
            ("web-1", "new"),
            ("web-2", "joined"),
            ("web-1", "again")
        ]
    );
    assert_eq!(end, None);
    rig.stop().await;
}

#[tokio::test]
async fn when_a_connection_breaks_then_a_follower_goes_on_where_it_stood() {
    let rig = rig(&["web-1"]).await;
    for second in [1, 2, 2] {
        write(&rig, "web-1", "web", second, &format!("at {second}"));
    }
    let follow = LogQuery {
        follow: true,
        service: Some("web".to_owned()),
        ..query()
    };
    let mut lines = read(&rig, follow);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut lines).await.expect("a line").text);
    }

    rig.server.faults().cut_connections();
    write(&rig, "web-1", "web", 2, "at 2, too");
    write(&rig, "web-1", "web", 3, "at 3");
    for _ in 0..2 {
        seen.push(next(&mut lines).await.expect("a line").text);
    }

    assert_eq!(seen, ["at 1", "at 2", "at 2", "at 2, too", "at 3"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_an_application_is_not_there_then_there_is_no_line() {
    let rig = rig(&[]).await;

    assert_eq!(texts(read(&rig, query())).await, Vec::<String>::new());
    rig.stop().await;
}
