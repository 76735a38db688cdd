//! The multi-call program `baetyl`: the command line, each service as a subcommand, and `up`.

#![allow(
    rustdoc::bare_urls,
    reason = "comments of arguments are help texts, read in a terminal"
)]

mod args;
mod client;
mod commands;
mod context;
mod documents;
mod failure;
mod output;
mod service;
#[cfg(feature = "cloud")]
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // The shim is single-threaded and stays as small as it can: nothing else may start before it.
    if words.next().is_some_and(|word| word == "shim") {
        return baetyl_process::shim::main(&words.collect::<Vec<_>>());
    }
    let arguments = args::Arguments::parse();
    let outcome = match arguments.command {
        args::Command::Service(service) => service::run(service),
        args::Command::Client(command) => commands::run(&arguments.connection, command),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}
