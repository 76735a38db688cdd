//! Unary calls through an attached runtime.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::{
    CallResult, FailureOrigin, InvokeRequest, MetadataEntry, Route, Started,
};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tonic::{Code, Request};

use crate::node::{Node, is, sensors_call, sensors_route};
use crate::runtime::{Runtime, failed, hello, result};

#[tokio::test]
async fn when_a_runtime_is_attached_then_a_call_gets_its_answer() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let metadata = BTreeMap::from([("unit".to_owned(), "celsius".to_owned())]);
    let request = InvokeRequest {
        function: "other".to_owned(),
        metadata,
        invocation_id: "my-id".to_owned(),
        ..sensors_call("rows")
    };

    let (answer, ()) = tokio::join!(node.invoke_with(request), async {
        let call = runtime.call().await;
        assert_eq!(call.payload, "rows");
        assert_eq!((call.function_id, call.attempt, call.more), (1, 1, false));
        assert_eq!(call.payload_bytes, 4);
        assert_eq!(call.invocation_id, "my-id");
        assert!(
            call.timeout_us > 0 && call.timeout_us <= 300_000_000,
            "{}",
            call.timeout_us
        );
        let entry = MetadataEntry {
            key: "unit".to_owned(),
            value: "celsius".to_owned(),
        };
        assert_eq!(call.metadata, std::slice::from_ref(&entry));
        let told = CallResult {
            call_id: call.call_id,
            payload: Bytes::from_static(b"mean"),
            metadata: vec![entry],
            run_us: 5,
            ..CallResult::default()
        };
        let started = Started {
            call_ids: vec![call.call_id],
        };
        runtime
            .send([FromRuntime::Started(started), FromRuntime::Result(told)])
            .await;
    });

    let answer = answer.expect("it went well");
    assert_eq!(answer.payload, "mean");
    assert_eq!(answer.metadata["unit"], "celsius");
    assert_eq!(answer.invocation_id, "my-id");
    assert_eq!(runtime.welcome.function_ids, [0, 1]);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_names_are_left_out_or_longer_then_they_mean_the_same() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let request = InvokeRequest {
        service: "sensors.sensors".to_owned(),
        function: String::new(),
        ..InvokeRequest::default()
    };

    let (answer, ()) = tokio::join!(node.invoke_with(request), async {
        let call = runtime.call().await;
        assert_eq!(call.function_id, 0);
        assert_eq!(call.invocation_id.len(), 36, "one is made");
        runtime.answer(&call, "").await;
    });

    assert!(answer.is_ok());
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_two_runtimes_are_attached_then_calls_are_spread_and_slots_hold() {
    let node = Node::start().await;
    node.route().await;
    let mut one = Runtime::attach(&node, "one", 2).await;
    let mut two = Runtime::attach(&node, "two", 2).await;
    let mut calls: FuturesUnordered<_> = (0..5).map(|_| node.invoke("rows")).collect();

    let script = async {
        let of_one = [one.call().await, one.call().await];
        let of_two = [two.call().await, two.call().await];
        // The fifth waits: no slot is free.
        one.settle().await;
        two.settle().await;
        two.answer(&of_two[0], "two").await;
        let fifth = two.call().await;
        for call in &of_one {
            one.answer(call, "one").await;
        }
        two.answer(&fifth, "two").await;
        two.answer(&of_two[1], "two").await;
    };
    let answers = async {
        let mut answers = Vec::new();
        while let Some(answer) = calls.next().await {
            answers.push(answer.expect("it went well").payload);
        }
        answers.sort();
        answers
    };
    let ((), answers) = tokio::join!(script, answers);

    assert_eq!(answers, ["one", "one", "two", "two", "two"]);
    drop((one, two, calls));
    node.stop().await;
}

#[tokio::test]
async fn when_the_timeout_of_the_route_passes_then_the_call_ends_and_is_cancelled() {
    let node = Node::start().await;
    let short = Route {
        timeout: Some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        }),
        ..sensors_route()
    };
    node.set_routes(1, vec![short]).await.expect("taken");
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (late, call) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        assert!(call.timeout_us <= 2_000_000);
        let cancel = runtime.cancel().await;
        assert_eq!(
            (cancel.call_id, cancel.reason.as_str()),
            (call.call_id, "FUNCTION_TIMEOUT")
        );
        call
    });
    is(
        &late.expect_err("it is late"),
        Code::DeadlineExceeded,
        "FUNCTION_TIMEOUT",
    );

    // The slot is free once the runtime has ended the call, which nobody hears.
    node.set_routes(2, vec![sensors_route()])
        .await
        .expect("taken");
    let (answer, ()) = tokio::join!(node.invoke("next"), async {
        runtime.settle().await;
        runtime
            .send([failed(&call, FailureOrigin::Timeout, "FUNCTION_TIMEOUT")])
            .await;
        let next = runtime.call().await;
        runtime.answer(&next, "done").await;
    });
    assert!(answer.is_ok());
    assert_eq!(node.proxy.tally().ignored_results.value(), 0);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_deadline_of_the_caller_passes_then_the_runtime_is_told() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut request = Request::new(sensors_call("rows"));
    request.set_timeout(Duration::from_secs(3));
    let mut client = node.functions();

    let (late, ()) = tokio::join!(client.invoke(request), async {
        let call = runtime.call().await;
        assert!(call.timeout_us <= 3_000_000, "{}", call.timeout_us);
        let cancel = runtime.cancel().await;
        assert_eq!(cancel.call_id, call.call_id);
    });

    // Whose clock is first decides whether the status is the proxy's or the client's own.
    let code = late.expect_err("it is late").code();
    assert!(
        matches!(code, Code::DeadlineExceeded | Code::Cancelled),
        "{code:?}"
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_caller_goes_away_then_the_runtime_is_told() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let call = tokio::select! {
        answer = node.invoke("rows") => panic!("nobody answered: {answer:?}"),
        call = runtime.call() => call,
    };
    let cancel = runtime.cancel().await;

    assert_eq!(
        (cancel.call_id, cancel.reason.as_str()),
        (call.call_id, "CALL_CANCELLED")
    );
    runtime
        .send([failed(&call, FailureOrigin::Cancelled, "CALL_CANCELLED")])
        .await;
    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        runtime.answer(&call, "done").await;
    });
    assert!(answer.is_ok());
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_result_comes_twice_then_it_is_ignored_and_counted() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        runtime
            .send([result(&call, "first"), result(&call, "second")])
            .await;
        runtime.settle().await;
    });

    assert_eq!(answer.expect("it went well").payload, "first");
    assert_eq!(node.proxy.tally().ignored_results.value(), 1);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_caller_is_in_a_trace_then_the_function_is_too() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach_with(&node, hello("one", 1))
        .await
        .expect("welcome");
    let mut request = Request::new(sensors_call("rows"));
    request
        .metadata_mut()
        .insert("traceparent", PARENT.parse().expect("visible"));
    let mut client = node.functions();

    let (answer, ()) = tokio::join!(client.invoke(request), async {
        let call = runtime.call().await;
        assert_eq!(call.traceparent, PARENT);
        runtime.answer(&call, "").await;
    });

    assert!(answer.is_ok());
    drop(runtime);
    node.stop().await;
}
