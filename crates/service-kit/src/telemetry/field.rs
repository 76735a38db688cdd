//! The names of fields that logs and spans share. Names of a service's own things live with it.
//!
//! Used as `tracing::info!({ field::ATTEMPT } = 3, "retrying")`.

/// gRPC service, with its package.
pub const RPC_SERVICE: &str = "rpc.service";
/// gRPC method.
pub const RPC_METHOD: &str = "rpc.method";
/// Name of a gRPC code.
pub const RPC_CODE: &str = "rpc.code";
/// Where a connection came from.
pub const PEER_ADDRESS: &str = "peer.address";
/// Number of an attempt, from one.
pub const ATTEMPT: &str = "attempt";
/// How long something took, in milliseconds.
pub const ELAPSED_MS: &str = "elapsed_ms";
/// An error with its sources.
pub const ERROR: &str = "error";
