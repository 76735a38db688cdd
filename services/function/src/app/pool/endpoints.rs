//! Endpoints that come, fall silent, and go.

use std::sync::Arc;

use tokio::time::Instant;

use crate::app::calls::CallId;
use crate::app::endpoint::{Endpoint, EndpointId, Instance, MAX_SLOTS, Serves, State};
use crate::app::error::CallError;
use crate::app::outbox::{GoAway, Welcome};
use crate::app::route::Route;

use super::{MAX_ATTEMPTS, Place, Pool, Run};

/// Why a runtime may not attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its release is neither active nor standby, or there is no route at all.
    NotRouted,
    /// A later start of the same instance is there.
    Fenced,
    /// There are too many runtimes of this service.
    TooMany,
    /// The proxy is about to end.
    ShuttingDown,
}

/// What serves a service now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionStatus {
    /// Name of the function; empty when the runtimes take any.
    pub name: String,
    /// Endpoints that can take calls now.
    pub ready_endpoints: u32,
    /// Calls that can run at the same time.
    pub slots: u32,
    /// Calls that run now.
    pub active_calls: u32,
}

fn superseded() -> GoAway {
    GoAway {
        reason: "SUPERSEDED",
        message: "a later start of this runtime is attached".to_owned(),
        reconnect_after: None,
    }
}

impl Pool {
    /// Adds an endpoint, welcomes it, and gives it calls. What the newcomer supersedes is sent
    /// away at once.
    ///
    /// # Errors
    /// Why it may not attach.
    pub fn attach(
        &mut self,
        endpoint: Endpoint,
        welcome: Option<Welcome>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.closing.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        if let Serves::Release(release) = &endpoint.serves
            && !self.route.admits(release)
        {
            return Err(Refusal::NotRouted);
        }
        if self
            .endpoints
            .iter()
            .any(|each| each.instance.fences(&endpoint.instance))
        {
            return Err(Refusal::Fenced);
        }
        self.supersede(&endpoint.instance, now);
        if self.endpoints.len() >= self.limits.endpoints {
            return Err(Refusal::TooMany);
        }
        if let Some(welcome) = welcome {
            endpoint.outbox.welcome(welcome);
        }
        self.endpoints.push(endpoint);
        self.refresh(now);
        Ok(())
    }

    fn supersede(&mut self, newcomer: &Instance, now: Instant) {
        let yielding = self
            .endpoints
            .iter()
            .filter(|each| each.instance.yields_to(newcomer));
        let yielding: Vec<_> = yielding
            .map(|each| (each.id, each.serves.clone()))
            .collect();
        for (id, serves) in yielding {
            self.tally.superseded.add_one();
            match serves {
                // The calls are on connections of their own, whose end is seen there.
                Serves::Always => self.dismiss(id, superseded(), now),
                Serves::Release(_) => self.detach(id, Some(superseded()), now),
            }
        }
    }

    /// Removes an endpoint at once. Its calls are repeated elsewhere where that is safe, and
    /// otherwise ended. No effect when it is gone already.
    pub fn detach(&mut self, id: EndpointId, farewell: Option<GoAway>, now: Instant) {
        let Some(index) = self.endpoints.iter().position(|each| each.id == id) else {
            return;
        };
        let endpoint = self.endpoints.remove(index);
        let unsent = endpoint.outbox.close(farewell);
        let mut lost: Vec<(CallId, Run, Instant)> = self
            .calls
            .iter()
            .filter_map(|(call_id, call)| Some((call_id, call.run_at(id)?, call.since)))
            .collect();
        lost.sort_by_key(|(_, _, since)| *since);
        let mut again = Vec::new();
        for (call_id, run, _) in lost {
            if self.may_repeat(call_id, run, &endpoint, &unsent, now) {
                again.push(call_id);
            } else {
                let has_started = run.has_started;
                self.end(call_id, Err(CallError::RuntimeDied { has_started }));
            }
        }
        // The first one is put in front last.
        for call_id in again.into_iter().rev() {
            self.requeue(call_id);
        }
        self.refresh(now);
    }

    /// A call that had not left cannot have run. For any other nobody can know: a runtime's word
    /// that it began may have been lost with the stream. So those are repeated only when
    /// repeating is safe, and on the budget.
    fn may_repeat(
        &mut self,
        id: CallId,
        run: Run,
        endpoint: &Endpoint,
        unsent: &[CallId],
        now: Instant,
    ) -> bool {
        let Some(call) = self
            .calls
            .get(id)
            .filter(|_| run.is_wanted && self.closing.is_none())
        else {
            return false;
        };
        if unsent.contains(&id) {
            return true;
        }
        let invocation = &call.invocation;
        let is_safe =
            !invocation.idempotency_key.is_empty() || endpoint.is_idempotent(&invocation.function);
        let is_allowed = is_safe
            && call.attempts < MAX_ATTEMPTS
            && !call.reply.has_output()
            && self.retries.withdraw(now);
        if is_allowed {
            self.tally.retries.add_one();
        }
        is_allowed
    }

    /// Sends an endpoint away as soon as its calls have ended; it gets no new ones.
    pub fn dismiss(&mut self, id: EndpointId, farewell: GoAway, now: Instant) {
        if let Some(endpoint) = self.endpoints.iter_mut().find(|each| each.id == id) {
            endpoint.farewell = Some(farewell);
        }
        self.settle(id, now);
        self.refresh(now);
    }

    /// Sends an endpoint away if it is to go and its last call has ended.
    pub(super) fn settle(&mut self, id: EndpointId, now: Instant) {
        let leaving = self
            .endpoints
            .iter()
            .find(|each| each.id == id && each.in_flight == 0);
        if let Some(farewell) = leaving.and_then(|each| each.farewell.clone()) {
            self.detach(id, Some(farewell), now);
        }
        self.settle_all(now);
    }

    /// At the end of the proxy, sends everybody away once no call is left.
    fn settle_all(&mut self, now: Instant) {
        let Some(farewell) = self.closing.clone().filter(|_| self.calls.is_empty()) else {
            return;
        };
        while let Some(endpoint) = self.endpoints.last() {
            self.detach(endpoint.id, Some(farewell.clone()), now);
        }
    }

    /// Sets the state of an endpoint. What drains stays so until it is gone.
    pub fn set_state(&mut self, id: EndpointId, state: State, now: Instant) {
        let endpoint = self.endpoints.iter_mut().find(|each| each.id == id);
        let Some(endpoint) = endpoint.filter(|each| each.state != State::Draining) else {
            return;
        };
        if endpoint.state != state {
            endpoint.state = state;
            self.refresh(now);
        }
    }

    /// Adds slots, or takes some away; calls that run are not touched.
    pub fn add_slots(&mut self, id: EndpointId, delta: i32, now: Instant) {
        if let Some(endpoint) = self.endpoints.iter_mut().find(|each| each.id == id) {
            endpoint.slots = endpoint.slots.saturating_add_signed(delta).min(MAX_SLOTS);
            self.pump(now);
        }
    }

    /// Follows a new route: promotes a standby, sends away what is routed no more.
    pub fn set_route(&mut self, route: Arc<Route>, now: Instant) {
        self.route = route;
        let unrouted = GoAway {
            reason: "NOT_ROUTED",
            message: "this release has no route any more".to_owned(),
            reconnect_after: None,
        };
        let ids: Vec<EndpointId> = self.endpoints.iter().map(|each| each.id).collect();
        for endpoint in &mut self.endpoints {
            let is_routed = match &endpoint.serves {
                Serves::Always => continue,
                Serves::Release(release) => self.route.admits(release),
            };
            // A release that is taken back before it was gone goes on.
            endpoint.farewell = (!is_routed).then(|| unrouted.clone());
        }
        for id in ids {
            self.settle(id, now);
        }
        self.refresh(now);
    }

    /// The route is gone: calls that wait end, endpoints go when their calls have ended.
    pub fn unroute(&mut self, farewell: &GoAway, now: Instant) {
        for id in std::mem::take(&mut self.queue) {
            self.end(id, Err(self.no_runtime()));
        }
        self.waiting_bytes = 0;
        self.close(farewell, now);
    }

    /// Takes no more calls; endpoints go when the last call has ended, those that wait included.
    pub fn close(&mut self, farewell: &GoAway, now: Instant) {
        self.closing.get_or_insert_with(|| farewell.clone());
        self.settle_all(now);
    }

    /// Whether the pool was closed and all is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closing.is_some() && self.calls.is_empty()
    }

    /// Endpoints that can take calls now, and calls that endpoints have.
    #[must_use]
    pub fn load(&self) -> (usize, u32) {
        let active = &self.route.active;
        let ready = self
            .endpoints
            .iter()
            .filter(|each| each.is_eligible(active));
        let running = self.endpoints.iter().map(|each| each.in_flight).sum();
        (ready.count(), running)
    }

    /// Calls that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What serves each function now: those of the route, or those that the runtimes name.
    #[must_use]
    pub fn functions(&self) -> Vec<FunctionStatus> {
        let named = self.endpoints.iter().flat_map(|each| &each.functions);
        let mut names: Vec<&str> = match self.route.functions.as_slice() {
            [] => named.map(|each| each.name.as_str()).collect(),
            routed => routed.iter().map(String::as_str).collect(),
        };
        if names.is_empty() {
            names.push("");
        }
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .map(|name| self.function_status(name))
            .collect()
    }

    fn function_status(&self, name: &str) -> FunctionStatus {
        let active = &self.route.active;
        let serving = self
            .endpoints
            .iter()
            .filter(|each| each.is_eligible(active) && each.function(name).is_some());
        let (count, slots) = serving.fold((0, 0), |(count, slots), each| {
            (count + 1, slots + each.slots)
        });
        let is_running = |call: &super::Call| {
            call.place != Place::Waiting && (name.is_empty() || *call.invocation.function == *name)
        };
        let running = self
            .calls
            .iter()
            .filter(|(_, call)| is_running(call))
            .count();
        FunctionStatus {
            name: name.to_owned(),
            ready_endpoints: count,
            slots,
            active_calls: u32::try_from(running).unwrap_or(u32::MAX),
        }
    }

    /// After a change of endpoints: notes whether any can take calls, and lets them.
    fn refresh(&mut self, now: Instant) {
        let active = &self.route.active;
        if self.endpoints.iter().any(|each| each.is_eligible(active)) {
            self.bare_since = None;
        } else {
            self.bare_since.get_or_insert(now);
        }
        self.pump(now);
    }
}
