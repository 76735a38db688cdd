//! The service over real sockets: a node, scripted runtimes, and callers.

#![expect(clippy::panic, reason = "the whole program is a test")]

mod access;
mod address;
mod calls;
mod failures;
mod lifecycle;
mod node;
mod routes;
mod runtime;
mod streams;
