//! What the service does, apart from how it is spoken to: routes, calls, endpoints.
//!
//! No wire type is named here. [`Proxy`](proxy::Proxy) is what callers and runtimes meet at;
//! [`Pool`](pool::Pool) is the state machine per service, without clock and IO;
//! [`Outbox`](outbox::Outbox) and [`Link`](service::Link) are what a transport has of its
//! endpoint, be it an attached stream or a dialed address.

pub mod balance;
pub mod calls;
pub mod endpoint;
pub mod error;
pub mod invocation;
mod metrics;
pub mod outbox;
pub mod pending;
pub mod pool;
pub mod proxy;
pub mod registry;
pub mod release;
pub mod reply;
pub mod retry;
pub mod route;
pub mod service;
pub mod tally;
