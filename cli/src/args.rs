//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use baetyl_service_kit::config::HumanDuration;
use clap::{Args, Parser, Subcommand, ValueEnum};

mod client;
mod service;

pub(crate) use client::{
    ApplyArgs, ContextCommand, DeleteArgs, GetArgs, HistoryArgs, InvokeArgs, LabelArgs, LogsArgs,
    Mode, NodeCommand, ObjectArgs, RollbackArgs, TokenCommand, WatchArgs,
};
#[cfg(feature = "cloud")]
pub(crate) use service::UpArgs;
pub(crate) use service::{JoinArgs, RuntimeArgs, ServiceArgs};

/// Edge computing: a control plane, edge nodes, applications and functions.
///
/// On a laptop `baetyl up` starts everything; a second terminal then needs no flags:
///
///   baetyl apply -f examples/sensors --wait
///   baetyl get nodes
///   baetyl invoke sensors/window -d @examples/sensors/readings.csv
///
/// Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 refused or failed,
/// 2 typed wrongly, 3 not converged in time, 64 bad configuration of a service.
#[derive(Debug, Parser)]
#[command(
    verbatim_doc_comment,
    name = "baetyl",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where and how to ask.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Context of the configuration file to use instead of the current one.
    #[arg(long, global = true, env = "BAETYL_CONTEXT")]
    pub(crate) context: Option<String>,
    /// Tenant; the context's when absent.
    #[arg(short, long, global = true, env = "BAETYL_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Form of the answer.
    #[arg(short, long, global = true, default_value = "table")]
    pub(crate) output: Form,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Aligned columns, for people.
    Table,
    /// JSON in the dialect of the API, for programs.
    Json,
    /// YAML; what `get` prints can be applied again.
    Yaml,
    /// `kind/name`, one a line.
    Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    #[command(flatten)]
    Service(ServiceCommand),
}

/// What asks a running system.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List resources, or read some by name.
    ///
    /// Kinds: namespaces, nodes, applications (apps), configurations (configs), secrets.
    ///   baetyl get nodes
    ///   baetyl get apps -l site=demo -o yaml
    ///   baetyl get config thresholds -o yaml
    #[command(verbatim_doc_comment)]
    Get(GetArgs),
    /// Show one resource in full: where it stands and why.
    ///
    ///   baetyl describe node demo
    ///   baetyl describe app sensors
    #[command(verbatim_doc_comment)]
    Describe(ObjectArgs),
    /// Create or replace everything in files, folders or standard input, in one transaction.
    ///
    /// A document may take values from files beside it, a Certificate or Registry its fields:
    ///   dataFromFiles: {window.py: window.py}
    ///   dataFromFiles: {certificatePem: tls.crt, privateKeyPem: tls.key}
    ///
    ///   baetyl apply -f examples/sensors --wait
    ///   baetyl apply -f examples/sensors --dry-run
    ///   cat app.yaml | baetyl apply -f -
    #[command(verbatim_doc_comment)]
    Apply(ApplyArgs),
    /// Delete resources by name or by file.
    ///
    ///   baetyl delete app sensors
    ///   baetyl delete -f examples/watcher
    #[command(verbatim_doc_comment)]
    Delete(DeleteArgs),
    /// Print changes of resources as they happen.
    ///
    ///   baetyl watch nodes
    #[command(verbatim_doc_comment)]
    Watch(WatchArgs),
    /// Set labels (key=value) or remove them (key-).
    ///
    ///   baetyl label node demo site=demo floor-
    #[command(verbatim_doc_comment)]
    Label(LabelArgs),
    /// List the revisions of a resource with what each changed.
    ///
    ///   baetyl history config thresholds
    #[command(verbatim_doc_comment)]
    History(HistoryArgs),
    /// Bring an earlier revision back, as a new one.
    ///
    ///   baetyl rollback config thresholds --to 3
    #[command(verbatim_doc_comment)]
    Rollback(RollbackArgs),
    /// Print the log of an application on a node.
    ///
    ///   baetyl logs watcher -f
    ///   baetyl logs sensors --invocation 0198f2c1
    #[command(verbatim_doc_comment)]
    Logs(LogsArgs),
    /// Call a function on the edge node of the context.
    ///
    ///   baetyl invoke sensors/window -d '{"rows": []}'
    ///   baetyl invoke sensors/days --stream -d @readings.csv
    ///   cat readings.csv | baetyl invoke sensors/window -d -
    #[command(verbatim_doc_comment)]
    Invoke(InvokeArgs),
    /// Add a node and print what to run on the device; revoke a node.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Make, list and revoke the tokens of people and programs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Choose among systems.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Tell how the control plane, the nodes and the applications are.
    Status,
    /// Tell the versions of this program and of the control plane.
    Version,
}

/// What runs a part of the system.
#[derive(Debug, Subcommand)]
#[command(next_help_heading = "Services")]
pub(crate) enum ServiceCommand {
    /// Start everything on this machine: cloud, one node, functions and gateways.
    #[cfg(feature = "cloud")]
    Up(UpArgs),
    /// Activate this device as a node and bring up core.
    ///
    ///   baetyl join https://cloud.example:9004 --token jt_…
    #[command(verbatim_doc_comment)]
    Join(JoinArgs),
    /// Run the control plane.
    #[cfg(feature = "cloud")]
    Cloud(ServiceArgs),
    /// Run the core of an edge node.
    Core(ServiceArgs),
    /// Run the function proxy of an edge node.
    Function(ServiceArgs),
    /// Run the REST gateway.
    Gateway(ServiceArgs),
    /// Host the functions of one service; started by core.
    #[command(hide = true)]
    Runtime(RuntimeArgs),
}

/// Reads `5s`, `200ms`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<HumanDuration, _> = text.parse();
    parsed
        .map(|value| value.0)
        .map_err(|error| error.to_string())
}

/// Reads `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be key=value".to_owned()),
    }
}

/// The default of `up --data`.
fn default_data() -> PathBuf {
    PathBuf::from(".baetyl")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn when_the_help_is_built_then_it_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
