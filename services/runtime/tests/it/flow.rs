//! Large payloads and answers move within their credit.

use bytes::Bytes;

use super::attached::{call, reason, stream_call};
use super::support::{Bench, Plan};

const FUNCTIONS: &str = r#"
def echo(event, context):
    return event

def large(event, context):
    return b"y" * event

def values(event, context):
    for _ in range(4):
        yield b"z" * 100000
"#;

const HANDLERS: &[&str] = &["f.echo", "f.large", "f.values"];

fn plan() -> Plan {
    Plan::new("python3", &[("f.py", FUNCTIONS)], HANDLERS)
}

#[tokio::test]
async fn when_a_payload_is_large_then_it_comes_in_pieces_for_which_credit_is_given() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    let payload: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let pieces: Vec<&[u8]> = payload.chunks(64 * 1024).collect();
    let mut first = call(1, 0, pieces[0]);
    first.more = true;
    first.payload_bytes = 1_000_000;

    stream.start(first).await;
    for (index, piece) in pieces.iter().enumerate().skip(1) {
        let is_last = index + 1 == pieces.len();
        stream
            .chunk(1, Bytes::copy_from_slice(piece), is_last)
            .await;
        if !is_last {
            let before = stream.seen.iter().filter(|name| **name == "credit").count();
            while stream.seen.iter().filter(|name| **name == "credit").count() == before {
                stream.step().await;
            }
        }
    }
    let result = stream.result(1).await;

    assert_eq!(result.failure, None);
    let mut answer: Vec<u8> = stream.chunks[&1]
        .iter()
        .flat_map(|(data, _)| data.to_vec())
        .collect();
    answer.extend(&result.payload);
    assert!(answer == payload);
}

#[tokio::test]
async fn when_there_is_no_credit_then_an_answer_waits_and_others_go_on() {
    let mut bench = Bench::new(plan().workers(2).window(100_000)).await;
    let mut stream = bench.attached().await;
    stream.auto_credit = false;
    stream.start(call(1, 1, b"500000")).await;
    let received = |stream: &super::attached::Attached| -> usize {
        let chunks = stream.chunks.get(&1).into_iter().flatten();
        chunks.map(|(data, _)| data.len()).sum()
    };
    while received(&stream) == 0 {
        stream.step().await;
    }

    for call_id in 2..6 {
        let other = stream.run(call(call_id, 0, b"1")).await;
        assert_eq!(other.failure, None);
    }
    assert!(received(&stream) <= 100_000);
    assert!(!stream.results.contains_key(&1));

    stream.credit(1, 1_000_000).await;
    let result = stream.result(1).await;
    assert_eq!(received(&stream) + result.payload.len(), 500_000);
}

#[tokio::test]
async fn when_values_are_larger_than_a_piece_then_they_are_put_together_again() {
    let mut bench = Bench::new(plan().window(1000)).await;
    let mut stream = bench.attached().await;

    let result = stream.run(stream_call(1, 2, b"")).await;

    assert_eq!(result.failure, None);
    let lengths: Vec<usize> = stream.values(1).iter().map(Bytes::len).collect();
    assert_eq!(lengths, [100_000; 4]);
    assert!(stream.chunks[&1].iter().all(|(data, _)| data.len() <= 1000));
}

#[tokio::test]
async fn when_a_call_without_credit_passes_its_deadline_then_it_ends() {
    let mut bench = Bench::new(plan().window(1000)).await;
    let mut stream = bench.attached().await;
    stream.auto_credit = false;
    let mut starved = stream_call(1, 2, b"");
    // Time enough to begin, on any machine; without credit it never ends.
    starved.timeout_us = 3_000_000;

    let result = stream.run(starved).await;

    assert_eq!(reason(&result), "FUNCTION_TIMEOUT");
    stream.until_slots(1).await;
    let after = stream.run(call(2, 0, b"1")).await;
    assert_eq!(after.failure, None);
}
