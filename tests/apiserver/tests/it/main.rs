//! The server, seen by the client that the engine uses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod apply;
mod custom;
mod discovery;
mod faults;
mod objects;
mod pods;
mod rights;
mod support;
mod watches;
