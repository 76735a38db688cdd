//! The function service: the proxy between callers of functions and the runtimes of a node.
//!
//! Runtimes attach by a stream ([`baetyl.function.v1.RuntimeService`]) or are registered by
//! address; callers invoke; core sets the route table. One [`Server`] is one proxy:
//!
//! ```no_run
//! # async fn start(
//! #     identity: baetyl_service_kit::tls::Identity,
//! #     roots: baetyl_service_kit::tls::Roots,
//! # ) -> Result<(), baetyl_function::StartError> {
//! use baetyl_function::{Config, Security, Server};
//! use baetyl_service_kit::shutdown::Shutdown;
//!
//! let server = Server::bind(Config::default(), Security::Tls { identity, roots }).await?;
//! println!("functions are invoked at {}", server.invoke_address());
//! server.run(Shutdown::new()).await
//! # }
//! ```
//!
//! Layers, downward: `server` (composition), `api` (gRPC, streams, dialing), `app` (routes, pools,
//! calls), `store` (the table on disk). In `app` the state machine per service,
//! [`app::pool::Pool`], is pure: time is an argument, and what it tells endpoints and callers goes
//! into queues that transports poll. A call costs no task: the caller's handler waits on its
//! reply, and runtimes have one reading task per stream.
//!
//! [`baetyl.function.v1.RuntimeService`]: baetyl_proto::function::v1

pub mod api;
pub mod app;
pub mod config;
pub mod reasons;
pub mod server;
pub mod store;

pub use config::{Config, StaticAddress};
pub use reasons::REASONS;
pub use server::{Security, Server, StartError};
