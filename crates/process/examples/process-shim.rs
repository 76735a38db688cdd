//! Stands in for the multi-call program in this package's tests: its `shim` mode, and a
//! few programs that misbehave in ways that a shell script cannot.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match words.as_slice() {
        ["shim", ..] => baetyl_process::shim::main(&args[1..]),
        ["lines", count, width] => match (count.parse(), width.parse()) {
            (Ok(count), Ok(width)) => lines(count, width),
            _ => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}

/// Writes numbered lines, padded to a width, as fast as they are taken.
fn lines(count: u64, width: usize) -> ExitCode {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for index in 0..count {
        if writeln!(output, "{index:0width$}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    match output.flush() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
