//! The line to the edge: one stream per node, and the bodies beside it.
//!
//! | module | what |
//! |---|---|
//! | `registry` | which nodes have a stream now, and how to reach them |
//! | `session` | one stream from Hello to Goodbye |
//! | `report` | sections of reported state: what is stored, and its digests |
//! | `channel` | channels inside of a stream, with credit |
//! | `bodies` | `FetchBodies` |
//! | `service` | the gRPC face |
//!
//! Desired state goes down as a level: a session is woken, reads the newest document and sends
//! it; what was overtaken is never sent. Reports come up as entries and are acknowledged when
//! they are stored.

use std::sync::Arc;
use std::time::Duration;

use baetyl_service_kit::shutdown::Shutdown;

use crate::activation::Activation;
use crate::matching::Matching;
use crate::store::Store;

mod admission;
mod bodies;
mod channel;
mod end;
mod inbound;
mod outgoing;
pub mod registry;
pub(crate) mod report;
mod service;
mod session;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use admission::Admission;
#[cfg(test)]
pub(crate) use channel::MAX_CHANNELS;
pub use channel::{ChannelEnd, ChannelError, LogChannel};
pub use registry::Registry;
pub use service::SyncApi;
pub(crate) use state::{StateRecord, state_key};

/// Version of the protocol that this program speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest frame that is taken from an edge.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// A page of a desired document, as the contract bounds it.
const PAGE_BYTES: usize = 256 * 1024;

/// Bounds of the sync listener.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncOptions {
    /// How often an edge says that it is alive. Default 10 s.
    pub heartbeat_interval: Duration,
    /// How long a stream may be silent. Default 30 s.
    pub silence_timeout: Duration,
    /// New streams per second, on average. Default 200.
    pub hello_rate: u32,
    /// New streams at once. Default 400.
    pub hello_burst: u32,
    /// How often last-seen times of quiet streams are written. Default 5 min.
    pub flush_interval: Duration,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
            hello_rate: 200,
            hello_burst: 400,
            flush_interval: Duration::from_secs(300),
        }
    }
}

/// What every session works with.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Who is a node.
    pub activation: Activation,
    /// The desired documents.
    pub matching: Arc<Matching>,
    /// The streams.
    pub registry: Registry,
    /// Bounds.
    pub options: SyncOptions,
    /// Owner of the sessions.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
