//! Pieces become values and answers, and credit follows the caller's pace.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{CREDIT_STEP, Event, Reply, WINDOW_BYTES};
use crate::app::calls::CallId;
use crate::app::error::CallError;
use crate::app::invocation::{Answer, MAX_PAYLOAD_BYTES};
use crate::app::outbox::{Command, Outbox};

const CHUNK: usize = 64 * 1024;

fn reply(is_stream: bool) -> (Reply, Arc<Outbox>) {
    let reply = Reply::new(is_stream);
    let outbox = Arc::new(Outbox::chunked(WINDOW_BYTES));
    reply.sent_as(CallId::from_wire(1 << 32), outbox.clone(), Instant::now());
    (reply, outbox)
}

fn next(reply: &Reply) -> Option<Event> {
    match reply.poll_event(&Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

/// Credit that was granted since this was last asked.
fn granted(outbox: &Outbox) -> u32 {
    let mut sum = 0;
    while let Poll::Ready(Some(batch)) = outbox.poll_batch(&Context::from_waker(Waker::noop())) {
        for command in batch {
            if let Command::Credit { bytes, .. } = command {
                sum += bytes;
            }
        }
    }
    sum
}

fn answer(payload: &'static [u8]) -> Answer {
    Answer {
        payload: Bytes::from_static(payload),
        metadata: Vec::new(),
    }
}

fn value(text: &'static [u8]) -> Option<Event> {
    Some(Event::Value(Bytes::from_static(text)))
}

fn chunk(bytes: usize) -> Bytes {
    Bytes::from(vec![7; bytes])
}

#[test]
fn when_values_come_in_pieces_then_each_is_given_whole_and_in_order() {
    let (reply, _outbox) = reply(true);
    for (piece, is_end) in [("on", false), ("e", true), ("", true), ("tw", false)] {
        reply
            .chunk(Bytes::from_static(piece.as_bytes()), is_end)
            .expect("it fits");
    }
    reply.finish(Ok(answer(b"o")));

    let events: Vec<_> = std::iter::from_fn(|| next(&reply)).collect();

    let expected = [
        value(b"one"),
        value(b""),
        value(b"two"),
        Some(Event::End(Ok(answer(b"")))),
    ];
    assert_eq!(events.into_iter().map(Some).collect::<Vec<_>>(), expected);
}

#[test]
fn when_a_unary_answer_comes_in_chunks_then_it_is_put_together() {
    let (reply, outbox) = reply(false);
    let chunks = 20;
    for _ in 0..chunks {
        reply
            .chunk(chunk(CHUNK), false)
            .expect("credit came back at once");
    }
    reply.finish(Ok(answer(b"end")));

    let Some(Event::End(Ok(whole))) = next(&reply) else {
        panic!("a good end");
    };
    assert_eq!(whole.payload.len(), chunks * CHUNK + 3);
    assert!(whole.payload.ends_with(b"end"));
    assert_eq!(granted(&outbox) as usize, chunks * CHUNK);
}

#[test]
fn when_an_answer_or_value_is_too_large_then_it_is_refused() {
    let limit = CallError::ResultTooLarge {
        limit: MAX_PAYLOAD_BYTES,
    };
    for is_stream in [false, true] {
        let (reply, _outbox) = reply(is_stream);
        for _ in 0..MAX_PAYLOAD_BYTES / CHUNK {
            reply.chunk(chunk(CHUNK), false).expect("it fits");
        }

        assert_eq!(reply.chunk(chunk(1), true), Err(limit.clone()));
        reply.finish(Ok(answer(b"!")));
        assert_eq!(next(&reply), Some(Event::End(Err(limit.clone()))));
    }
}

#[test]
fn when_the_caller_is_slow_then_no_credit_is_given_until_values_are_taken() {
    let (reply, outbox) = reply(true);
    for _ in 0..4 {
        reply
            .chunk(chunk(CHUNK), true)
            .expect("the window has room for four");
    }
    assert_eq!(granted(&outbox), 0);
    let over = reply.chunk(chunk(1), true);

    next(&reply);
    next(&reply);

    assert!(
        matches!(over, Err(CallError::RuntimeFailed { .. })),
        "{over:?}"
    );
    assert_eq!(granted(&outbox) as usize, 2 * CHUNK);
}

#[test]
fn when_a_value_is_larger_than_the_window_then_it_comes_through() {
    let (reply, outbox) = reply(true);
    reply.chunk(chunk(CHUNK), true).expect("a first value");
    for _ in 0..3 {
        reply
            .chunk(chunk(CHUNK), false)
            .expect("the beginning of a second");
    }
    assert_eq!(granted(&outbox), 0, "the first value waits for the caller");

    next(&reply);
    let freed = granted(&outbox) as usize;
    for _ in 0..20 {
        reply
            .chunk(chunk(CHUNK), false)
            .expect("credit comes as it arrives");
    }
    reply.chunk(chunk(1), true).expect("the last piece");

    assert_eq!(freed, 4 * CHUNK);
    let Some(Event::Value(large)) = next(&reply) else {
        panic!("a value");
    };
    assert_eq!(large.len(), 23 * CHUNK + 1);
}

#[test]
fn when_values_are_small_then_credit_comes_in_steps() {
    let (reply, outbox) = reply(true);
    for _ in 0..CREDIT_STEP / 1024 - 1 {
        reply.chunk(chunk(1024), true).expect("it fits");
        next(&reply);
    }
    assert_eq!(granted(&outbox), 0);

    reply.chunk(chunk(1024), true).expect("it fits");
    next(&reply);

    assert_eq!(granted(&outbox) as usize, CREDIT_STEP);
}

#[test]
fn when_it_ends_twice_then_the_first_end_holds() {
    let (reply, _outbox) = reply(false);

    let taken = [
        reply.finish(Err(CallError::Timeout)),
        reply.finish(Ok(answer(b"late"))),
    ];
    let chunk_after = reply.chunk(chunk(8), true);

    assert_eq!(taken, [true, false]);
    assert_eq!(chunk_after, Ok(()));
    assert_eq!(next(&reply), Some(Event::End(Err(CallError::Timeout))));
    assert_eq!(next(&reply), None);
}

#[test]
fn when_a_stream_fails_then_the_values_before_are_given_first() {
    let (reply, _outbox) = reply(true);
    reply
        .chunk(Bytes::from_static(b"one"), true)
        .expect("it fits");
    reply.finish(Err(CallError::Timeout));

    let events = [next(&reply), next(&reply)];

    assert_eq!(
        events,
        [value(b"one"), Some(Event::End(Err(CallError::Timeout)))]
    );
}
