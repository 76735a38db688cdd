//! A hundred thousand random events, held against a model of callers and runtimes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::{endpoint, limits, release, route};
use crate::app::calls::CallId;
use crate::app::endpoint::{EndpointId, Serves, State};
use crate::app::error::CallError;
use crate::app::invocation::{Answer, CancelReason, Failure, Invocation, Outcome};
use crate::app::outbox::{Command, INLINE_BYTES, Outbox};
use crate::app::pool::{Call, Limits, Pool};
use crate::app::release::Release;
use crate::app::reply::{Event, Reply};
use crate::app::route::Route;
use crate::app::tally::Tally;

const SEEDS: u64 = 10;
const EVENTS: usize = 10_000;

/// What a runtime knows.
struct Runtime {
    outbox: Arc<Outbox>,
    release: Release,
    /// The most slots since the outbox was last empty: what is in it was sent under those.
    most_slots: u32,
    slots: u32,
    /// Calls without a result, by id.
    running: BTreeMap<CallId, usize>,
    /// Ids that were answered.
    answered: Vec<CallId>,
}

/// What a caller knows.
struct Caller {
    reply: Arc<Reply>,
    is_safe: bool,
    ends: usize,
    /// How often a runtime got the call, without those that said it did not run.
    runs: usize,
}

struct World {
    pool: Pool,
    rng: StdRng,
    now: Instant,
    next_endpoint: u64,
    active: Release,
    runtimes: BTreeMap<EndpointId, Runtime>,
    gone: Vec<(EndpointId, CallId)>,
    callers: Vec<Caller>,
    open: Vec<usize>,
    tally: Arc<Tally>,
    seen: HashMap<&'static str, usize>,
}

#[test]
fn when_random_things_happen_then_slots_hold_and_every_call_ends_once() {
    let mut seen: HashMap<&'static str, usize> = HashMap::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..EVENTS {
            world.step();
            world.check(seed);
        }
        world.finish(seed);
        for (what, count) in world.seen {
            *seen.entry(what).or_default() += count;
        }
    }

    // The scenario reaches what it is about.
    for what in [
        "ok",
        "raised",
        "died",
        "timeout",
        "cancelled",
        "overloaded",
        "none",
        "repeated",
        "stale",
        "value",
        "waited",
    ] {
        assert!(
            seen.get(what).is_some_and(|count| *count > 0),
            "no {what} in {seen:?}"
        );
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let tally = Arc::<Tally>::default();
        let limits = Limits {
            queue: 20,
            runtime_wait: Duration::from_millis(20),
            ..limits()
        };
        Self {
            pool: Pool::new(Arc::new(route(1, None)), limits, tally.clone(), now),
            rng: StdRng::seed_from_u64(seed),
            now,
            next_endpoint: 1,
            active: release(1, ""),
            runtimes: BTreeMap::new(),
            gone: Vec::new(),
            callers: Vec::new(),
            open: Vec::new(),
            tally,
            seen: HashMap::new(),
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..34 => self.submit(),
            34..60 => self.deliver(),
            60..78 => self.answer(),
            78..82 => self.answer_again(),
            82..86 => self.chunk(),
            86..90 => self.abandon(),
            90..92 => self.attach(),
            92 => self.detach(),
            93 => self.change_state(),
            94 => self.change_slots(),
            95 => self.change_route(),
            96 => self.look(),
            _ => self.now += Duration::from_millis(self.rng.random_range(1..10)),
        }
        self.read();
    }

    fn submit(&mut self) {
        let is_safe = self.rng.random_bool(0.3);
        let is_large = self.rng.random_bool(0.1);
        let invocation = Invocation {
            function: Arc::from("window"),
            payload: Bytes::from(vec![0; if is_large { INLINE_BYTES + 1 } else { 8 }]),
            metadata: Vec::new(),
            idempotency_key: if is_safe {
                "key".to_owned()
            } else {
                String::new()
            },
            invocation_id: self.callers.len().to_string(),
            traceparent: String::new(),
            is_stream: self.rng.random_bool(0.3),
            deadline: self.now + Duration::from_millis(self.rng.random_range(1..60)),
        };
        match self.pool.submit(Arc::new(invocation), self.now) {
            Ok(reply) => {
                self.open.push(self.callers.len());
                self.callers.push(Caller {
                    reply,
                    is_safe,
                    ends: 0,
                    runs: 0,
                });
            }
            Err(error) => self.note(&error),
        }
    }

    fn pick_runtime(&mut self) -> Option<EndpointId> {
        let ids: Vec<_> = self.runtimes.keys().copied().collect();
        ids.choose(&mut self.rng).copied()
    }

    /// Moves one batch from an outbox to its runtime.
    fn deliver(&mut self) {
        let Some(id) = self.pick_runtime() else {
            return;
        };
        let runtime = self.runtimes.get_mut(&id).expect("it was picked");
        let context = Context::from_waker(Waker::noop());
        match runtime.outbox.poll_batch(&context) {
            Poll::Ready(Some(batch)) => {
                for command in batch {
                    if let Command::Call(call) = command {
                        let number = call.invocation.invocation_id.parse().expect("a number");
                        runtime.running.insert(call.id, number);
                        self.callers[number].runs += 1;
                        let running = runtime.running.len();
                        assert!(
                            running <= runtime.most_slots as usize,
                            "more calls than slots"
                        );
                    }
                }
            }
            Poll::Ready(None) => self.lose(id),
            Poll::Pending => runtime.most_slots = runtime.slots,
        }
    }

    fn lose(&mut self, id: EndpointId) {
        if let Some(runtime) = self.runtimes.remove(&id) {
            self.gone
                .extend(runtime.running.keys().map(|call| (id, *call)));
        }
    }

    fn answer(&mut self) {
        let Some(id) = self.pick_runtime() else {
            return;
        };
        let runtime = self.runtimes.get_mut(&id).expect("it was picked");
        let running: Vec<_> = runtime
            .running
            .iter()
            .map(|(call, of)| (*call, *of))
            .collect();
        let Some((call, number)) = running.choose(&mut self.rng).copied() else {
            return;
        };
        runtime.running.remove(&call);
        runtime.answered.push(call);
        let result = match self.rng.random_range(0..10) {
            0 => Err(Failure::Ran(raised())),
            1 => {
                self.callers[number].runs -= 1;
                Err(Failure::NotRun(CallError::NoRuntime {
                    service: "sensors".to_owned(),
                }))
            }
            _ => Ok(Answer {
                payload: Bytes::from(number.to_string()),
                metadata: Vec::new(),
            }),
        };
        let outcome = Outcome {
            result,
            run_time: Duration::from_millis(1),
        };
        let is_taken = self.pool.result(id, call, outcome, self.now);
        assert!(
            is_taken,
            "a first result of a call that the runtime has is taken"
        );
    }

    fn answer_again(&mut self) {
        let answered = self
            .runtimes
            .iter()
            .flat_map(|(id, runtime)| runtime.answered.iter().map(|call| (*id, *call)));
        let stale: Vec<_> = answered.chain(self.gone.iter().copied()).collect();
        let Some((id, call)) = stale.choose(&mut self.rng).copied() else {
            return;
        };
        let outcome = Outcome {
            result: Ok(Answer::default()),
            run_time: Duration::ZERO,
        };
        let before = self.tally.ignored_results.value();
        assert!(
            !self.pool.result(id, call, outcome, self.now),
            "a stale result is not taken"
        );
        assert_eq!(self.tally.ignored_results.value(), before + 1);
        *self.seen.entry("stale").or_default() += 1;
    }

    fn chunk(&mut self) {
        let running = self
            .runtimes
            .iter()
            .flat_map(|(id, runtime)| runtime.running.keys().map(|call| (*id, *call)));
        let running: Vec<_> = running.collect();
        if let Some((id, call)) = running.choose(&mut self.rng).copied() {
            let is_end = self.rng.random_bool(0.7);
            self.pool
                .chunk(id, call, Bytes::from_static(b"piece"), is_end);
            self.pool.started(id, call);
        }
    }

    fn abandon(&mut self) {
        let Some(number) = self.open.choose(&mut self.rng).copied() else {
            return;
        };
        let reason = if self.rng.random_bool(0.5) {
            CancelReason::Timeout
        } else {
            CancelReason::Cancelled
        };
        self.pool
            .abandon(&self.callers[number].reply, reason, self.now);
    }

    fn look(&mut self) {
        for number in self.open.clone() {
            self.pool.check(&self.callers[number].reply, self.now);
        }
    }

    fn attach(&mut self) {
        if self.runtimes.len() >= 6 {
            return;
        }
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint += 1;
        let release = self.pick_release();
        let slots = self.rng.random_range(1..5);
        let mut newcomer = endpoint(id.0, slots);
        newcomer.instance.id = self.rng.random_range(0..5).to_string();
        newcomer.instance.incarnation = self.rng.random_range(0..3);
        newcomer.serves = Serves::Release(release.clone());
        let outbox = newcomer.outbox.clone();
        if self.pool.attach(newcomer, None, self.now).is_ok() {
            let runtime = Runtime {
                outbox,
                release,
                most_slots: slots,
                slots,
                running: BTreeMap::new(),
                answered: Vec::new(),
            };
            self.runtimes.insert(id, runtime);
            self.drop_closed();
        }
    }

    /// Runtimes that were sent away learn it.
    fn drop_closed(&mut self) {
        let held: Vec<_> = self.pool.endpoints.iter().map(|each| each.id).collect();
        let lost: Vec<_> = self
            .runtimes
            .keys()
            .filter(|id| !held.contains(id))
            .copied()
            .collect();
        for id in lost {
            self.lose(id);
        }
    }

    fn detach(&mut self) {
        if let Some(id) = self.pick_runtime() {
            self.pool.detach(id, None, self.now);
            self.lose(id);
        }
    }

    fn change_state(&mut self) {
        if let Some(id) = self.pick_runtime() {
            let states = [State::Ready, State::Ready, State::Suspect, State::Draining];
            let state = states
                .choose(&mut self.rng)
                .copied()
                .expect("there are states");
            self.pool.set_state(id, state, self.now);
        }
    }

    fn change_slots(&mut self) {
        if let Some(id) = self.pick_runtime() {
            let delta = self.rng.random_range(-2..3);
            let runtime = self.runtimes.get_mut(&id).expect("it was picked");
            runtime.slots = runtime.slots.saturating_add_signed(delta);
            runtime.most_slots = runtime.most_slots.max(runtime.slots);
            self.pool.add_slots(id, delta, self.now);
        }
    }

    fn change_route(&mut self) {
        self.active = self.pick_release();
        let has_standby = self.rng.random_bool(0.7);
        let changed = Route {
            active: self.active.clone(),
            standby: has_standby.then(|| self.pick_release()),
            ..route(1, None)
        };
        self.pool.set_route(Arc::new(changed), self.now);
        self.drop_closed();
    }

    fn pick_release(&mut self) -> Release {
        let revision = self.rng.random_range(1..3);
        let label = ["", "a", "b"].choose(&mut self.rng);
        release(revision, label.expect("there are labels"))
    }

    /// Lets every caller read what there is.
    fn read(&mut self) {
        self.drop_closed();
        let context = Context::from_waker(Waker::noop());
        let mut still_open = Vec::new();
        for number in std::mem::take(&mut self.open) {
            let reply = self.callers[number].reply.clone();
            let mut is_open = true;
            while let Poll::Ready(event) = reply.poll_event(&context) {
                match event {
                    Event::Waiting => {}
                    Event::Value(_) => *self.seen.entry("value").or_default() += 1,
                    Event::End(end) => {
                        is_open = false;
                        self.callers[number].ends += 1;
                        match end {
                            Ok(answer) => self.note_answer(number, &answer),
                            Err(error) => self.note(&error),
                        }
                    }
                }
            }
            if is_open {
                still_open.push(number);
            }
        }
        self.open = still_open;
    }

    fn note_answer(&mut self, number: usize, answer: &Answer) {
        let text = String::from_utf8_lossy(&answer.payload);
        let is_own = text.is_empty() || text.ends_with(&number.to_string());
        assert!(is_own, "the answer {text} is not for call {number}");
        *self.seen.entry("ok").or_default() += 1;
    }

    fn note(&mut self, error: &CallError) {
        let what = match error {
            CallError::Raised { .. } => "raised",
            CallError::RuntimeDied { .. } => "died",
            CallError::Timeout => "timeout",
            CallError::Cancelled => "cancelled",
            CallError::Overloaded { .. } => "overloaded",
            CallError::NoRuntime { .. } => "none",
            other => panic!("nothing here leads to {other:?}"),
        };
        *self.seen.entry(what).or_default() += 1;
    }

    /// The invariants.
    fn check(&mut self, seed: u64) {
        let mut held = 0;
        for endpoint in &self.pool.endpoints {
            let at = |call: &Call| call.run_at(endpoint.id).is_some();
            let calls = self.pool.calls.iter().filter(|(_, call)| at(call)).count();
            assert_eq!(
                calls, endpoint.in_flight as usize,
                "seed {seed}: slots leak"
            );
            held += calls;
            let runtime = &self.runtimes[&endpoint.id];
            assert_eq!(endpoint.slots, runtime.slots, "seed {seed}");
            let is_routed = self.active.matches(&runtime.release);
            assert_eq!(endpoint.serves, Serves::Release(runtime.release.clone()));
            let may_have_more = endpoint.is_eligible(&self.active) && endpoint.has_room();
            assert!(
                !may_have_more || is_routed,
                "seed {seed}: a standby gets calls"
            );
            assert!(
                !may_have_more || self.pool.queue.is_empty(),
                "seed {seed}: a call waits"
            );
        }
        let waiting = self.pool.queue.len();
        assert_eq!(
            self.pool.calls.len(),
            held + waiting,
            "seed {seed}: calls leak"
        );
        let bytes = self
            .pool
            .queue
            .iter()
            .filter_map(|id| self.pool.calls.get(*id));
        let bytes: usize = bytes.map(|call| call.invocation.payload.len()).sum();
        assert_eq!(bytes, self.pool.waiting_bytes, "seed {seed}: bytes leak");
        if waiting > 0 {
            *self.seen.entry("waited").or_default() += 1;
        }
        if self.tally.retries.value() > 0 {
            self.seen.insert("repeated", 1);
        }
        for caller in &self.callers {
            assert!(caller.ends <= 1, "seed {seed}: a call has two ends");
            assert!(
                caller.is_safe || caller.runs <= 1,
                "seed {seed}: a call ran twice"
            );
        }
    }

    fn finish(&mut self, seed: u64) {
        for id in self.runtimes.keys().copied().collect::<Vec<_>>() {
            self.pool.detach(id, None, self.now);
        }
        self.now += Duration::from_secs(10);
        self.look();
        self.read();
        assert!(self.pool.calls.is_empty(), "seed {seed}: calls are left");
        assert!(self.pool.queue.is_empty(), "seed {seed}: calls wait");
        for (number, caller) in self.callers.iter().enumerate() {
            assert_eq!(caller.ends, 1, "seed {seed}: call {number} has no end");
        }
    }
}

fn raised() -> CallError {
    CallError::Raised {
        error_type: "ValueError".to_owned(),
        message: "no".to_owned(),
        stack: String::new(),
    }
}
