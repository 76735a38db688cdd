//! Streamed answers and large payloads.

use baetyl_proto::function::v1::proxy_frame::Kind as FromProxy;
use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::{
    Call, Credit, FailureOrigin, InvokeRequest, InvokeStreamRequest, InvokeStreamResponse, Route,
};
use baetyl_service_kit::fault::Problem;
use bytes::{Bytes, BytesMut};
use tonic::{Code, Streaming};

use crate::node::{Node, sensors_call, sensors_route, soon};
use crate::runtime::{Runtime, chunk, failed, hello, result};

const CHUNK: usize = 64 * 1024;

fn stream_call() -> InvokeStreamRequest {
    InvokeStreamRequest {
        service: "sensors".to_owned(),
        function: "window".to_owned(),
        ..InvokeStreamRequest::default()
    }
}

async fn next(stream: &mut Streaming<InvokeStreamResponse>) -> Option<InvokeStreamResponse> {
    soon(stream.message()).await.expect("no error yet")
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Bytes {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

#[tokio::test]
async fn when_a_function_yields_then_the_caller_gets_each_value_in_order() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (stream, call) = tokio::join!(client.invoke_stream(stream_call()), async {
        let call = runtime.call().await;
        assert!(call.stream_response);
        runtime
            .send([chunk(&call, "one", true), chunk(&call, "tw", false)])
            .await;
        call
    });
    let mut stream = stream.expect("it begins").into_inner();
    let first = next(&mut stream).await.expect("a value");
    runtime
        .send([
            chunk(&call, "o", true),
            chunk(&call, "", true),
            result(&call, "last"),
        ])
        .await;

    assert_eq!(
        (first.payload, first.invocation_id),
        (Bytes::from("one"), call.invocation_id)
    );
    for expected in ["two", "", "last"] {
        let value = next(&mut stream).await.expect("a value");
        assert_eq!(
            (value.payload, value.invocation_id),
            (Bytes::from(expected), String::new())
        );
    }
    assert_eq!(next(&mut stream).await, None);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_it_fails_after_the_first_value_then_the_error_ends_the_stream() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (stream, ()) = tokio::join!(client.invoke_stream(stream_call()), async {
        let call = runtime.call().await;
        runtime.send([chunk(&call, "one", true)]).await;
        runtime
            .send([failed(&call, FailureOrigin::Function, "FUNCTION_RAISED")])
            .await;
    });
    let mut stream = stream.expect("it begins").into_inner();

    assert_eq!(next(&mut stream).await.expect("a value").payload, "one");
    let problem = Problem::from_status(&soon(stream.message()).await.expect_err("it raised"));
    assert_eq!(
        (problem.code, problem.reason.as_str()),
        (Code::Unknown, "FUNCTION_RAISED")
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_it_fails_before_the_first_value_then_the_whole_call_fails() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (stream, ()) = tokio::join!(client.invoke_stream(stream_call()), async {
        let call = runtime.call().await;
        runtime
            .send([failed(&call, FailureOrigin::Function, "FUNCTION_RAISED")])
            .await;
    });

    let problem = Problem::from_status(&stream.expect_err("there is no stream"));
    assert_eq!(problem.reason, "FUNCTION_RAISED");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_stream_takes_too_long_then_it_ends_with_the_timeout() {
    let node = Node::start().await;
    // Time enough for the first value to arrive, on any machine.
    let short = Route {
        timeout: Some(prost_types::Duration {
            seconds: 5,
            nanos: 0,
        }),
        ..sensors_route()
    };
    node.set_routes(1, vec![short]).await.expect("taken");
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (stream, ()) = tokio::join!(client.invoke_stream(stream_call()), async {
        let call = runtime.call().await;
        runtime.send([chunk(&call, "one", true)]).await;
    });
    let mut stream = stream.expect("it begins").into_inner();

    assert_eq!(next(&mut stream).await.expect("a value").payload, "one");
    let problem = Problem::from_status(&soon(stream.message()).await.expect_err("it is late"));
    assert_eq!(problem.reason, "FUNCTION_TIMEOUT");
    assert_eq!(runtime.cancel().await.reason, "FUNCTION_TIMEOUT");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_caller_drops_the_stream_then_the_runtime_is_told() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (stream, call) = tokio::join!(client.invoke_stream(stream_call()), async {
        let call = runtime.call().await;
        runtime.send([chunk(&call, "one", true)]).await;
        call
    });
    drop(stream);
    let cancel = runtime.cancel().await;

    assert_eq!(
        (cancel.call_id, cancel.reason.as_str()),
        (call.call_id, "CALL_CANCELLED")
    );
    drop(runtime);
    node.stop().await;
}

/// Takes a payload of which no more than `window` bytes may come ahead of credit.
async fn take_payload(runtime: &mut Runtime, call: &Call, window: usize) -> Bytes {
    let mut whole = BytesMut::from(&call.payload[..]);
    let mut without_credit = 0;
    loop {
        if without_credit == window {
            // All that may come has come.
            runtime.settle().await;
            without_credit = 0;
            let credit = Credit {
                call_id: call.call_id,
                bytes: u32::try_from(window).expect("it is small"),
            };
            runtime.send([FromRuntime::Credit(credit)]).await;
        }
        match runtime.next().await {
            FromProxy::Chunk(piece) => {
                assert_eq!(piece.call_id, call.call_id);
                assert!(piece.data.len() <= CHUNK);
                without_credit += piece.data.len();
                assert!(without_credit <= window, "more than the window");
                whole.extend_from_slice(&piece.data);
                if piece.end {
                    return whole.freeze();
                }
            }
            other => panic!("not a chunk: {other:?}"),
        }
    }
}

/// Sends an answer in chunks, within the window and the credit that comes.
async fn send_answer(runtime: &mut Runtime, call: &Call, mut answer: Bytes) {
    let mut credit = runtime.welcome.call_window_bytes as usize;
    while answer.len() > CHUNK {
        while credit < CHUNK {
            match runtime.next().await {
                FromProxy::Credit(granted) => {
                    assert_eq!(granted.call_id, call.call_id);
                    credit += granted.bytes as usize;
                }
                other => panic!("not credit: {other:?}"),
            }
        }
        credit -= CHUNK;
        runtime
            .send([chunk(call, answer.split_to(CHUNK), false)])
            .await;
    }
    runtime.send([result(call, answer)]).await;
}

#[tokio::test]
async fn when_payload_and_answer_are_large_then_both_come_in_pieces_under_credit() {
    let window = 128 * 1024;
    let node = Node::start().await;
    node.route().await;
    let mut greeting = hello("one", 1);
    greeting.call_window_bytes = window;
    let mut runtime = Runtime::attach_with(&node, greeting)
        .await
        .expect("it is welcome");
    let payload = pattern(3_000_001);
    let request = InvokeRequest {
        payload: payload.clone(),
        ..sensors_call("")
    };

    let (answer, ()) = tokio::join!(node.invoke_with(request), async {
        let call = runtime.call().await;
        assert!(call.more);
        assert_eq!((call.payload.len(), call.payload_bytes), (CHUNK, 3_000_001));
        let taken = take_payload(&mut runtime, &call, window as usize).await;
        send_answer(&mut runtime, &call, taken).await;
    });

    assert!(
        answer.expect("it went well").payload == payload,
        "nothing was lost on the way"
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_large_payload_waits_for_credit_then_other_calls_go_on() {
    let node = Node::start().await;
    node.route().await;
    let mut greeting = hello("one", 2);
    greeting.call_window_bytes = 16 * 1024;
    let mut runtime = Runtime::attach_with(&node, greeting)
        .await
        .expect("it is welcome");
    let large = InvokeRequest {
        payload: pattern(1 << 20),
        ..sensors_call("")
    };

    let script = async {
        let call = runtime.call().await;
        assert!(matches!(runtime.next().await, FromProxy::Chunk(_)));
        runtime.settle().await;
        for _ in 0..3 {
            let (answer, ()) = tokio::join!(node.invoke("small"), async {
                let small = runtime.call().await;
                assert_eq!(small.payload, "small");
                runtime.answer(&small, "done").await;
            });
            assert!(answer.is_ok());
        }
        // The function did not need the rest.
        runtime.answer(&call, "enough").await;
        runtime.settle().await;
    };
    let (answer, ()) = tokio::join!(node.invoke_with(large), script);

    assert_eq!(answer.expect("it went well").payload, "enough");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_an_answer_is_too_large_then_the_call_fails() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        runtime.send([result(&call, pattern((4 << 20) + 1))]).await;
    });

    let problem = answer.expect_err("it is too large");
    assert_eq!(
        (problem.code, problem.reason.as_str()),
        (Code::Internal, "RESULT_TOO_LARGE")
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_does_not_wait_for_credit_then_the_call_fails_and_is_cancelled() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        // More than the window in one frame.
        let window = runtime.welcome.call_window_bytes as usize;
        runtime
            .send([chunk(&call, pattern(window + 1), false)])
            .await;
        assert_eq!(runtime.cancel().await.call_id, call.call_id);
    });

    assert_eq!(
        answer.expect_err("it broke the protocol").reason,
        "PROTOCOL_ERROR"
    );
    drop(runtime);
    node.stop().await;
}
