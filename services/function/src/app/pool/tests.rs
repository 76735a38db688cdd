//! What the pool does with calls and endpoints, one thing at a time.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Limits, Pool, Refusal};
use crate::app::calls::CallId;
use crate::app::endpoint::{Endpoint, EndpointId, Instance, ServedFunction, Serves, State};
use crate::app::error::CallError;
use crate::app::invocation::{Answer, CancelReason, Failure, Invocation, Outcome};
use crate::app::outbox::{CallCommand, Command, GoAway, Outbox};
use crate::app::release::Release;
use crate::app::reply::{Event, Reply, WINDOW_BYTES};
use crate::app::route::Route;
use crate::app::tally::Tally;

mod random;
mod releases;

fn limits() -> Limits {
    Limits {
        queue: 4,
        waiting_bytes: 1 << 20,
        runtime_wait: Duration::from_secs(1),
        endpoints: 16,
    }
}

fn release(revision: u64, label: &str) -> Release {
    Release {
        revision,
        label: label.to_owned(),
    }
}

fn route(active_revision: u64, standby_revision: Option<u64>) -> Route {
    Route {
        application: "app".to_owned(),
        service: "sensors".to_owned(),
        active: release(active_revision, ""),
        standby: standby_revision.map(|revision| release(revision, "")),
        functions: vec!["window".to_owned()],
        timeout: Duration::from_secs(5),
        queue_limit: None,
    }
}

fn endpoint(id: u64, slots: u32) -> Endpoint {
    Endpoint {
        id: EndpointId(id),
        instance: Instance {
            id: format!("runtime-{id}"),
            incarnation: 1,
            shard: 0,
        },
        serves: Serves::Release(release(1, "")),
        functions: vec![ServedFunction {
            name: "window".to_owned(),
            is_idempotent: false,
        }],
        slots,
        in_flight: 0,
        state: State::Ready,
        farewell: None,
        outbox: Arc::new(Outbox::chunked(WINDOW_BYTES)),
    }
}

struct Scene {
    pool: Pool,
    now: Instant,
    tally: Arc<Tally>,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let tally = Arc::<Tally>::default();
        let pool = Pool::new(Arc::new(route(1, None)), limits(), tally.clone(), now);
        Self { pool, now, tally }
    }

    fn attach(&mut self, newcomer: Endpoint) -> Arc<Outbox> {
        let outbox = newcomer.outbox.clone();
        self.pool
            .attach(newcomer, None, self.now)
            .expect("it may attach");
        outbox
    }

    fn submit(&mut self) -> Arc<Reply> {
        self.submit_with(|_| {})
    }

    fn submit_with(&mut self, change: impl FnOnce(&mut Invocation)) -> Arc<Reply> {
        self.try_submit(change).expect("it is taken")
    }

    fn try_submit(
        &mut self,
        change: impl FnOnce(&mut Invocation),
    ) -> Result<Arc<Reply>, CallError> {
        let mut invocation = Invocation {
            function: Arc::from("window"),
            payload: Bytes::from_static(b"rows"),
            metadata: Vec::new(),
            idempotency_key: String::new(),
            invocation_id: "invocation".to_owned(),
            traceparent: String::new(),
            is_stream: false,
            deadline: self.now + Duration::from_secs(5),
        };
        change(&mut invocation);
        self.pool.submit(Arc::new(invocation), self.now)
    }

    fn answer(&mut self, from: u64, id: CallId) -> bool {
        let answer = Answer {
            payload: Bytes::from_static(b"answer"),
            metadata: Vec::new(),
        };
        self.outcome(from, id, Ok(answer))
    }

    fn outcome(&mut self, from: u64, id: CallId, result: Result<Answer, Failure>) -> bool {
        let outcome = Outcome {
            result,
            run_time: Duration::from_millis(2),
        };
        self.pool.result(EndpointId(from), id, outcome, self.now)
    }
}

fn commands(outbox: &Outbox) -> Vec<Command> {
    let context = Context::from_waker(Waker::noop());
    let next = || match outbox.poll_batch(&context) {
        Poll::Ready(batch) => batch,
        Poll::Pending => None,
    };
    std::iter::from_fn(next).flatten().collect()
}

fn calls(outbox: &Outbox) -> Vec<CallCommand> {
    let only_calls = |command| match command {
        Command::Call(call) => Some(call),
        _ => None,
    };
    commands(outbox)
        .into_iter()
        .filter_map(only_calls)
        .collect()
}

fn farewell(outbox: &Outbox) -> Option<&'static str> {
    match commands(outbox).pop() {
        Some(Command::GoAway(away)) => Some(away.reason),
        _ => None,
    }
}

fn end(reply: &Reply) -> Option<Result<Answer, CallError>> {
    let mut ended = None;
    while let Poll::Ready(event) = reply.poll_event(&Context::from_waker(Waker::noop())) {
        if let Event::End(end) = event {
            assert!(ended.replace(end).is_none(), "there is one end");
        }
    }
    ended
}

fn died(has_started: bool) -> Option<Result<Answer, CallError>> {
    Some(Err(CallError::RuntimeDied { has_started }))
}

#[test]
fn when_a_slot_is_free_then_the_call_is_sent_and_its_result_ends_it() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));

    let reply = scene.submit();
    let sent = calls(&outbox);
    assert_eq!(end(&reply), None);
    assert!(scene.answer(1, sent[0].id));

    assert_eq!((sent[0].attempt, &sent[0].payload[..]), (1, &b"rows"[..]));
    assert_eq!(
        end(&reply).expect("an end").expect("good").payload,
        &b"answer"[..]
    );
}

#[test]
fn when_no_slot_is_free_then_calls_wait_in_order() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    for name in ["first", "second", "third"] {
        scene.submit_with(|invocation| invocation.invocation_id = name.to_owned());
    }

    let mut order = Vec::new();
    while let [call] = &calls(&outbox)[..] {
        order.push(call.invocation.invocation_id.clone());
        scene.answer(1, call.id);
    }

    assert_eq!(order, ["first", "second", "third"]);
}

#[test]
fn when_the_queue_is_full_then_the_next_call_is_refused_with_a_hint() {
    let mut scene = Scene::new();
    scene.attach(endpoint(1, 1));
    for _ in 0..5 {
        scene.submit();
    }

    let refused = scene.try_submit(|_| {}).expect_err("1 runs, 4 wait");
    let by_bytes = scene.try_submit(|invocation| {
        invocation.payload = Bytes::from(vec![0; 1 << 20]);
    });

    assert!(matches!(refused, CallError::Overloaded { retry_after, .. } if !retry_after.is_zero()));
    assert!(matches!(by_bytes, Err(CallError::Overloaded { .. })));
}

#[test]
fn when_the_time_of_a_waiting_call_is_up_then_it_is_never_sent() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    scene.submit();
    let late = scene.submit_with(|invocation| invocation.deadline -= Duration::from_secs(4));
    scene.now += Duration::from_secs(2);

    let running = calls(&outbox)[0].id;
    scene.answer(1, running);

    assert_eq!(end(&late), Some(Err(CallError::Timeout)));
    assert!(calls(&outbox).is_empty());
    assert_eq!(
        scene
            .try_submit(|call| call.deadline = scene_start(call))
            .err(),
        Some(CallError::Timeout)
    );
}

/// A time that has passed.
fn scene_start(call: &Invocation) -> Instant {
    call.deadline - Duration::from_secs(5)
}

#[test]
fn when_a_running_call_is_abandoned_then_it_keeps_its_slot_until_its_result() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    let reply = scene.submit();
    let first = calls(&outbox)[0].id;
    scene.submit();

    scene.pool.abandon(&reply, CancelReason::Timeout, scene.now);
    let told = commands(&outbox);

    assert_eq!(end(&reply), Some(Err(CallError::Timeout)));
    assert!(
        matches!(told[..], [Command::Cancel { id, .. }] if id == first),
        "{told:?}"
    );
    assert!(scene.answer(1, first), "the runtime ends it, nobody hears");
    assert_eq!(calls(&outbox).len(), 1);
}

#[test]
fn when_a_call_is_abandoned_before_it_left_then_its_slot_is_free_at_once() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    let reply = scene.submit();
    let next = scene.submit();

    scene
        .pool
        .abandon(&reply, CancelReason::Cancelled, scene.now);

    let sent = calls(&outbox);
    assert_eq!(sent.len(), 1);
    assert!(next.dispatched().is_some());
}

#[test]
fn when_a_result_comes_twice_or_from_another_endpoint_then_it_is_counted_and_ignored() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    scene.attach(endpoint(2, 1));
    let reply = scene.submit();
    let id = calls(&outbox)[0].id;

    let taken = [
        scene.answer(2, id),
        scene.answer(1, id),
        scene.answer(1, id),
    ];

    assert_eq!(taken, [false, true, false]);
    assert_eq!(scene.tally.ignored_results.value(), 2);
    assert!(end(&reply).is_some());
}

#[test]
fn when_a_runtime_dies_then_only_what_cannot_have_run_goes_elsewhere() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 4));
    let started = scene.submit();
    let sent = scene.submit();
    let ids: Vec<_> = calls(&outbox).iter().map(|call| call.id).collect();
    scene.pool.started(EndpointId(1), ids[0]);
    let unsent = scene.submit();
    let other = scene.attach(endpoint(2, 4));

    scene.pool.detach(EndpointId(1), None, scene.now);

    assert_eq!(end(&started), died(true));
    assert_eq!(end(&sent), died(false));
    let repeated = calls(&other);
    assert_eq!((repeated.len(), repeated[0].attempt), (1, 2));
    scene.answer(2, repeated[0].id);
    assert!(end(&unsent).expect("an end").is_ok());
}

#[test]
fn when_a_runtime_dies_then_idempotent_calls_go_elsewhere_within_the_budget() {
    let mut scene = Scene::new();
    let mut idempotent = endpoint(1, 40);
    idempotent.functions[0].is_idempotent = true;
    let outbox = scene.attach(idempotent);
    let replies: Vec<_> = (0..40).map(|_| scene.submit()).collect();
    calls(&outbox);
    let other = scene.attach(endpoint(2, 40));

    scene.pool.detach(EndpointId(1), None, scene.now);

    // Ten tokens at first, and one per ten calls.
    let repeated = calls(&other);
    assert_eq!(repeated.len(), 14);
    assert_eq!(scene.tally.retries.value(), 14);
    assert_eq!(
        replies
            .iter()
            .filter(|reply| end(reply) == died(false))
            .count(),
        26
    );
    assert!(
        !scene.answer(1, repeated[0].id),
        "the old endpoint is not heard"
    );
}

#[test]
fn when_the_answer_had_begun_then_even_an_idempotent_call_is_not_repeated() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    scene.attach(endpoint(2, 1));
    let reply = scene.submit_with(|invocation| invocation.idempotency_key = "key".to_owned());
    let id = calls(&outbox)[0].id;
    scene
        .pool
        .chunk(EndpointId(1), id, Bytes::from_static(b"piece"), true);

    scene.pool.detach(EndpointId(1), None, scene.now);

    assert_eq!(end(&reply), died(false));
}

#[test]
fn when_a_runtime_had_no_room_then_the_call_is_tried_again_at_most_three_times() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    let reply = scene.submit();
    let full = CallError::Overloaded {
        service: "sensors".to_owned(),
        retry_after: Duration::from_millis(50),
    };

    let mut attempts = Vec::new();
    while let [call] = &calls(&outbox)[..] {
        attempts.push(call.attempt);
        scene.outcome(1, call.id, Err(Failure::NotRun(full.clone())));
    }

    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(end(&reply), Some(Err(full)));
}

#[test]
fn when_no_runtime_is_ready_then_calls_wait_for_one_for_a_while() {
    let mut scene = Scene::new();
    let lucky = scene.submit();
    let look = scene.pool.check(&lucky, scene.now);
    assert_eq!(look, Some(scene.now + Duration::from_secs(1)));
    let outbox = scene.attach(endpoint(1, 1));
    assert_eq!(calls(&outbox).len(), 1);
    scene.pool.detach(EndpointId(1), None, scene.now);

    let unlucky = scene.submit();
    scene.now += Duration::from_secs(1);

    assert_eq!(scene.pool.check(&unlucky, scene.now), None);
    assert!(matches!(
        end(&unlucky),
        Some(Err(CallError::NoRuntime { .. }))
    ));
    assert_eq!(end(&lucky), died(false));
}

#[test]
fn when_the_runtimes_do_not_serve_the_function_then_it_is_not_found() {
    let mut scene = Scene::new();
    scene.attach(endpoint(1, 1));

    let refused = scene.try_submit(|invocation| invocation.function = Arc::from("other"));

    assert!(
        matches!(refused, Err(CallError::FunctionNotFound { .. })),
        "{refused:?}"
    );
}

#[test]
fn when_an_endpoint_is_silent_or_drains_then_it_gets_no_calls() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 8));
    scene
        .pool
        .set_state(EndpointId(1), State::Suspect, scene.now);
    scene.submit();
    assert!(calls(&outbox).is_empty());

    scene.pool.set_state(EndpointId(1), State::Ready, scene.now);
    let running = calls(&outbox);
    scene
        .pool
        .set_state(EndpointId(1), State::Draining, scene.now);
    scene.pool.set_state(EndpointId(1), State::Ready, scene.now);
    scene.submit();

    assert_eq!(running.len(), 1);
    assert!(calls(&outbox).is_empty(), "what drains stays so");
    assert!(scene.answer(1, running[0].id), "its calls end well");
}

#[test]
fn when_a_later_start_attaches_then_the_earlier_one_is_superseded_and_fenced() {
    let mut scene = Scene::new();
    let mut first = endpoint(1, 1);
    first.instance.id = "runtime".to_owned();
    let old = scene.attach(first);
    let reply = scene.submit();
    let id = calls(&old)[0].id;
    let mut second = endpoint(2, 1);
    second.instance = Instance {
        id: "runtime".to_owned(),
        incarnation: 2,
        shard: 0,
    };
    scene.attach(second);

    let mut third = endpoint(3, 1);
    third.instance.id = "runtime".to_owned();
    let refused = scene.pool.attach(third, None, scene.now);

    assert_eq!(farewell(&old), Some("SUPERSEDED"));
    assert_eq!(end(&reply), died(false));
    assert!(!scene.answer(1, id));
    assert_eq!(scene.tally.superseded.value(), 1);
    assert_eq!(refused, Err(Refusal::Fenced));
}

#[test]
fn when_a_runtime_opens_several_streams_then_they_live_side_by_side() {
    let mut scene = Scene::new();
    for shard in 0..2 {
        let mut stream = endpoint(u64::from(shard) + 1, 1);
        stream.instance = Instance {
            id: "runtime".to_owned(),
            incarnation: 1,
            shard,
        };
        scene.attach(stream);
    }

    assert_eq!(scene.pool.load().0, 2);
}

#[test]
fn when_a_standby_is_promoted_then_it_gets_the_calls_and_the_old_one_goes_when_it_is_done() {
    let mut scene = Scene::new();
    scene.pool.set_route(Arc::new(route(1, Some(2))), scene.now);
    let old = scene.attach(endpoint(1, 1));
    let mut second = endpoint(2, 1);
    second.serves = Serves::Release(release(2, ""));
    let new = scene.attach(second);
    let running = scene.submit();
    let waiting = scene.submit();
    let id = calls(&old)[0].id;
    assert!(calls(&new).is_empty(), "a standby gets no calls");

    scene.pool.set_route(Arc::new(route(2, None)), scene.now);

    assert_eq!(calls(&new).len(), 1);
    assert!(waiting.dispatched().is_some());
    assert!(commands(&old).is_empty(), "its call goes on");
    scene.answer(1, id);
    assert_eq!(farewell(&old), Some("NOT_ROUTED"));
    assert!(end(&running).expect("an end").is_ok());
    assert_eq!(
        scene.pool.attach(endpoint(3, 1), None, scene.now),
        Err(Refusal::NotRouted)
    );
}

#[test]
fn when_the_pool_is_closed_then_calls_that_are_there_end_before_endpoints_go() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    scene.submit();
    let waiting = scene.submit();
    let away = GoAway {
        reason: "SHUTDOWN",
        message: String::new(),
        reconnect_after: None,
    };

    scene.pool.close(&away, scene.now);
    let refused = scene.try_submit(|_| {});
    while let [call] = &calls(&outbox)[..] {
        assert!(!scene.pool.is_over());
        scene.answer(1, call.id);
    }

    assert!(matches!(refused, Err(CallError::NoRuntime { .. })));
    assert!(end(&waiting).expect("an end").is_ok());
    assert!(scene.pool.is_over());
    assert_eq!(scene.pool.load(), (0, 0));
}

#[test]
fn when_the_route_is_gone_then_waiting_calls_end_and_running_ones_go_on() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    let running = scene.submit();
    let waiting = scene.submit();
    let away = GoAway {
        reason: "NOT_ROUTED",
        message: String::new(),
        reconnect_after: None,
    };

    scene.pool.unroute(&away, scene.now);
    let id = calls(&outbox)[0].id;
    scene.answer(1, id);

    assert!(matches!(
        end(&waiting),
        Some(Err(CallError::NoRuntime { .. }))
    ));
    assert!(end(&running).expect("an end").is_ok());
    assert_eq!(farewell(&outbox), Some("NOT_ROUTED"));
}

#[test]
fn when_an_answer_breaks_the_window_then_the_call_is_ended_and_recalled() {
    let mut scene = Scene::new();
    let outbox = scene.attach(endpoint(1, 1));
    let reply = scene.submit_with(|invocation| invocation.is_stream = true);
    let id = calls(&outbox)[0].id;

    let piece = Bytes::from(vec![0; 64 * 1024]);
    for _ in 0..5 {
        scene.pool.chunk(EndpointId(1), id, piece.clone(), true);
    }

    let told = commands(&outbox);
    assert!(matches!(told[..], [Command::Cancel { .. }]), "{told:?}");
    assert!(matches!(
        end(&reply),
        Some(Err(CallError::RuntimeFailed { .. }))
    ));
    scene.answer(1, id);
    assert_eq!(scene.pool.load(), (1, 0));
}

#[test]
fn when_functions_are_listed_then_what_serves_them_is_told() {
    let mut scene = Scene::new();
    scene.attach(endpoint(1, 2));
    let mut draining = endpoint(2, 7);
    draining.state = State::Draining;
    scene.attach(draining);
    scene.submit();

    let listed = scene.pool.functions();

    let [window] = &listed[..] else {
        panic!("one function, not {listed:?}");
    };
    assert_eq!(window.name, "window");
    let numbers = (window.ready_endpoints, window.slots, window.active_calls);
    assert_eq!(numbers, (1, 2, 1));
}
