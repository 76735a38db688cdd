//! Real workers under a scripted function service.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod fault;
mod flow;
mod life;
mod node;
mod python;
mod support;
