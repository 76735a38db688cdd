//! Memory of control plane, core and function service as processes of their own, with the
//! examples on the node, and of core with a cluster as its node.

mod cluster;
mod place;
mod reading;

use std::process::ExitCode;

use anyhow::Result;
use baetyl_benches::{Report, check_program};
use clap::{Parser, ValueEnum};

use self::place::Place;

/// Measures the memory of the services: with the examples applied, and of core with a cluster.
#[derive(Debug, Parser)]
struct Arguments {
    /// A short run that only shows that everything works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// Measures one part only; nothing is written.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Calls of the function before memory is read again.
    #[arg(long, default_value_t = 1000)]
    calls: u32,
    /// Applications on the cluster.
    #[arg(long, default_value_t = 100)]
    applications: u32,
    /// Pods of others in the cluster: a cluster of its own for each number.
    #[arg(long, value_delimiter = ',', default_value = "0,1000,10000")]
    foreign_pods: Vec<u32>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The services with both examples.
    Examples,
    /// Core with a cluster.
    Cluster,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    check_program()?;
    let mut report = Report::begin("bench-footprint", "Memory of the services");
    report.text(ABOUT.trim());
    if arguments.only != Some(Part::Cluster) {
        examples(&arguments, &mut report).await?;
    }
    if arguments.only != Some(Part::Examples) {
        report.table(&cluster::measure(&arguments).await?);
    }
    report.keep(!arguments.quick && arguments.only.is_none())?;
    Ok(ExitCode::SUCCESS)
}

async fn examples(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let calls = if arguments.quick { 20 } else { arguments.calls };
    let mut place = Place::start().await?;
    report.table(&place.table("**Both examples applied, idle**").await?);
    place.call(calls).await?;
    let caption = format!("**After {calls} calls of `sensors/window`**");
    report.table(&place.table(&caption).await?);
    place.stop().await
}

const ABOUT: &str = "
`baetyl cloud`, `baetyl core` and `baetyl function` are processes of their own, with their default
settings; `examples/watcher` and `examples/sensors` run on the node. RSS counts every page that is
there, PSS divides pages that processes share among them (the program itself, which all of them
run), and `own` is the part of PSS that no file backs: heap and stacks. Targets are for RSS, which
is the largest. The other processes are for completeness: interpreters are not ours.

In the last table the node is a cluster: an API server in the process of the benchmark, to which
core is a client like any other. All applications are applied at once by one command; memory is
read when every one of them is healthy. `peak` is the largest RSS that core ever had.
";
