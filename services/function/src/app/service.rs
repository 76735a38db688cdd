//! One service that calls go to: its pool behind a lock, and the handles of both sides.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::calls::CallId;
use super::endpoint::{Endpoint, EndpointId, State};
use super::invocation::{CancelReason, Outcome};
use super::outbox::{GoAway, Outbox, Welcome};
use super::pool::{Pool, Refusal};
use super::reply::Reply;

/// A service with its pool. The lock is held for a few microseconds at most, never across an
/// await point.
pub struct Service {
    name: Arc<str>,
    pool: Mutex<Pool>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Wraps a pool.
    #[must_use]
    pub fn new(name: Arc<str>, pool: Pool) -> Self {
        Self {
            name,
            pool: Mutex::new(pool),
        }
    }

    /// Name of the service.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The pool, for one short look or change.
    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock()
    }

    /// The caller does not wait any more.
    pub(super) fn abandon(&self, reply: &Reply, reason: CancelReason) {
        self.pool().abandon(reply, reason, Instant::now());
    }
}

/// An endpoint's side of a service: what the transport of an endpoint holds. Dropping it is the
/// end of the endpoint.
pub struct Link {
    service: Arc<Service>,
    id: EndpointId,
    outbox: Arc<Outbox>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("service", &self.service.name)
            .field("epoch", &self.id.0)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Adds an endpoint to a service.
    ///
    /// # Errors
    /// Why it may not attach.
    pub(super) fn attach(
        service: Arc<Service>,
        endpoint: Endpoint,
        welcome: Option<Welcome>,
    ) -> Result<Self, Refusal> {
        let id = endpoint.id;
        let outbox = endpoint.outbox.clone();
        service.pool().attach(endpoint, welcome, Instant::now())?;
        Ok(Self {
            service,
            id,
            outbox,
        })
    }

    /// The endpoint's number.
    #[must_use]
    pub fn epoch(&self) -> EndpointId {
        self.id
    }

    /// Name of the service.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        self.service.name()
    }

    /// What is to be sent to the endpoint.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Takes what the endpoint says, as much as came at once under one lock.
    #[must_use]
    pub fn listen(&self) -> Inbox<'_> {
        Inbox {
            pool: self.service.pool(),
            from: self.id,
            now: Instant::now(),
        }
    }

    /// The endpoint is silent or not to be reached; it gets no new calls until it is heard.
    pub fn suspect(&self) {
        self.service
            .pool()
            .set_state(self.id, State::Suspect, Instant::now());
    }

    /// The endpoint is alive.
    pub fn trust(&self) {
        self.service
            .pool()
            .set_state(self.id, State::Ready, Instant::now());
    }

    /// Sends the endpoint away when its calls have ended.
    pub fn dismiss(&self, farewell: GoAway) {
        self.service
            .pool()
            .dismiss(self.id, farewell, Instant::now());
    }

    /// Ends the endpoint now.
    pub fn end(&self, farewell: Option<GoAway>) {
        self.service
            .pool()
            .detach(self.id, farewell, Instant::now());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// What an endpoint says, as the pool takes it. Holds the pool's lock.
pub struct Inbox<'a> {
    pool: MutexGuard<'a, Pool>,
    from: EndpointId,
    now: Instant,
}

impl Inbox<'_> {
    /// The end of a call. False when the endpoint does not have the call.
    pub fn result(&mut self, id: CallId, outcome: Outcome) -> bool {
        self.pool.result(self.from, id, outcome, self.now)
    }

    /// A piece of an answer.
    pub fn chunk(&mut self, id: CallId, data: Bytes, is_end: bool) {
        self.pool.chunk(self.from, id, data, is_end);
    }

    /// A call began to run.
    pub fn started(&mut self, id: CallId) {
        self.pool.started(self.from, id);
    }

    /// More slots, or fewer.
    pub fn add_slots(&mut self, delta: i32) {
        self.pool.add_slots(self.from, delta, self.now);
    }

    /// The endpoint wants no new calls.
    pub fn drain(&mut self) {
        self.pool.set_state(self.from, State::Draining, self.now);
    }
}
