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

/// How many threads a service has.
struct Threads {
    /// When it is one, that is the main thread itself.
    workers: usize,
    /// The most for work that blocks.
    blocking: usize,
}

/// As many for work that blocks as the runtime allows by itself.
const BLOCKING: usize = 512;

/// A service on a node: small machines have one or two processors.
const EDGE: Threads = Threads {
    workers: 2,
    blocking: BLOCKING,
};

/// Core waits most of the time, and what blocks in it is short: the store writes one thing at a
/// time, whoever waits. But each thread has a heap of its own, in which holes stay after a burst, and
/// a hundred applications that change at once would start a hundred threads.
const CORE: Threads = Threads {
    workers: 1,
    blocking: 8,
};

/// Runs one service to its end.
pub(crate) fn run(command: ServiceCommand) -> Result<ExitCode, Failure> {
    match command {
        #[cfg(feature = "cloud")]
        ServiceCommand::Up(args) => block_on(&EDGE, crate::up::run(args)),
        #[cfg(feature = "cloud")]
        ServiceCommand::Cloud(args) => block_on(&available(), cloud::run(args)),
        ServiceCommand::Join(args) => block_on(&EDGE, join::run(args)),
        ServiceCommand::Core(args) => block_on(&CORE, core::run(args)),
        ServiceCommand::Function(args) => block_on(&EDGE, function::run(args)),
        ServiceCommand::Gateway(args) => block_on(&EDGE, gateway::run(args)),
        ServiceCommand::Runtime(args) => block_on(&EDGE, runtime::run(args)),
    }
}

fn block_on(
    threads: &Threads,
    future: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let mut builder = if threads.workers == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder
        .worker_threads(threads.workers)
        .max_blocking_threads(threads.blocking)
        .enable_all()
        .build()
        .map_err(Failure::local)?
        .block_on(future)
}

#[cfg(feature = "cloud")]
fn available() -> Threads {
    Threads {
        workers: std::thread::available_parallelism().map_or(EDGE.workers, usize::from),
        blocking: BLOCKING,
    }
}
