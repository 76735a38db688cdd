//! Runtimes that come, fall silent, and go.

use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::{Drain, FunctionLog, LogBatch, Ping, Ready, Route, RuntimeHello};
use baetyl_service_kit::config::HumanDuration;

use crate::node::{As, Node, sensors_route, soon, until};
use crate::runtime::{Runtime, hello, result};

fn started_later(id: &str, incarnation: u64) -> RuntimeHello {
    let mut hello = hello(id, 1);
    hello.instance.as_mut().expect("an instance").incarnation = incarnation;
    hello
}

#[tokio::test]
async fn when_a_later_start_attaches_then_the_earlier_one_goes_and_its_results_are_ignored() {
    let node = Node::start().await;
    node.route().await;
    let mut old = Runtime::attach(&node, "one", 1).await;

    let (lost, (mut old, mut new)) = tokio::join!(node.invoke("rows"), async {
        let call = old.call().await;
        let new = Runtime::attach_with(&node, started_later("one", 2))
            .await
            .expect("welcome");
        assert!(new.welcome.epoch > old.welcome.epoch);
        old.send([result(&call, "late")]).await;
        (old, new)
    });
    let away = old.go_away().await;
    until(|| node.proxy.tally().ignored_results.value() == 1).await;

    assert_eq!(
        lost.expect_err("its runtime is gone").reason,
        "RUNTIME_DIED"
    );
    assert_eq!(away.reason, "SUPERSEDED");
    let fenced = Runtime::attach_with(&node, started_later("one", 1)).await;
    assert_eq!(
        fenced.err().expect("it comes too late").reason,
        "SUPERSEDED"
    );
    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = new.call().await;
        new.answer(&call, "new").await;
    });
    assert_eq!(answer.expect("it went well").payload, "new");
    drop((old, new));
    node.stop().await;
}

#[tokio::test]
async fn when_no_route_leads_to_the_runtime_then_it_is_told_when_to_come_back() {
    let node = Node::start().await;
    node.route().await;
    let mut wrong_revision = hello("one", 1);
    wrong_revision.revision = 7;
    let mut wrong_application = hello("one", 1);
    wrong_application.application = "other".to_owned();

    for hello in [wrong_revision, wrong_application] {
        let away = Runtime::attach_with(&node, hello)
            .await
            .err()
            .expect("it is refused");
        assert_eq!(away.reason, "NOT_ROUTED");
        assert!(away.reconnect_after.is_some());
    }
    assert_eq!(node.proxy.tally().refused_runtimes.value(), 2);
    node.stop().await;
}

#[tokio::test]
async fn when_a_standby_is_promoted_then_it_takes_over() {
    let node = Node::start().await;
    let with = |active, standby| Route {
        active_revision: active,
        standby_revision: standby,
        ..sensors_route()
    };
    node.set_routes(1, vec![with(1, 2)]).await.expect("taken");
    let mut old = Runtime::attach(&node, "one", 1).await;
    let mut standby = hello("two", 1);
    standby.revision = 2;
    let mut new = Runtime::attach_with(&node, standby)
        .await
        .expect("a standby is welcome");

    let (first, call) = tokio::join!(node.invoke("rows"), async {
        let call = old.call().await;
        node.set_routes(2, vec![with(2, 0)]).await.expect("taken");
        let (second, ()) = tokio::join!(node.invoke("rows"), async {
            let call = new.call().await;
            new.answer(&call, "new").await;
        });
        assert_eq!(second.expect("it went well").payload, "new");
        old.answer(&call, "old").await;
        call
    });

    assert_eq!(first.expect("it went well").payload, "old");
    assert_eq!(call.attempt, 1);
    assert_eq!(old.go_away().await.reason, "NOT_ROUTED");
    drop((old, new));
    node.stop().await;
}

#[tokio::test]
async fn given_a_standby_of_the_active_revision_when_it_attaches_again_then_it_waits_until_promoted()
 {
    let node = Node::start().await;
    let with = |active: &str, standby: &str| Route {
        active_release: active.to_owned(),
        standby_revision: u64::from(!standby.is_empty()),
        standby_release: standby.to_owned(),
        ..sensors_route()
    };
    node.set_routes(1, vec![with("old", "new")])
        .await
        .expect("taken");
    let released = |id: &str, release: &str| RuntimeHello {
        release: release.to_owned(),
        ..hello(id, 1)
    };
    let attach = async |hello| Runtime::attach_with(&node, hello).await.expect("welcome");
    let mut old = attach(released("one", "old")).await;
    let before = attach(released("two", "new")).await;
    // The same runtime on a new stream, as after a connection that was lost.
    let mut new = attach(RuntimeHello {
        lease_id: before.welcome.lease_id.clone(),
        epoch: before.welcome.epoch,
        ..released("two", "new")
    })
    .await;
    drop(before);

    for _ in 0..3 {
        let (answer, ()) = tokio::join!(node.invoke("rows"), async {
            let call = old.call().await;
            old.answer(&call, "old").await;
        });
        assert_eq!(answer.expect("it went well").payload, "old");
    }
    new.settle().await;
    node.set_routes(2, vec![with("new", "")])
        .await
        .expect("taken");
    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = new.call().await;
        new.answer(&call, "new").await;
    });

    assert_eq!(answer.expect("it went well").payload, "new");
    assert_eq!(old.go_away().await.reason, "NOT_ROUTED");
    drop((old, new));
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_drains_then_its_calls_end_and_new_ones_go_elsewhere() {
    let node = Node::start().await;
    node.route().await;
    let mut one = Runtime::attach(&node, "one", 2).await;

    let (first, (one, two)) = tokio::join!(node.invoke("rows"), async {
        let call = one.call().await;
        let mut two = Runtime::attach(&node, "two", 1).await;
        one.send([FromRuntime::Drain(Drain::default())]).await;
        one.settle().await;
        for _ in 0..3 {
            let (answer, ()) = tokio::join!(node.invoke("rows"), async {
                let call = two.call().await;
                two.answer(&call, "two").await;
            });
            assert_eq!(answer.expect("it went well").payload, "two");
        }
        one.answer(&call, "one").await;
        (one, two)
    });

    assert_eq!(first.expect("it went well").payload, "one");
    drop((one, two));
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_falls_silent_then_its_lease_ends_and_its_call_fails() {
    let node = Node::start_with(|config| {
        config.heartbeat_interval = HumanDuration::from_millis(200);
        // Time enough to take the call, on any machine.
        config.lease_duration = HumanDuration::from_secs(5);
    })
    .await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (lost, away) = tokio::join!(node.invoke("rows"), async {
        runtime.call().await;
        runtime.is_alive = false;
        runtime.go_away().await
    });

    assert_eq!(lost.expect_err("nobody answers").reason, "RUNTIME_DIED");
    assert_eq!(away.reason, "LEASE_EXPIRED");
    assert_eq!(node.proxy.tally().expired.value(), 1);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_runtime_answers_pings_then_it_stays() {
    let node = Node::start_with(|config| {
        config.heartbeat_interval = HumanDuration::from_millis(20);
    })
    .await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    runtime.answer_pings(5).await;
    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        runtime.answer(&call, "done").await;
    });

    assert!(answer.is_ok());
    assert_eq!(node.proxy.tally().expired.value(), 0);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_hello_is_wrong_then_the_runtime_is_told_what() {
    let node = Node::start().await;
    node.route().await;
    let wrong = |change: fn(&mut RuntimeHello)| {
        let mut hello = hello("one", 1);
        change(&mut hello);
        FromRuntime::Hello(hello)
    };

    for (first, told) in [
        (
            FromRuntime::Ping(Ping::default()),
            "the first frame must be a hello",
        ),
        (
            wrong(|hello| hello.protocol_version = 9),
            "protocol version 1 is spoken here",
        ),
        (
            wrong(|hello| hello.slots = 0),
            "slots must be between 1 and 1024",
        ),
        (
            wrong(|hello| hello.slots = 1025),
            "slots must be between 1 and 1024",
        ),
        (
            wrong(|hello| hello.release = "r".repeat(64)),
            "release must have at most 63 characters",
        ),
        (
            wrong(|hello| hello.instance = None),
            "instance.id must have 1 to 128 characters",
        ),
        (
            wrong(|hello| hello.functions[1].name = "window".to_owned()),
            "functions[1]: \"window\" is there twice",
        ),
    ] {
        let channel = node.attach_channel(&As::Nobody);
        let away = Runtime::attach_over(channel, first, None)
            .await
            .err()
            .expect("it is refused");
        assert_eq!(
            (away.reason.as_str(), away.message.as_str()),
            ("PROTOCOL_ERROR", told)
        );
    }
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    runtime.send([FromRuntime::Hello(hello("one", 1))]).await;
    assert_eq!(runtime.go_away().await.message, "there was a second hello");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_slots_are_added_then_waiting_calls_get_them() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (first, second, ()) = tokio::join!(node.invoke("rows"), node.invoke("rows"), async {
        let one = runtime.call().await;
        runtime.settle().await;
        runtime
            .send([FromRuntime::Ready(Ready { slots_delta: 1 })])
            .await;
        let two = runtime.call().await;
        runtime
            .send([result(&two, "two"), result(&one, "one")])
            .await;
    });

    assert!(first.is_ok() && second.is_ok());
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_output_comes_then_its_lines_are_counted() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let batch = LogBatch {
        logs: vec![FunctionLog::default(); 3],
        dropped_count: 2,
    };
    runtime.send([FromRuntime::Logs(batch)]).await;
    runtime.settle().await;

    let tally = node.proxy.tally();
    assert_eq!(
        (tally.log_lines.value(), tally.dropped_log_lines.value()),
        (3, 2)
    );
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_service_ends_then_calls_end_first_and_runtimes_are_told_to_come_back() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        node.begin_shutdown();
        runtime.settle().await;
        runtime.answer(&call, "done").await;
    });
    let away = runtime.go_away().await;

    assert_eq!(answer.expect("it went well").payload, "done");
    assert_eq!(away.reason, "SHUTDOWN");
    assert!(away.reconnect_after.is_some());
    drop(runtime);
    soon(node.stop()).await;
}
