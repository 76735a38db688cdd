//! Calls of a function directly and through the proxy, side by side in one run.
//!
//! Every server is a process of its own, so that its time on processors can be told apart: this
//! program starts itself with a role. Paths take turns in short slices (A B C A B C …), so that
//! what else the machine does meets all of them alike.

mod child;
mod figures;
mod keys;
mod load;
mod path;
mod runtime;
mod servers;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baetyl_benches::{Report, say};
use clap::{Args, Parser, Subcommand};

use crate::figures::Figures;
use crate::path::Path;
use crate::site::Site;

/// Measures calls through the function service against calls of a server directly.
#[derive(Debug, Parser)]
struct Arguments {
    /// A short run that only shows that everything works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// How often each path gets its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads of the proxy; `baetyl function` has two.
    #[arg(long, default_value_t = 2)]
    proxy_threads: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it was started by itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Role {
    /// A tonic server without a proxy.
    Direct(RoleArgs),
    /// The function service.
    Proxy(RoleArgs),
    /// A runtime that attaches to the proxy.
    Runtime(RoleArgs),
    /// A server of `faas.Function`.
    Address(RoleArgs),
}

/// What every role is told.
#[derive(Debug, Args)]
struct RoleArgs {
    /// Folder with keys and tokens.
    #[arg(long)]
    keys: PathBuf,
    /// The role's own folder, for its sockets and files.
    #[arg(long)]
    folder: PathBuf,
    /// Whether connections are under TLS.
    #[arg(long)]
    tls: bool,
    /// Whether a Unix socket is listened on instead of TCP, where there is a choice.
    #[arg(long)]
    unix: bool,
    /// Whom a runtime attaches to.
    #[arg(long, default_value = "")]
    to: String,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// How long slices are.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    /// Before anything is counted.
    warm: Duration,
    /// Under full load.
    loaded: Duration,
    /// With one caller.
    alone: Duration,
}

const FULL: Lengths = Lengths {
    warm: Duration::from_millis(50),
    loaded: Duration::from_millis(600),
    alone: Duration::from_millis(200),
};

const QUICK: Lengths = Lengths {
    warm: Duration::from_millis(20),
    loaded: Duration::from_millis(100),
    alone: Duration::from_millis(40),
};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let threads = match &arguments.role {
        Some(
            Role::Proxy(args) | Role::Direct(args) | Role::Runtime(args) | Role::Address(args),
        ) => args.threads,
        // The caller is to be no bottleneck.
        None => 2,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &arguments.role {
            None => measure(&arguments).await,
            Some(Role::Direct(args)) => servers::direct(args).await,
            Some(Role::Proxy(args)) => servers::proxy(args).await,
            Some(Role::Address(args)) => servers::address(args).await,
            Some(Role::Runtime(args)) => runtime::attached(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let mut report = Report::begin(
        "bench-function",
        "Function calls: direct and through the proxy",
    );
    report.text(ABOUT.trim());
    let folder = tempfile::Builder::new().prefix("bf").tempdir_in("/tmp")?;
    let keys = folder.path().join("keys");
    keys::make(&keys).context("cannot make keys")?;
    let mut sites = Vec::new();
    for tls in [true, false] {
        let site = Site::start(folder.path(), &keys, tls, arguments.proxy_threads).await;
        sites.push(site.context("the servers cannot be started")?);
    }
    let (lengths, rounds) = if arguments.quick {
        (QUICK, 1)
    } else {
        (FULL, arguments.rounds)
    };
    let mut figures = Figures::default();
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}"));
        for payload in path::PAYLOADS {
            for site in &sites {
                for path in Path::ALL {
                    let slice = site.slice(path, payload, lengths).await;
                    let slice = slice.with_context(|| format!("{path:?} with {payload} B"))?;
                    figures.add((site.tls, payload, path), slice);
                }
            }
        }
    }
    for table in figures.tables() {
        report.table(&table);
    }
    report.keep(!arguments.quick)
}

const ABOUT: &str = "
One run; the paths take turns in slices of 0.6 s, so that figures of one table may be compared and
figures of two runs may not. Every process is on this machine and shares its cores: caller, proxy,
and the server, which echoes. Closed loop, 8 connections with 16 calls each; `alone` is one
connection with one call at a time. CPU is the time that a process spent on processors, divided by
calls. `× direct` compares with the row of the same transport without the proxy: calls per second,
and CPU of all processes together.

- `attached`: the caller's unary call goes to the function service, which passes it on over the
  stream of an attached runtime, over the same kind of transport.
- `by address`: the function service makes a call of `faas.Function/Call` of it, which is without
  TLS on loopback, always.
- `stream`: a server stream of 8 values, each as long as the payload; a call is the whole stream.

Callers show the edge token; runtimes show a certificate, and without TLS the token. The direct
server is tonic with neither token nor tracing, over the same listener.
";
