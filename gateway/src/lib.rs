//! The REST face of the gRPC services.
//!
//! Requests are transcoded by the `google.api.http` rules of the contract, read from its
//! descriptors: a new method needs no code here. Bodies and answers are in the dialect of
//! [`baetyl_proto::json`], errors are `application/problem+json`. The gateway has no rights of its
//! own: it passes the caller's credentials on and decides nothing.
//!
//! | header | meaning |
//! |---|---|
//! | `If-Match`, `ETag`, `If-None-Match` | the `etag` of the resource; a mismatch is 412 |
//! | `Idempotency-Key` | `request_id` of a create, `idempotency_key` of an invocation |
//! | `Prefer: dry-run` | `validate_only` |
//! | `Request-Timeout: 5s` | the deadline of the call |
//! | `X-Request-Id` | taken or made, passed on, returned |
//! | `invokeid`, `x-metadata-…` | identity and metadata of an invocation, both ways |
//!
//! A rule whose `body` or `response_body` is a field of bytes carries it as it is. Server streams
//! are one JSON message a line. [`openapi`] describes all of it.

mod backend;
mod call;
mod config;
mod cors;
mod handler;
mod observe;
pub mod openapi;
mod problem;
mod request;
mod respond;
mod routes;
mod rule;
mod server;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Backends, Face};
pub use config::Config;
pub use rule::RuleError;
pub use rule::template::TemplateError;
pub use server::{BindError, Server};
