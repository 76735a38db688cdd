//! The services as processes of their own: configuration, telemetry, signals, drain.

use std::future::Future;
use std::process::ExitCode;

use crate::args::ServiceCommand;
use crate::failure::Failure;

#[cfg(feature = "cloud")]
mod cloud;
pub(crate) mod core;
pub(crate) mod function;
pub(crate) mod gateway;
pub(crate) mod host;
mod join;
pub(crate) mod local;
mod runtime;

/// Threads of a service on a node: small machines have one or two processors.
const EDGE_THREADS: usize = 2;

/// Runs one service to its end.
pub(crate) fn run(command: ServiceCommand) -> Result<ExitCode, Failure> {
    match command {
        #[cfg(feature = "cloud")]
        ServiceCommand::Up(args) => block_on(EDGE_THREADS, crate::up::run(args)),
        #[cfg(feature = "cloud")]
        ServiceCommand::Cloud(args) => block_on(available(), cloud::run(args)),
        ServiceCommand::Join(args) => block_on(EDGE_THREADS, join::run(args)),
        ServiceCommand::Core(args) => block_on(EDGE_THREADS, core::run(args)),
        ServiceCommand::Function(args) => block_on(EDGE_THREADS, function::run(args)),
        ServiceCommand::Gateway(args) => block_on(EDGE_THREADS, gateway::run(args)),
        ServiceCommand::Runtime(args) => block_on(EDGE_THREADS, runtime::run(args)),
    }
}

fn block_on(
    threads: usize,
    future: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(Failure::local)?
        .block_on(future)
}

#[cfg(feature = "cloud")]
fn available() -> usize {
    std::thread::available_parallelism().map_or(EDGE_THREADS, usize::from)
}
