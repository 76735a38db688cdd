//! Endpoints: the runtimes that take the calls of a service, over whatever transport.

use std::sync::Arc;

use super::outbox::{GoAway, Outbox};
use super::release::Release;

/// Most slots of one endpoint.
pub const MAX_SLOTS: u32 = 1024;

/// Names an endpoint for as long as the proxy lives. It is the epoch of its registration: a
/// later one has a higher number, and what an earlier one still says is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u64);

/// Who a runtime is, over reconnects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Stable over reconnects and restarts.
    pub id: String,
    /// Raised at each start.
    pub incarnation: u64,
    /// Number of the stream when a runtime opens several.
    pub shard: u32,
}

impl Instance {
    /// Whether a newcomer takes the place of this one: it is a later start of the same
    /// instance, or the same stream of it anew.
    #[must_use]
    pub fn yields_to(&self, newcomer: &Self) -> bool {
        let is_same_stream =
            self.incarnation == newcomer.incarnation && self.shard == newcomer.shard;
        self.id == newcomer.id && (self.incarnation < newcomer.incarnation || is_same_stream)
    }

    /// Whether a newcomer comes too late: a later start of the same instance is there.
    #[must_use]
    pub fn fences(&self, newcomer: &Self) -> bool {
        self.id == newcomer.id && self.incarnation > newcomer.incarnation
    }
}

/// Which calls an endpoint may get, by what of the application it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// Registered by address: it has no release.
    Always,
    /// A runtime of this release.
    Release(Release),
}

/// A function that an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedFunction {
    /// Name of the function.
    pub name: String,
    /// Whether every call is safe to repeat.
    pub is_idempotent: bool,
}

/// Whether an endpoint may get calls. One that is gone is not in the pool any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may.
    Ready,
    /// It was silent for too long, or could not be reached; it may come back.
    Suspect,
    /// It asked for no more calls, and ends those that it has.
    Draining,
}

/// A runtime as the pool sees it.
#[derive(Debug)]
pub struct Endpoint {
    /// Its number, and epoch.
    pub id: EndpointId,
    /// Who it is.
    pub instance: Instance,
    /// Which calls it may get.
    pub serves: Serves,
    /// The functions it serves; none for any.
    pub functions: Vec<ServedFunction>,
    /// Calls it takes at the same time.
    pub slots: u32,
    /// Calls it has.
    pub in_flight: u32,
    /// Whether it may get calls.
    pub state: State,
    /// What it is told when its last call ended, after the proxy has sent it away.
    pub farewell: Option<GoAway>,
    /// Where its commands go.
    pub outbox: Arc<Outbox>,
}

impl Endpoint {
    /// Whether it may get calls when it has a free slot.
    #[must_use]
    pub fn is_eligible(&self, active: &Release) -> bool {
        let is_served = match &self.serves {
            Serves::Always => true,
            Serves::Release(release) => active.matches(release),
        };
        is_served && self.state == State::Ready && self.farewell.is_none()
    }

    /// Whether a slot is free.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.slots
    }

    /// The number of a function on this endpoint, if it is served. The empty name is the first
    /// one; an endpoint without names takes any.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        if name.is_empty() || self.functions.is_empty() {
            return Some(0);
        }
        let index = self.functions.iter().position(|each| each.name == name)?;
        u32::try_from(index).ok()
    }

    /// Whether a function is safe to repeat.
    #[must_use]
    pub fn is_idempotent(&self, name: &str) -> bool {
        let function = match name {
            "" => self.functions.first(),
            name => self.functions.iter().find(|each| each.name == name),
        };
        function.is_some_and(|each| each.is_idempotent)
    }
}
