//! One end per call, whatever comes.

use baetyl_proto::function::v1::RuntimeHello;

use super::*;
use crate::pool::tests::{frames, session_of};

fn call(call_id: u64) -> Call {
    Call {
        call_id,
        ..Call::default()
    }
}

fn results(session: &Session) -> Vec<(u64, String)> {
    let ends = frames(session).into_iter().filter_map(|kind| match kind {
        Kind::Result(result) => {
            let reason = result.failure.map(|failure| failure.reason);
            Some((result.call_id, reason.unwrap_or_default()))
        }
        _ => None,
    });
    ends.collect()
}

fn intake(idle: usize) -> (Intake, Vec<tokio::sync::mpsc::Receiver<Job>>) {
    let (pool, receivers) = Pool::new(2);
    for worker in 0..idle {
        pool.came_up(worker);
    }
    let session = Arc::new(Session::new(Outbox::new(RuntimeHello::default())));
    pool.attach(|_| session.clone());
    (Intake::new(session, Arc::new(pool), &[4]), receivers)
}

#[tokio::test]
async fn when_a_call_ends_twice_then_the_first_end_is_sent() {
    let session = session_of(1);
    session.begin(1).unwrap();

    session.end(refused(1, "first"));
    session.end(refused(1, "second"));

    assert_eq!(results(&session), [(1, "OVERLOADED".to_owned())]);
    assert_eq!(*session.active().borrow(), 0);
}

#[tokio::test]
async fn when_no_worker_is_idle_then_the_call_is_refused_and_did_not_run() {
    let (mut intake, mut receivers) = intake(1);

    for call_id in [1, 2] {
        let function_id = 4;
        intake.call(Call {
            function_id,
            ..call(call_id)
        });
    }

    assert_eq!(receivers[0].recv().await.unwrap().call.call_id, 1);
    assert_eq!(results(&intake.session), [(2, "OVERLOADED".to_owned())]);
}

#[tokio::test]
async fn when_a_function_is_not_served_then_that_is_a_fault_of_the_protocol() {
    let (mut intake, _receivers) = intake(1);

    intake.call(call(1));

    assert_eq!(results(&intake.session), [(1, "PROTOCOL_ERROR".to_owned())]);
}

#[tokio::test]
async fn when_a_payload_comes_in_pieces_then_it_is_put_together_and_credited() {
    let (mut intake, mut receivers) = intake(1);
    let piece = |text: &'static str, end| Chunk {
        call_id: 1,
        data: Bytes::from_static(text.as_bytes()),
        end,
    };

    intake.call(Call {
        function_id: 4,
        more: true,
        payload: Bytes::from_static(b"a"),
        ..call(1)
    });
    intake.chunk(piece("bc", false));
    intake.chunk(piece("d", true));
    intake.chunk(piece("stale", true));

    let job = receivers[0].recv().await.unwrap();
    let Payload::Coming(coming) = job.payload else {
        panic!("it comes in pieces");
    };
    assert_eq!(coming.await.unwrap().unwrap(), "abcd");
    let credited: Vec<u32> = frames(&intake.session)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Credit(credit) => Some(credit.bytes),
            _ => None,
        })
        .collect();
    assert_eq!(credited, [2]);
}

#[tokio::test]
async fn when_a_payload_outgrows_the_bound_then_it_is_given_up() {
    let (mut intake, mut receivers) = intake(1);
    intake.call(Call {
        function_id: 4,
        more: true,
        ..call(1)
    });

    intake.chunk(Chunk {
        call_id: 1,
        data: vec![0; MAX_PAYLOAD_BYTES + 1].into(),
        end: true,
    });

    let job = receivers[0].recv().await.unwrap();
    let Payload::Coming(coming) = job.payload else {
        panic!("it comes in pieces");
    };
    assert!(coming.await.unwrap().is_err());
}

#[tokio::test]
async fn when_the_host_drains_then_late_calls_are_refused() {
    let (mut intake, _receivers) = intake(1);
    intake.drain();

    intake.call(call(1));

    assert_eq!(results(&intake.session), [(1, "OVERLOADED".to_owned())]);
}

#[tokio::test]
async fn when_credit_comes_then_chunks_may_be_sent() {
    let session = session_of(1);
    session.set_window(10);
    let control = session.begin(1).unwrap();
    control.take_credit(10).await;

    session.credit(1, 5);
    session.credit(2, 5);
    session.credit(1, u32::MAX);

    control.take_credit(5).await;
    assert!(control.credit.available_permits() <= MAX_CREDIT_BYTES);
}
