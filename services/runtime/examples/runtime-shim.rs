//! Stands in for the multi-call program in this package's tests: its `shim` mode.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|first| first.to_str()) {
        Some("shim") => baetyl_process::shim::main(&args[1..]),
        _ => ExitCode::from(2),
    }
}
