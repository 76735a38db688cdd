//! What the benchmarks share: figures of processes, percentiles, and tables that people read.
//!
//! Each benchmark is a program of its own in `src/bin`. It prints a table and writes the same to
//! `docs/benchmarks/`, with the machine and the command beside it. None decides whether a test
//! passes: times wander, so what counts are ratios inside of one run.

pub mod machine;
pub mod process;
pub mod report;
pub mod stats;
pub mod taken;
pub mod wire;

pub use machine::Machine;
pub use process::{Memory, cpu_time, memory, peak};
pub use report::{Report, Table, say};
pub use stats::Percentiles;
pub use taken::Taken;
pub use wire::Wire;

/// Checks that the program that is to be measured is there, before anything is begun.
///
/// # Errors
/// It is not: the message says how it is built.
pub fn check_program() -> anyhow::Result<()> {
    for program in [baetyl_tests::program()?, baetyl_tests::device_program()?] {
        let path = program.display();
        anyhow::ensure!(
            program.is_file(),
            "{path} is not there: run `./just build`, `./just release` or `./just device`"
        );
    }
    Ok(())
}
