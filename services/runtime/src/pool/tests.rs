//! Calls that are out never exceed the workers that can take them.

use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::{Call, RuntimeHello};
use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::call::Payload;
use crate::outbox::Outbox;
use crate::session::{Intake, refused};

pub(crate) fn session_of(slots: u32) -> Arc<Session> {
    let hello = RuntimeHello {
        slots,
        ..RuntimeHello::default()
    };
    Arc::new(Session::new(Outbox::new(hello)))
}

/// Everything that waits to be sent.
pub(crate) fn frames(session: &Session) -> Vec<Kind> {
    let mut found = Vec::new();
    while let Some(Some(message)) = session.outbox().next().now_or_never() {
        found.extend(message.frames.into_iter().filter_map(|frame| frame.kind));
    }
    found
}

/// Slots as the function service counts them, after these frames, and the results among them.
fn counted(session: &Session, slots: &mut i32) -> usize {
    let mut results = 0;
    for kind in frames(session) {
        match kind {
            Kind::Hello(hello) => *slots = i32::try_from(hello.slots).unwrap(),
            Kind::Ready(ready) => *slots += ready.slots_delta,
            Kind::Result(_) => results += 1,
            _ => {}
        }
    }
    results
}

fn pool_of(workers: usize) -> (Arc<Pool>, Vec<mpsc::Receiver<Job>>) {
    let (pool, receivers) = Pool::new(workers);
    for worker in 0..workers {
        pool.came_up(worker);
    }
    (Arc::new(pool), receivers)
}

fn call(call_id: u64) -> Call {
    Call {
        call_id,
        ..Call::default()
    }
}

#[tokio::test]
async fn when_workers_come_and_go_then_slots_follow() {
    let (pool, _receivers) = pool_of(2);
    let session = pool.attach(session_of).unwrap();
    let mut slots = 0;
    counted(&session, &mut slots);
    assert_eq!(slots, 2);

    assert!(pool.went_down(0));
    counted(&session, &mut slots);
    assert_eq!(slots, 1);

    pool.came_up(0);
    counted(&session, &mut slots);
    assert_eq!(slots, 2);
    assert_eq!(*pool.levels().borrow(), Levels { live: 2, idle: 2 });
}

#[tokio::test]
async fn when_a_worker_goes_with_its_call_then_the_slot_goes_before_the_result() {
    let (pool, mut receivers) = pool_of(1);
    let session = pool.attach(session_of).unwrap();
    let mut intake = Intake::new(session.clone(), pool.clone(), &[0]);
    intake.call(call(1));
    receivers[0].recv().await.unwrap();

    pool.lost(&session, refused(1, "died"));

    let kinds = frames(&session);
    let position = |wanted: fn(&Kind) -> bool| kinds.iter().position(wanted).unwrap();
    let ready = position(|kind| matches!(kind, Kind::Ready(_)));
    let result = position(|kind| matches!(kind, Kind::Result(_)));
    assert!(ready < result, "{kinds:?}");
    assert_eq!(pool.levels().borrow().live, 0);
}

#[tokio::test]
async fn when_a_call_of_an_earlier_stream_ends_then_its_slot_is_new_to_this_one() {
    let (pool, mut receivers) = pool_of(2);
    let first = pool.attach(session_of).unwrap();
    let mut intake = Intake::new(first.clone(), pool.clone(), &[0]);
    intake.call(call(1));
    let worker = usize::from(receivers[0].try_recv().is_err());
    pool.detach();
    first.outbox().close();

    let second = pool.attach(session_of).unwrap();
    let mut slots = 0;
    counted(&second, &mut slots);
    assert_eq!(slots, 1);
    pool.finished(worker, &first, refused(1, "late"));

    assert_eq!(counted(&second, &mut slots), 0);
    assert_eq!(slots, 2);
}

#[tokio::test]
async fn when_no_worker_is_idle_then_there_is_nothing_to_attach_with() {
    let (pool, _receivers) = Pool::new(1);

    assert!(pool.attach(session_of).is_none());
}

#[tokio::test]
async fn when_a_worker_dies_with_a_call_on_its_way_then_the_call_is_found() {
    let (pool, mut receivers) = pool_of(1);
    let session = pool.attach(session_of).unwrap();
    let mut intake = Intake::new(session, pool.clone(), &[0]);

    intake.call(call(1));

    assert!(!pool.went_down(0));
    let job = receivers[0].try_recv().unwrap();
    assert!(matches!(job.payload, Payload::Whole(payload) if payload == Bytes::new()));
    assert!(job.came <= Instant::now());
}
