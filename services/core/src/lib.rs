//! The edge node's own service: it owns the node's reported state.
//!
//! Core holds one line to the cloud ([`Server::run`] dials it), persists what is desired before it
//! says so, hands it to the engine, reports what became of it, and shows all of that on the local
//! API. Nothing here needs the cloud: what was accepted once runs after every start.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | settings |
//! | [`store`] | the edge store: one file, whole commits |
//! | [`identity`] | the node's identity and its renewal |
//! | [`authority`] | the node's own certificate authority |
//! | [`local`] | what other processes of the node need |
//! | [`server`] | the composition root |

mod api;
pub mod authority;
pub mod config;
pub mod crash;
mod desired;
mod engine_host;
mod error;
mod field;
mod follow;
pub mod identity;
pub mod local;
mod logs;
mod machine;
mod machines;
mod metrics;
mod properties;
mod reported;
mod routes;
pub mod server;
mod status;
pub mod store;
mod sync;
mod value;

pub use config::{Config, StopMode};
pub use error::CoreError;
pub use server::{Dependencies, Ended, Server};
pub use sync::Dial;
