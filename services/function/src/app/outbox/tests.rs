//! Order, fairness and credit of what goes out.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Command, GoAway, INLINE_BYTES, MAX_BATCH, MAX_BATCH_BYTES, Outbox, Welcome};
use crate::app::calls::CallId;
use crate::app::endpoint::EndpointId;
use crate::app::invocation::{CancelReason, Invocation};

const WINDOW: u32 = 256 * 1024;

fn id(number: u64) -> CallId {
    CallId::from_wire(1 << 32 | number)
}

fn invocation(payload_bytes: usize) -> Arc<Invocation> {
    Arc::new(Invocation {
        function: Arc::from("window"),
        payload: (0..payload_bytes)
            .map(|index| index as u8)
            .collect::<Bytes>(),
        metadata: Vec::new(),
        idempotency_key: String::new(),
        invocation_id: "invocation".to_owned(),
        traceparent: String::new(),
        is_stream: false,
        deadline: Instant::now(),
    })
}

/// One batch; `None` when there is nothing to send or the end was reached.
fn batch(outbox: &Outbox) -> Option<Vec<Command>> {
    match outbox.poll_batch(&Context::from_waker(Waker::noop())) {
        Poll::Ready(batch) => batch,
        Poll::Pending => None,
    }
}

fn everything(outbox: &Outbox) -> Vec<Command> {
    std::iter::from_fn(|| batch(outbox)).flatten().collect()
}

/// A short name per command, to compare orders.
fn kinds(commands: &[Command]) -> Vec<String> {
    let kind = |command: &Command| match command {
        Command::Welcome(_) => "welcome".to_owned(),
        Command::Call(call) => format!("call {}", call.id.to_wire() as u32),
        Command::Chunk { id, is_last, .. } => {
            format!(
                "{} {}",
                if *is_last { "last" } else { "chunk" },
                id.to_wire() as u32
            )
        }
        Command::Credit { id, bytes } => format!("credit {} {bytes}", id.to_wire() as u32),
        Command::Cancel { id, .. } => format!("cancel {}", id.to_wire() as u32),
        Command::Ping(_) => "ping".to_owned(),
        Command::Pong(nonce) => format!("pong {nonce}"),
        Command::GoAway(away) => format!("goaway {}", away.reason),
    };
    commands.iter().map(kind).collect()
}

fn away() -> GoAway {
    GoAway {
        reason: "SUPERSEDED",
        message: "a later start is here".to_owned(),
        reconnect_after: None,
    }
}

#[test]
fn when_everything_waits_then_control_goes_before_calls_and_calls_before_pong_and_chunks() {
    let outbox = Outbox::chunked(WINDOW);
    outbox.call(id(1), 0, 1, invocation(INLINE_BYTES + 1));
    assert_eq!(kinds(&batch(&outbox).expect("a batch")), ["call 1"]);
    outbox.call(id(2), 0, 1, invocation(1));
    outbox.grant(id(9), 5);
    outbox.cancel(id(8), CancelReason::Cancelled);
    outbox.ping(3);
    outbox.pong(1);
    outbox.pong(2);
    outbox.grant(id(9), 6);
    outbox.welcome(Welcome {
        epoch: EndpointId(1),
        lease_id: "lease".to_owned(),
        functions: 1,
    });

    let sent = kinds(&everything(&outbox));

    let expected = [
        "welcome",
        "ping",
        "cancel 8",
        "credit 9 11",
        "call 2",
        "pong 2",
        "last 1",
    ];
    assert_eq!(sent, expected);
}

#[test]
fn when_two_payloads_are_large_then_their_chunks_take_turns_within_their_windows() {
    let outbox = Outbox::chunked(40 * 1024);
    let first = invocation(INLINE_BYTES + 60 * 1024);
    outbox.call(id(1), 0, 1, first.clone());
    outbox.call(id(2), 0, 1, invocation(INLINE_BYTES + 20 * 1024));

    let mut sent = everything(&outbox);

    let expected = [
        "call 1", "call 2", "chunk 1", "chunk 2", "chunk 1", "last 2", "chunk 1",
    ];
    assert_eq!(kinds(&sent), expected);
    outbox.credited(id(1), 10 * 1024);
    outbox.credited(id(1), 10 * 1024);
    sent.extend(everything(&outbox));
    assert_eq!(kinds(&sent[7..]), ["chunk 1", "last 1"]);
    let mut whole = Vec::new();
    for command in &sent {
        match command {
            Command::Call(call) if call.id == id(1) => whole.extend_from_slice(&call.payload),
            Command::Chunk { id: of, data, .. } if *of == id(1) => whole.extend_from_slice(data),
            _ => {}
        }
    }
    assert!(whole == first.payload, "the pieces make the whole");
}

#[test]
fn when_a_batch_is_full_then_the_rest_makes_the_next() {
    let outbox = Outbox::chunked(WINDOW);
    for number in 0..MAX_BATCH as u64 + 1 {
        outbox.call(id(number), 0, 1, invocation(0));
    }
    let by_count = [batch(&outbox), batch(&outbox)].map(|each| each.expect("a batch").len());
    for number in 0..3 {
        outbox.call(id(number), 0, 1, invocation(MAX_BATCH_BYTES - 1));
    }
    let by_bytes = [batch(&outbox), batch(&outbox)].map(|each| each.expect("a batch").len());

    assert_eq!(by_count, [MAX_BATCH, 1]);
    assert_eq!(by_bytes, [2, 1]);
}

#[test]
fn when_a_call_is_taken_back_before_it_left_then_the_runtime_never_hears_of_it() {
    let outbox = Outbox::chunked(WINDOW);
    outbox.call(id(1), 0, 1, invocation(1));

    let is_unsent = outbox.cancel(id(1), CancelReason::Timeout);

    assert!(is_unsent);
    assert!(everything(&outbox).is_empty());
}

#[test]
fn when_a_large_call_is_cancelled_or_ends_early_then_its_other_chunks_are_not_sent() {
    let outbox = Outbox::chunked(WINDOW);
    for number in [1, 2] {
        outbox.call(id(number), 0, 1, invocation(INLINE_BYTES * 2));
    }
    assert_eq!(kinds(&batch(&outbox).expect("a batch")), ["call 1"]);

    let is_unsent = outbox.cancel(id(1), CancelReason::Timeout);
    assert_eq!(
        kinds(&batch(&outbox).expect("a batch")),
        ["cancel 1", "call 2"]
    );
    outbox.forget(id(2));

    assert!(!is_unsent);
    assert!(everything(&outbox).is_empty());
}

#[test]
fn when_the_transport_takes_payloads_whole_then_nothing_is_cut() {
    let outbox = Outbox::unchunked();
    outbox.call(id(1), 0, 1, invocation(INLINE_BYTES * 3));

    let sent = everything(&outbox);

    let [Command::Call(call)] = &sent[..] else {
        panic!("one call, not {sent:?}");
    };
    assert_eq!(
        (call.payload.len(), call.has_more),
        (INLINE_BYTES * 3, false)
    );
}

#[test]
fn when_it_is_closed_then_only_the_farewell_is_sent_and_unsent_calls_are_named() {
    let outbox = Outbox::chunked(WINDOW);
    outbox.call(id(1), 0, 1, invocation(1));
    batch(&outbox);
    outbox.call(id(2), 0, 1, invocation(1));

    let unsent = outbox.close(Some(away()));
    outbox.call(id(3), 0, 1, invocation(1));

    assert_eq!(unsent, [id(2)]);
    assert_eq!(kinds(&everything(&outbox)), ["goaway SUPERSEDED"]);
    let at_end = outbox.poll_batch(&Context::from_waker(Waker::noop()));
    assert!(matches!(at_end, Poll::Ready(None)));
}

#[test]
fn when_nothing_waited_then_the_transport_is_woken_by_the_next_command() {
    let outbox = Outbox::chunked(WINDOW);
    let (waker, count) = futures_test_waker();
    assert!(outbox.poll_batch(&Context::from_waker(&waker)).is_pending());

    outbox.ping(1);
    outbox.ping(2);

    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(!outbox.has_spoken());
    batch(&outbox);
    assert!(outbox.has_spoken());
    assert!(!outbox.has_spoken());
}

/// A waker that counts.
fn futures_test_waker() -> (Waker, Arc<std::sync::atomic::AtomicUsize>) {
    struct Count(Arc<std::sync::atomic::AtomicUsize>);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    (Waker::from(Arc::new(Count(count.clone()))), count)
}
