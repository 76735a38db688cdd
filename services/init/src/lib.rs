//! Activates a node once and brings up core.
//!
//! [`activate`] exchanges a join token for a certificate: key and request are on disk before the
//! cloud is asked, the server is pinned by the fingerprint in the token, and everything the node
//! needs from then on is written to its identity folder. Running it again with the same token
//! repeats the request with the same key, which the cloud answers as before. [`start_core`] then
//! starts core as a process of its own and waits until it listens.

mod activate;
mod bring_up;
mod error;
#[cfg(test)]
mod tests;

pub use activate::{Activation, activate, is_activated};
pub use bring_up::{CoreProcess, start_core};
pub use error::InitError;
