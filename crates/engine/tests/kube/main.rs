//! The engine for a cluster against an API server in process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster;
mod engine;
mod logs;
mod observe;
