//! Arguments of the commands that run a part of the system.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{default_data, duration, pair};

/// One service as a process of its own.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Configuration file, YAML. Every key can also be set in the environment, for example
    /// BAETYL_CLOUD_LISTEN.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Data folder; overrides the configuration.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Sets one key of the configuration, `a.b=value`.
    #[arg(long = "set", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Print the configuration in force, secrets hidden, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// `error`, `warn`, `info`, `debug`, or directives.
    #[arg(long, env = "BAETYL_LOG", default_value = "info")]
    pub(crate) log: String,
    /// OTLP collector for traces, `http://127.0.0.1:4317`.
    #[arg(long, env = "BAETYL_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}

/// The host of one service's functions.
#[derive(Debug, Args)]
pub(crate) struct RuntimeArgs {
    /// Configuration file, JSON, written by core.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// OTLP collector for traces, `http://127.0.0.1:4317`.
    #[arg(long, env = "BAETYL_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}

/// Activation of this device.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Address of the control plane, `https://host:port`.
    pub(crate) address: String,
    /// The join token, from `baetyl node add`; not needed on a device that is activated.
    #[arg(long, env = "BAETYL_JOIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Data folder of the node.
    #[arg(long, default_value = "/var/lib/baetyl")]
    pub(crate) data: PathBuf,
    /// Activate only; `baetyl core` is started by someone else.
    #[arg(long)]
    pub(crate) no_core: bool,
    /// How long to try while the control plane cannot be reached.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// The whole system on this machine.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Data folder; made when it is missing.
    #[arg(long, default_value_os_t = default_data())]
    pub(crate) data: PathBuf,
    /// First of the ports: cloud 4, 5 and 80, edge 10, 11 and 81 above it. 0 lets the kernel
    /// choose all.
    #[arg(long, default_value_t = 9000)]
    pub(crate) port_base: u16,
    /// Throw the data folder away first.
    #[arg(long)]
    pub(crate) reset: bool,
    /// Address that the control plane listens on, so that further devices can join.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) listen: std::net::IpAddr,
    /// Name of the node.
    #[arg(long, default_value = "demo")]
    pub(crate) node: String,
    /// Name of the context that is written.
    #[arg(long, default_value = "local")]
    pub(crate) context_name: String,
    /// `error`, `warn`, `info`, `debug`, or directives.
    #[arg(long, env = "BAETYL_LOG", default_value = "warn")]
    pub(crate) log: String,
    /// OTLP collector for traces, `http://127.0.0.1:4317`.
    #[arg(long, env = "BAETYL_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}
