//! The gateway in front of services that run the real gRPC stack in this process.

mod errors;
mod fake;
mod functions;
mod harness;
mod headers;
mod listener;
mod resources;
mod streams;
