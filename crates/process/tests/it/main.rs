//! Real processes on the real shim.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod adopt;
mod logs;
mod run;
mod support;
mod worker;
