//! What goes out, in which order, in which batches.

use baetyl_proto::function::v1::{CallResult, Chunk, Started};
use bytes::Bytes;

use super::*;

fn result(call_id: u64) -> Kind {
    Kind::Result(CallResult {
        call_id,
        ..CallResult::default()
    })
}

async fn taken(outbox: &Outbox) -> Vec<Kind> {
    let message = outbox.next().await.unwrap();
    message
        .frames
        .into_iter()
        .filter_map(|frame| frame.kind)
        .collect()
}

#[tokio::test]
async fn when_much_waits_then_hello_and_control_go_first_and_are_merged() {
    let outbox = Outbox::new(RuntimeHello::default());
    outbox.push(Kind::Started(Started { call_ids: vec![1] }));
    outbox.push(result(1));
    outbox.add_slots(-1);
    outbox.add_slots(-1);
    outbox.grant(7, 10);
    outbox.grant(7, 5);
    outbox.pong(3, 0);

    let frames = taken(&outbox).await;

    let expected = [
        Kind::Hello(RuntimeHello::default()),
        Kind::Pong(Pong {
            nonce: 3,
            active_calls: 0,
        }),
        Kind::Ready(Ready { slots_delta: -2 }),
        Kind::Credit(Credit {
            call_id: 7,
            bytes: 15,
        }),
        Kind::Started(Started { call_ids: vec![1] }),
        result(1),
    ];
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn when_more_waits_than_a_batch_holds_then_it_comes_in_several() {
    let outbox = Outbox::default();
    for call_id in 0..100 {
        outbox.push(result(call_id));
    }

    assert_eq!(taken(&outbox).await.len(), MAX_BATCH);
    assert_eq!(taken(&outbox).await.len(), 100 - MAX_BATCH);
}

#[tokio::test]
async fn when_chunks_are_large_then_a_batch_ends_with_the_one_over_the_bound() {
    let outbox = Outbox::default();
    for _ in 0..3 {
        let data = Bytes::from(vec![0; MAX_BATCH_BYTES - 1]);
        outbox.push(Kind::Chunk(Chunk {
            call_id: 1,
            data,
            end: false,
        }));
    }

    assert_eq!(taken(&outbox).await.len(), 2);
    assert_eq!(taken(&outbox).await.len(), 1);
}

#[tokio::test]
async fn when_it_is_finished_then_what_is_left_goes_out_and_the_stream_ends() {
    let outbox = Outbox::default();
    outbox.push(result(1));
    outbox.finish();

    assert_eq!(taken(&outbox).await, [result(1)]);
    assert!(outbox.next().await.is_none());
}

#[tokio::test]
async fn when_it_is_closed_then_nothing_is_kept() {
    let outbox = Outbox::default();
    outbox.push(result(1));

    outbox.close();
    outbox.push(result(2));

    assert!(outbox.next().await.is_none());
    assert!(outbox.queues.lock().frames.is_empty());
}

#[tokio::test]
async fn when_nothing_was_sent_since_the_last_question_then_it_was_quiet() {
    let outbox = Outbox::default();
    outbox.push(result(1));
    taken(&outbox).await;

    assert!(!outbox.was_quiet());
    assert!(outbox.was_quiet());
}
