//! Attaching, coming back, draining, ending.

use baetyl_proto::function::v1::Ping;
use baetyl_proto::function::v1::proxy_frame::Kind as ProxyKind;
use baetyl_runtime::Error;

use super::attached::{call, reason};
use super::support::{Bench, Plan, soon, until};

const FUNCTIONS: &str = r#"
import os, time

def echo(event, context):
    return event

def waits(event, context):
    open(event + ".begun", "w").close()
    while not os.path.exists(event):
        time.sleep(0.005)
    return "done"
"#;

const HANDLERS: &[&str] = &["f.echo", "f.waits"];

fn plan() -> Plan {
    Plan::new("python3", &[("f.py", FUNCTIONS)], HANDLERS)
}

#[tokio::test]
async fn when_it_attaches_then_hello_says_who_it_is_and_the_ready_file_appears() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.stream().await;

    let hello = stream.hello().await;

    assert!(!bench.path("ready").exists());
    assert_eq!(
        (hello.application.as_str(), hello.service.as_str()),
        ("tests", "tests")
    );
    assert_eq!(
        (hello.revision, hello.slots, hello.protocol_version),
        (3, 1, 1)
    );
    assert_eq!(hello.release, bench.config.release);
    let names: Vec<&str> = hello
        .functions
        .iter()
        .map(|each| each.name.as_str())
        .collect();
    assert_eq!(names, HANDLERS);
    let instance = hello.instance.unwrap();
    assert_eq!(instance.id, bench.config.instance);
    assert!(instance.incarnation > 0);
    stream.welcome(2, 1000).await;
    until("the ready file", || bench.path("ready").exists()).await;
}

#[tokio::test]
async fn when_the_stream_is_lost_then_it_attaches_again_and_late_results_are_dropped() {
    let mut bench = Bench::new(plan().workers(2)).await;
    let mut first = bench.attached().await;
    let gate = bench.path("gate");
    let begun = bench.path("gate.begun");
    let payload = format!("{:?}", gate.display().to_string());
    first.start(call(1, 1, payload.as_bytes())).await;
    until("it runs", || begun.exists()).await;

    drop(first);

    let mut second = bench.stream().await;
    let hello = second.hello().await;
    assert_eq!(hello.slots, 1, "the other worker is busy");
    until("not ready", || !bench.path("ready").exists()).await;
    second.welcome(2, 1000).await;
    std::fs::write(gate, "").unwrap();
    second.until_slots(2).await;
    let result = second.run(call(2, 0, b"1")).await;
    assert_eq!(result.failure, None);
    assert!(!second.results.contains_key(&1));
    until("ready again", || bench.path("ready").exists()).await;
}

#[tokio::test]
async fn when_the_service_goes_away_for_a_while_then_it_comes_back() {
    let mut bench = Bench::new(plan()).await;
    let mut first = bench.attached().await;

    first.go_away("SHUTDOWN").await;

    let mut second = bench.attached().await;
    assert_eq!(second.run(call(1, 0, b"1")).await.failure, None);
}

#[tokio::test]
async fn when_it_is_superseded_then_it_ends() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;

    stream.go_away("SUPERSEDED").await;

    assert!(matches!(bench.ended().await, Err(Error::Superseded)));
    assert_eq!(bench.workers_alive(), 0);
    assert!(!bench.path("ready").exists());
}

#[tokio::test]
async fn when_it_is_asked_whether_it_is_alive_then_it_answers() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;

    stream.send(ProxyKind::Ping(Ping { nonce: 7 })).await;

    while !stream.seen.contains(&"pong") {
        stream.step().await;
    }
}

#[tokio::test]
async fn when_it_drains_then_calls_finish_and_nothing_is_left() {
    let mut bench = Bench::new(plan().workers(2)).await;
    let mut stream = bench.attached().await;
    let gate = bench.path("gate");
    let payload = format!("{:?}", gate.display().to_string());
    stream.start(call(1, 1, payload.as_bytes())).await;
    until("it runs", || bench.path("gate.begun").exists()).await;

    bench.shutdown.begin();
    while !stream.seen.contains(&"drain") {
        stream.step().await;
    }
    let late = stream.run(call(2, 0, b"1")).await;
    std::fs::write(gate, "").unwrap();
    let result = stream.result(1).await;

    assert_eq!(reason(&late), "OVERLOADED");
    assert_eq!(result.payload, "\"done\"");
    soon("the stream ends", async { while stream.step().await {} }).await;
    drop(stream);
    bench.ended().await.unwrap();
    assert_eq!(bench.workers_alive(), 0);
    assert!(!bench.path("ready").exists());
}

#[tokio::test]
async fn when_a_call_is_on_its_way_while_it_drains_then_it_is_refused_and_not_lost() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;

    bench.shutdown.begin();
    while !stream.seen.contains(&"drain") {
        stream.step().await;
    }
    let late = stream.run(call(1, 0, b"1")).await;

    assert_eq!(reason(&late), "OVERLOADED");
    soon("the stream ends", async { while stream.step().await {} }).await;
    drop(stream);
    bench.ended().await.unwrap();
}

#[tokio::test]
async fn when_calls_outlast_the_grace_then_they_are_cancelled() {
    let mut bench = Bench::without_host(plan()).await;
    bench.config.stop_grace_ms = 50;
    bench.start_host();
    let mut stream = bench.attached().await;
    let gate = bench.path("gate");
    let payload = format!("{:?}", gate.display().to_string());
    stream.start(call(1, 1, payload.as_bytes())).await;
    until("it runs", || bench.path("gate.begun").exists()).await;

    bench.shutdown.begin();

    let result = stream.result(1).await;
    assert_eq!(reason(&result), "CALL_CANCELLED");
    drop(stream);
    bench.ended().await.unwrap();
    assert_eq!(bench.workers_alive(), 0);
}

#[tokio::test]
async fn when_the_certificate_is_of_another_authority_then_it_stays_away_until_that_is_mended() {
    let mut bench = Bench::without_host(plan()).await;
    let other = Bench::without_host(plan()).await;
    let own = std::fs::read(bench.path("certs/ca.crt")).unwrap();
    std::fs::copy(other.path("certs/ca.crt"), bench.path("certs/ca.crt")).unwrap();
    bench.start_host();
    until("the worker is up", || bench.workers_alive() == 1).await;

    std::fs::write(bench.path("certs/ca.crt"), own).unwrap();

    let mut stream = bench.attached().await;
    assert_eq!(stream.run(call(1, 0, b"1")).await.failure, None);
}
