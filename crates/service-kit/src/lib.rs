//! What every service needs around its own work, and nothing about that work.
//!
//! The list of modules is closed: a thing that speaks of what a service does belongs to the
//! service. Level 0: no other package of this workspace is imported.

pub mod backoff;
pub mod config;
pub mod fault;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
