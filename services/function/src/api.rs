//! How the service is spoken to: gRPC services, the stream of runtimes, and servers by address.

pub mod access;
pub mod address;
mod attach;
pub mod faas;
mod frames;
pub mod functions;
pub mod routes;
pub mod runtimes;
pub mod status;

pub use access::Access;
pub use address::Dialer;
pub use attach::Heartbeat;
pub use faas::FaasApi;
pub use functions::FunctionApi;
pub use routes::RouteApi;
pub use runtimes::RuntimeApi;
