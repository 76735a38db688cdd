//! Real workers under a scripted function service.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod attached;
mod fault;
mod flow;
mod life;
mod node;
mod python;
mod support;
