//! What only the fake driver can do: be blind, and refuse without reason.

use std::time::Duration;

use baetyl_engine::{StopMode, reason};
use baetyl_proto::resource::v1::ApplicationState;

use crate::application::app;
use crate::bench::Bench;
use crate::rig::{Behaviour, Rig};

fn driver(bench: &Bench) -> baetyl_engine::memory::MemoryDriver {
    match &bench.rig {
        Rig::Memory(driver) => driver.clone(),
        Rig::Processes(_) => panic!("it is made of memory"),
    }
}

#[tokio::test]
async fn when_nothing_can_be_observed_then_nothing_is_done_until_it_can() {
    let mut bench = Bench::on_memory().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve)]);
    let before = bench.healthy("watcher", 1).await;

    driver(&bench).set_blind(true);
    let status = bench.state("watcher", ApplicationState::Unknown).await;
    assert_eq!(status.reason, reason::OBSERVATION_FAILED);
    let fence = bench.desire([]);
    bench
        .until("the wish was heard", |status| status.desired == Some(fence))
        .await;
    assert!(bench.rig.is_running(&before));
    assert!(bench.store.record("watcher").is_some());

    driver(&bench).set_blind(false);
    bench.converged(fence).await;
    assert_eq!(bench.rig.running(), 0);
}

#[tokio::test]
async fn when_instances_cannot_be_found_then_the_next_engine_starts_none() {
    let mut bench = Bench::on_memory().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve.clone())]);
    let before = bench.healthy("watcher", 1).await;
    bench.stop(StopMode::LeaveRunning).await;
    let starts = driver(&bench).starts();

    driver(&bench).set_blind(true);
    bench.start().await;
    bench.desire([app("watcher").running(serve)]);
    driver(&bench).set_blind(false);

    assert_eq!(bench.healthy("watcher", 1).await.id, before.id);
    assert_eq!(driver(&bench).starts(), starts);
}

#[tokio::test]
async fn when_somebody_else_listens_then_the_port_is_in_use() {
    let mut bench = Bench::on_memory().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    driver(&bench).set_taken(8080, true);
    bench.desire([app("watcher").running(serve).with_port(8080)]);

    let status = bench.state("watcher", ApplicationState::Failed).await;

    assert_eq!(status.reason, reason::PORT_IN_USE);
    assert!(status.message.contains("8080"), "{}", status.message);
}

#[tokio::test]
async fn when_a_candidate_is_overtaken_then_it_goes_and_the_newest_wins() {
    let mut bench = Bench::on_memory().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    let idle = bench.rig.entry(Behaviour::Idle);
    let probe = crate::application::ready;
    bench.desire([app("watcher").running(serve.clone()).ready_by(probe())]);
    bench.healthy("watcher", 1).await;
    bench.desire([app("watcher").running(idle).ready_by(probe())]);
    bench
        .app("watcher", "it waits", |app| {
            app.reason == reason::WAITING_FOR_READY
        })
        .await;

    let fence = bench.desire([app("watcher").running(serve).ready_by(probe()).version("3")]);
    bench.converged(fence).await;

    assert_eq!(bench.only("watcher").revision, 3);
    let record = bench.store.record("watcher").unwrap();
    assert!(record.failed.is_none(), "being overtaken is no failure");
}

#[tokio::test]
async fn when_an_instance_ignores_the_signal_then_others_do_not_wait_for_it() {
    let mut bench = Bench::on_memory().await;
    let stubborn = baetyl_engine::memory::Script {
        is_stubborn: true,
        ..Default::default()
    };
    driver(&bench).script("stubborn", stubborn);
    bench.desire([app("slow").running(vec!["stubborn".into()])]);
    bench.healthy("slow", 1).await;

    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("other").running(serve)]);
    bench.healthy("other", 1).await;

    let status = bench.state("slow", ApplicationState::Removing).await;
    assert_eq!(status.reason, reason::REMOVING);
}

#[tokio::test]
async fn when_nothing_happens_then_nothing_is_written() {
    let mut bench = Bench::on_memory().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    let fence = bench.desire([app("watcher").running(serve.clone())]);
    bench.converged(fence).await;
    let saves = bench.store.saves();

    let fence = bench.desire([app("watcher").running(serve)]);
    bench.converged(fence).await;
    tokio::time::timeout(Duration::from_millis(300), std::future::pending::<()>())
        .await
        .unwrap_err();

    assert_eq!(bench.store.saves(), saves);
}
