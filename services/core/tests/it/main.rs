//! Core as a whole, against a cloud that follows a script.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod channels;
mod chart;
mod cloud;
mod desired;
mod edge;
mod life;
mod local;
mod reports;
mod routes;
