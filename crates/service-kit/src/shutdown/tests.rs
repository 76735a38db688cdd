//! Tests of the module `shutdown`.

use std::io;

use tokio::sync::oneshot;

use super::*;

const DEADLINE: Duration = Duration::from_secs(180);

#[tokio::test]
async fn when_draining_then_waiting_tasks_finish_and_abortable_ones_are_dropped() {
    let shutdown = Shutdown::new();
    let (done, finished) = oneshot::channel();
    let told = shutdown.clone();
    shutdown.spawn("polite", OnCancel::Wait, async move {
        told.draining().await;
        done.send(()).ok();
    });
    shutdown.spawn("endless", OnCancel::Abort, std::future::pending());

    let drained = shutdown.drain(DEADLINE).await;

    assert_eq!(drained, Drained::Clean);
    finished.await.expect("the waiting task ran to its end");
}

#[tokio::test(start_paused = true)]
async fn given_a_deaf_task_when_the_deadline_passes_then_it_is_dropped_and_named() {
    let shutdown = Shutdown::new();
    shutdown.spawn("deaf", OnCancel::Wait, std::future::pending());

    let drained = shutdown.drain(DEADLINE).await;

    assert_eq!(drained, Drained::Aborted(vec!["deaf"]));
    assert!(shutdown.tracker.is_empty());
}

#[tokio::test(start_paused = true)]
async fn when_aborted_while_draining_then_the_deadline_is_not_awaited() {
    let shutdown = Shutdown::new();
    shutdown.spawn("deaf", OnCancel::Wait, std::future::pending());
    let begun = tokio::time::Instant::now();
    shutdown.abort();

    shutdown.drain(DEADLINE).await;

    assert!(begun.elapsed() < DEADLINE);
}

#[tokio::test]
async fn when_a_vital_task_fails_then_draining_begins_and_the_reason_is_kept() {
    let shutdown = Shutdown::new();

    shutdown.spawn_fallible("vital", OnCancel::Wait, OnError::Stop, async {
        Err(io::Error::other("disk gone"))
    });
    shutdown.draining().await;

    assert_eq!(shutdown.failure().as_deref(), Some("vital: disk gone"));
}

#[tokio::test]
async fn when_a_task_panics_then_draining_begins() {
    let shutdown = Shutdown::new();

    shutdown.spawn("broken", OnCancel::Wait, async {
        panic!("expected by the test")
    });
    shutdown.draining().await;

    assert_eq!(shutdown.failure().as_deref(), Some("broken: panicked"));
}

#[tokio::test]
async fn when_a_part_is_drained_then_the_whole_goes_on_and_later_waits_for_parts() {
    let whole = Shutdown::new();
    let first = whole.child();
    let second = whole.child();
    let (done, finished) = oneshot::channel();
    let told = second.clone();
    second.spawn("polite", OnCancel::Wait, async move {
        told.draining().await;
        done.send(()).ok();
    });

    assert_eq!(first.drain(DEADLINE).await, Drained::Clean);
    assert!(!whole.is_draining() && !second.is_draining());
    assert_eq!(whole.drain(DEADLINE).await, Drained::Clean);
    finished.await.expect("the part finished before the whole");
}
