//! Serving gRPC and HTTP over TCP and Unix sockets, with or without TLS, and calling them.
//!
//! One loop serves everything: an [`axum::Router`] over a [`Listener`]. gRPC services become a
//! router by [`Grpc`]. Handlers find [`Peer`] and [`Deadline`] in the extensions of a request.
//!
//! A service binds first, builds its parts, then serves, so that port 0 works and a taken port is
//! found before anything else happens.

mod address;
mod connect;
mod connection;
mod deadline;
mod grpc;
mod listener;
mod reflection;
mod server;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use connect::{
    ConnectError, ConnectOptions, Dialer, Target, TlsProvider, connect, connect_lazy,
};
pub use connection::{BoxIo, Io, Peer, PeerAddress};
pub use deadline::{Deadline, DeadlineLayer};
pub use grpc::Grpc;
pub use listener::{Accept, Listener};
pub use server::{Protocol, ServeOptions, serve};

/// The largest gRPC message that a service should accept or send unless it has a reason:
/// `max_decoding_message_size` of generated servers and clients. gRPC's own default of 4 MiB is too
/// small for a body of 4 MiB with its frame.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The largest list of headers in either direction: error details travel in headers.
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;
