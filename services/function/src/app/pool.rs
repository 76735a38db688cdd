//! The calls and endpoints of one service: a state machine without clock and without IO.
//!
//! Invariants, which the randomized test holds against a model:
//!
//! - An endpoint never has more calls than slots.
//! - A call gets one end. What an endpoint says of a call that it does not have is counted only.
//! - No call waits that a free slot could take, so a newcomer that finds a free slot overtakes
//!   nobody.
//! - A call that nobody wants any more keeps its slot until the runtime ends it: the runtime is
//!   still busy with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::balance::least_loaded;
use super::calls::{CallId, Calls};
use super::endpoint::{Endpoint, EndpointId};
use super::error::CallError;
use super::invocation::{CancelReason, Failure, Invocation, Outcome};
use super::outbox::{GoAway, INLINE_BYTES};
use super::reply::Reply;
use super::retry::RetryBudget;
use super::route::Route;
use super::tally::Tally;

mod endpoints;
#[cfg(test)]
mod tests;

pub use endpoints::{FunctionStatus, Refusal};

/// Attempts of one call, the first included.
const MAX_ATTEMPTS: u32 = 3;

/// Bounds of the hint when to try again.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(5);

/// Bounds of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls that may wait for a slot, when the route does not say.
    pub queue: u32,
    /// Bytes of payload that may wait for a slot.
    pub waiting_bytes: usize,
    /// How long calls wait for a runtime when none is ready, for example while it restarts.
    pub runtime_wait: Duration,
    /// Runtimes at the same time.
    pub endpoints: usize,
}

/// The calls and endpoints of one service.
#[derive(Debug)]
pub struct Pool {
    route: Arc<Route>,
    limits: Limits,
    endpoints: Vec<Endpoint>,
    calls: Calls<Call>,
    /// Calls that wait, first come first served.
    queue: VecDeque<CallId>,
    waiting_bytes: usize,
    /// Where the next search for an endpoint begins.
    rotation: usize,
    /// Since when no endpoint can take calls.
    bare_since: Option<Instant>,
    retries: RetryBudget,
    /// Moving average of how long calls have a slot.
    run_time: Duration,
    /// No more calls are taken, and endpoints go when the last call ended.
    closing: Option<GoAway>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Call {
    invocation: Arc<Invocation>,
    reply: Arc<Reply>,
    /// Attempts so far.
    attempts: u32,
    /// When it came.
    since: Instant,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    At(Run),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    endpoint: EndpointId,
    since: Instant,
    has_started: bool,
    /// Whether the caller still waits.
    is_wanted: bool,
}

impl Call {
    fn run_at(&self, endpoint: EndpointId) -> Option<Run> {
        match self.place {
            Place::At(run) if run.endpoint == endpoint => Some(run),
            Place::At(_) | Place::Waiting => None,
        }
    }
}

impl Pool {
    /// Creates the pool of a service, without endpoints.
    #[must_use]
    pub fn new(route: Arc<Route>, limits: Limits, tally: Arc<Tally>, now: Instant) -> Self {
        Self {
            route,
            limits,
            endpoints: Vec::new(),
            calls: Calls::default(),
            queue: VecDeque::new(),
            waiting_bytes: 0,
            rotation: 0,
            bare_since: Some(now),
            retries: RetryBudget::new(now),
            run_time: Duration::ZERO,
            closing: None,
            tally,
        }
    }

    /// Takes a call: sends it to an endpoint, or lets it wait.
    ///
    /// # Errors
    /// There is no such function, no room, no runtime, or no time left.
    pub fn submit(
        &mut self,
        invocation: Arc<Invocation>,
        now: Instant,
    ) -> Result<Arc<Reply>, CallError> {
        if self.closing.is_some() {
            return Err(self.no_runtime());
        }
        if invocation.deadline <= now {
            return Err(CallError::Timeout);
        }
        self.retries.deposit();
        let picked = self.pick(&invocation.function);
        if picked.is_none() {
            self.check_may_wait(&invocation)?;
        }
        let reply = Arc::new(Reply::new(invocation.is_stream));
        let bytes = invocation.payload.len();
        let id = self.calls.insert(Call {
            invocation,
            reply: reply.clone(),
            attempts: 0,
            since: now,
            place: Place::Waiting,
        });
        match picked {
            Some(index) => self.dispatch(id, index, now),
            None => {
                reply.waits_as(id);
                self.queue.push_back(id);
                self.waiting_bytes += bytes;
            }
        }
        Ok(reply)
    }

    fn check_may_wait(&self, invocation: &Invocation) -> Result<(), CallError> {
        let active = &self.route.active;
        let mut eligible = self
            .endpoints
            .iter()
            .filter(|each| each.is_eligible(active))
            .peekable();
        let is_bare = eligible.peek().is_none();
        if !is_bare && !eligible.any(|each| each.function(&invocation.function).is_some()) {
            return Err(CallError::FunctionNotFound {
                service: self.route.service.clone(),
                function: invocation.function.to_string(),
            });
        }
        if is_bare && self.limits.runtime_wait.is_zero() {
            return Err(self.no_runtime());
        }
        let most = self.route.queue_limit.unwrap_or(self.limits.queue) as usize;
        let bytes = self.waiting_bytes + invocation.payload.len();
        if self.queue.len() >= most || bytes > self.limits.waiting_bytes {
            return Err(CallError::Overloaded {
                service: self.route.service.clone(),
                retry_after: self.retry_after(),
            });
        }
        Ok(())
    }

    fn no_runtime(&self) -> CallError {
        CallError::NoRuntime {
            service: self.route.service.clone(),
        }
    }

    /// How long the queue takes at the present pace.
    fn retry_after(&self) -> Duration {
        let slots: u32 = self.endpoints.iter().map(|each| each.slots).sum();
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let estimate = self.run_time.saturating_mul(waiting) / slots.max(1);
        estimate.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end())
    }

    fn pick(&self, function: &str) -> Option<usize> {
        let active = &self.route.active;
        least_loaded(&self.endpoints, self.rotation, |each| {
            each.is_eligible(active) && each.function(function).is_some()
        })
    }

    /// Gives a waiting call, which is in no queue any more, to an endpoint with room.
    fn dispatch(&mut self, id: CallId, index: usize, now: Instant) {
        self.rotation = index + 1;
        let endpoint = &mut self.endpoints[index];
        let is_repeated = self.calls.get(id).is_some_and(|call| call.attempts > 0);
        // An answer to an earlier attempt must not be taken for one to this.
        let renewed = if is_repeated {
            self.calls.renew(id)
        } else {
            Some(id)
        };
        let Some((id, call)) = renewed.and_then(|id| Some((id, self.calls.get_mut(id)?))) else {
            return;
        };
        call.attempts += 1;
        call.place = Place::At(Run {
            endpoint: endpoint.id,
            since: now,
            has_started: false,
            is_wanted: true,
        });
        endpoint.in_flight += 1;
        call.reply.sent_as(id, endpoint.outbox.clone(), now);
        let function = endpoint
            .function(&call.invocation.function)
            .unwrap_or_default();
        endpoint
            .outbox
            .call(id, function, call.attempts, call.invocation.clone());
    }

    /// Gives free slots to calls that wait; those whose time is up are ended instead.
    fn pump(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.queue.len() && self.has_free_slot() {
            let id = self.queue[at];
            let Some(call) = self.calls.get(id) else {
                self.queue.remove(at);
                continue;
            };
            if call.invocation.deadline <= now {
                self.end_waiting(id, CallError::Timeout);
            } else if let Some(index) = self.pick(&call.invocation.function) {
                self.waiting_bytes -= call.invocation.payload.len();
                self.queue.remove(at);
                self.dispatch(id, index, now);
            } else {
                at += 1;
            }
        }
    }

    fn has_free_slot(&self) -> bool {
        let active = &self.route.active;
        self.endpoints
            .iter()
            .any(|each| each.has_room() && each.is_eligible(active))
    }

    /// Removes a call that waits and ends it.
    fn end_waiting(&mut self, id: CallId, error: CallError) {
        let Some(call) = self.calls.remove(id) else {
            return;
        };
        // Those whose time is up are nearly always at the front.
        if let Some(at) = self.queue.iter().position(|each| *each == id) {
            self.queue.remove(at);
            self.waiting_bytes -= call.invocation.payload.len();
        }
        call.reply.finish(Err(error));
    }

    /// Lets a call wait again, in front of all others: it has waited before.
    fn requeue(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.place = Place::Waiting;
        call.reply.waits_as(id);
        self.waiting_bytes += call.invocation.payload.len();
        self.queue.push_front(id);
    }

    /// The caller does not wait any more.
    pub fn abandon(&mut self, reply: &Reply, reason: CancelReason, now: Instant) {
        let id = reply.id();
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let error = match reason {
            CancelReason::Timeout => CallError::Timeout,
            CancelReason::Cancelled | CancelReason::Refused => CallError::Cancelled,
        };
        match call.place {
            Place::Waiting => self.end_waiting(id, error),
            Place::At(run) => {
                reply.finish(Err(error));
                self.recall(id, run, reason);
                self.pump(now);
            }
        }
    }

    /// Tells an endpoint that the end of a call is not wanted. It keeps its slot until the
    /// endpoint ends it, unless it had not left yet.
    fn recall(&mut self, id: CallId, run: Run, reason: CancelReason) {
        let Some(endpoint) = self
            .endpoints
            .iter_mut()
            .find(|each| each.id == run.endpoint)
        else {
            return;
        };
        if endpoint.outbox.cancel(id, reason) {
            endpoint.in_flight -= 1;
            self.calls.remove(id);
            return;
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.place = Place::At(Run {
                is_wanted: false,
                ..run
            });
        }
    }

    /// When to look again whether a call that waits can hope for a runtime; `None` when it does
    /// not wait (any more). Ends the call when there was no runtime for too long.
    pub fn check(&mut self, reply: &Reply, now: Instant) -> Option<Instant> {
        let id = reply.id();
        let call = self
            .calls
            .get(id)
            .filter(|call| call.place == Place::Waiting)?;
        let Some(bare_since) = self.bare_since else {
            // There is a runtime; it may go at any time, and nobody tells the call.
            return Some(now + self.limits.runtime_wait.max(*RETRY_AFTER.start()));
        };
        let until = bare_since.max(call.since) + self.limits.runtime_wait;
        if now < until {
            return Some(until);
        }
        let error = if call.attempts == 0 {
            self.no_runtime()
        } else {
            CallError::RuntimeDied { has_started: false }
        };
        self.end_waiting(id, error);
        None
    }

    /// Some calls began to run.
    pub fn started(&mut self, from: EndpointId, id: CallId) {
        let call = self.calls.get_mut(id);
        match call.and_then(|call| Some((call.run_at(from)?, call))) {
            Some((run, call)) => {
                call.place = Place::At(Run {
                    has_started: true,
                    ..run
                });
            }
            None => self.tally.ignored_results.add_one(),
        }
    }

    /// A piece of an answer.
    pub fn chunk(&mut self, from: EndpointId, id: CallId, data: bytes::Bytes, is_end: bool) {
        let call = self.calls.get(id);
        let Some((call, run)) = call.and_then(|call| Some((call, call.run_at(from)?))) else {
            self.tally.ignored_results.add_one();
            return;
        };
        // What comes after a cancel is on its way already, and dropped.
        if let Err(error) = call.reply.chunk(data, is_end) {
            call.reply.finish(Err(error));
            self.recall(id, run, CancelReason::Refused);
        }
    }

    /// The end of a call. False when the endpoint does not have that call.
    pub fn result(&mut self, from: EndpointId, id: CallId, outcome: Outcome, now: Instant) -> bool {
        let call = self.calls.get(id);
        let Some((call, run)) = call.and_then(|call| Some((call, call.run_at(from)?))) else {
            self.tally.ignored_results.add_one();
            return false;
        };
        let may_repeat = run.is_wanted && call.attempts < MAX_ATTEMPTS && !call.reply.has_output();
        let is_large = call.invocation.payload.len() > INLINE_BYTES;
        let index = self.endpoints.iter().position(|each| each.id == from);
        if let Some(endpoint) = index.map(|index| &mut self.endpoints[index]) {
            endpoint.in_flight -= 1;
            // Nothing of the call may follow its end.
            if is_large || !run.is_wanted || call.reply.has_output() {
                endpoint.outbox.forget(id);
            }
        }
        let run_time = match outcome.run_time {
            Duration::ZERO => now.saturating_duration_since(run.since),
            told => told,
        };
        self.run_time = (self.run_time * 7 + run_time) / 8;
        match outcome.result {
            Err(Failure::NotRun(_)) if may_repeat && self.retries.withdraw(now) => {
                self.tally.retries.add_one();
                self.requeue(id);
            }
            Ok(answer) => self.end(id, Ok(answer)),
            Err(Failure::NotRun(error) | Failure::Ran(error)) => self.end(id, Err(error)),
        }
        self.settle(from, now);
        self.pump(now);
        true
    }

    fn end(&mut self, id: CallId, result: Result<super::invocation::Answer, CallError>) {
        if let Some(call) = self.calls.remove(id) {
            call.reply.finish(result);
        }
    }
}
