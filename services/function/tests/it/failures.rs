//! Calls that fail: runtimes that die or have no room, functions that raise, wrong requests.

use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::{
    CallResult, Failure, FailureOrigin, InvokeRequest, Route, Started,
};
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::Problem;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::node::{Node, is, sensors_call, sensors_route, soon};
use crate::runtime::{Runtime, failed};

#[tokio::test]
async fn when_a_runtime_dies_then_its_call_fails_and_the_other_goes_on() {
    let node = Node::start().await;
    node.route().await;
    let mut one = Runtime::attach(&node, "one", 1).await;
    let mut two = Runtime::attach(&node, "two", 1).await;
    let mut calls: FuturesUnordered<_> = (0..2).map(|_| node.invoke("rows")).collect();

    let script = async {
        let (lost, kept) = (one.call().await, two.call().await);
        let started = Started {
            call_ids: vec![lost.call_id],
        };
        one.send([FromRuntime::Started(started)]).await;
        one.settle().await;
        drop(one);
        kept
    };
    let (first, kept) = tokio::join!(calls.next(), script);
    two.answer(&kept, "done").await;
    let second = soon(calls.next()).await;

    let problem = first.expect("an end").expect_err("its runtime died");
    is(&problem, Code::Unavailable, "RUNTIME_DIED");
    assert_eq!(problem.metadata["started"], "true");
    assert_eq!(
        second.expect("an end").expect("it went well").payload,
        "done"
    );
    drop(two);
    drop(calls);
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_dies_with_a_call_that_is_safe_to_repeat_then_another_gets_it() {
    let node = Node::start().await;
    node.route().await;
    let mut one = Runtime::attach(&node, "one", 1).await;
    let request = InvokeRequest {
        idempotency_key: "key-1".to_owned(),
        ..sensors_call("rows")
    };

    let (answer, two) = tokio::join!(node.invoke_with(request), async {
        assert_eq!(one.call().await.idempotency_key, "key-1");
        drop(one);
        let mut two = Runtime::attach(&node, "two", 1).await;
        let again = two.call().await;
        assert_eq!((again.attempt, again.payload.as_ref()), (2, &b"rows"[..]));
        two.answer(&again, "done").await;
        two
    });

    assert_eq!(answer.expect("it went well").payload, "done");
    assert_eq!(node.proxy.tally().retries.value(), 1);
    drop(two);
    node.stop().await;
}

#[tokio::test]
async fn when_slots_and_queue_are_full_then_calls_are_refused_with_a_hint() {
    let node = Node::start().await;
    let route = Route {
        queue_limit: 1,
        ..sensors_route()
    };
    node.set_routes(1, vec![route]).await.expect("taken");
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut calls: FuturesUnordered<_> = (0..4).map(|_| node.invoke("rows")).collect();

    // One runs and one waits, so two are refused while nothing is answered.
    for _ in 0..2 {
        let refused = soon(calls.next())
            .await
            .expect("an end")
            .expect_err("there is no room");
        is(&refused, Code::ResourceExhausted, "OVERLOADED");
        assert!(refused.retry_after.is_some());
    }
    let script = async {
        for _ in 0..2 {
            let call = runtime.call().await;
            runtime.answer(&call, "done").await;
        }
    };
    let (answers, ()) = tokio::join!(calls.collect::<Vec<_>>(), script);

    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_function_raised_then_the_caller_gets_type_message_and_stack() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let mut client = node.functions();

    let (status, ()) = tokio::join!(client.invoke(sensors_call("rows")), async {
        let call = runtime.call().await;
        let failure = Failure {
            origin: FailureOrigin::Function.into(),
            reason: "FUNCTION_RAISED".to_owned(),
            message: "Expecting ',' delimiter".to_owned(),
            error_type: "ValueError".to_owned(),
            stack: "File \"window.py\", line 12, in handler".to_owned(),
        };
        let told = CallResult {
            call_id: call.call_id,
            failure: Some(failure),
            ..CallResult::default()
        };
        runtime.send([FromRuntime::Result(told)]).await;
    });

    let status = status.expect_err("it raised");
    let problem = Problem::from_status(&status);
    is(&problem, Code::Unknown, "FUNCTION_RAISED");
    assert_eq!(
        problem.message,
        "the function raised ValueError: Expecting ',' delimiter"
    );
    assert_eq!(problem.metadata["error_type"], "ValueError");
    assert!(problem.metadata["stack"].contains("window.py"));
    assert_eq!(problem.metadata["invocation_id"].len(), 36);
    let details = status.get_error_details();
    let debug = details.debug_info().expect("debug information");
    assert_eq!(
        debug.stack_entries,
        ["File \"window.py\", line 12, in handler"]
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn every_failure_of_a_runtime_has_its_status() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    for (origin, told, code, reason) in [
        (
            FailureOrigin::Timeout,
            "",
            Code::DeadlineExceeded,
            "FUNCTION_TIMEOUT",
        ),
        (
            FailureOrigin::Cancelled,
            "",
            Code::Cancelled,
            "CALL_CANCELLED",
        ),
        (
            FailureOrigin::Runtime,
            "RESULT_NOT_ENCODABLE",
            Code::Internal,
            "RESULT_NOT_ENCODABLE",
        ),
        (
            FailureOrigin::Runtime,
            "RUNTIME_DIED",
            Code::Unavailable,
            "RUNTIME_DIED",
        ),
        (
            FailureOrigin::Runtime,
            "RESULT_TOO_LARGE",
            Code::Internal,
            "RESULT_TOO_LARGE",
        ),
        (
            FailureOrigin::Runtime,
            "HANDLER_NOT_FOUND",
            Code::Internal,
            "HANDLER_NOT_FOUND",
        ),
        (
            FailureOrigin::Runtime,
            "whatever",
            Code::Internal,
            "RUNTIME_FAILED",
        ),
        (
            FailureOrigin::Unspecified,
            "",
            Code::Internal,
            "RUNTIME_FAILED",
        ),
    ] {
        let (answer, ()) = tokio::join!(node.invoke("rows"), async {
            let call = runtime.call().await;
            runtime.send([failed(&call, origin, told)]).await;
        });
        is(&answer.expect_err("it failed"), code, reason);
    }
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_had_no_room_then_another_gets_the_call() {
    let node = Node::start().await;
    node.route().await;
    let mut one = Runtime::attach(&node, "one", 1).await;

    let (answer, (one, two)) = tokio::join!(node.invoke("rows"), async {
        let call = one.call().await;
        let mut two = Runtime::attach(&node, "two", 8).await;
        one.send([failed(&call, FailureOrigin::Overload, "OVERLOADED")])
            .await;
        let again = two.call().await;
        assert_eq!(again.attempt, 2);
        two.answer(&again, "two").await;
        (one, two)
    });

    assert_eq!(answer.expect("it went well").payload, "two");
    drop((one, two));
    node.stop().await;
}

#[tokio::test]
async fn when_there_is_no_route_or_no_runtime_then_the_caller_can_tell() {
    let node = Node::start_with(|config| config.runtime_wait = HumanDuration::from_secs(0)).await;
    node.route().await;
    let call = |service: &str, function: &str| InvokeRequest {
        service: service.to_owned(),
        function: function.to_owned(),
        ..InvokeRequest::default()
    };

    let no_service = node
        .invoke_with(call("nothing", ""))
        .await
        .expect_err("no route");
    let no_function = node
        .invoke_with(call("sensors", "nothing"))
        .await
        .expect_err("no function");
    let no_runtime = node.invoke("rows").await.expect_err("no runtime");

    is(&no_service, Code::NotFound, "FUNCTION_NOT_FOUND");
    assert_eq!(no_service.metadata["service"], "nothing");
    is(&no_function, Code::NotFound, "FUNCTION_NOT_FOUND");
    is(&no_runtime, Code::Unavailable, "NO_RUNTIME");
    assert!(no_runtime.retry_after.is_some());
    node.stop().await;
}

#[tokio::test]
async fn when_the_request_is_wrong_then_every_fault_is_named() {
    let node = Node::start().await;
    let metadata = (0..65)
        .map(|key| (key.to_string(), String::new()))
        .collect();
    let request = InvokeRequest {
        service: String::new(),
        function: "a b".to_owned(),
        payload: Bytes::from(vec![0; (4 << 20) + 1]),
        metadata,
        idempotency_key: "k".repeat(65),
        invocation_id: "a/b".to_owned(),
    };

    let problem = node.invoke_with(request).await.expect_err("it is wrong");

    is(&problem, Code::InvalidArgument, "FIELD_VIOLATION");
    let fields: Vec<_> = problem
        .violations
        .iter()
        .map(|each| each.field.as_str())
        .collect();
    let expected = [
        "service",
        "function",
        "payload",
        "metadata",
        "idempotency_key",
        "invocation_id",
    ];
    assert_eq!(fields, expected);
    node.stop().await;
}
