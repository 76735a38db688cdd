//! Arguments of the commands that ask a running system.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{duration, pair};
use crate::client::Kind;

/// One resource.
#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    /// node, app, config, secret or namespace.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// nodes, apps, configs, secrets, certs, registries or namespaces.
    pub(crate) kind: Kind,
    /// Names; all when absent.
    pub(crate) names: Vec<String>,
    /// Label selector, for example `site = demo, tier in (a, b)`.
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// Print the values of a secret, too.
    #[arg(long, requires = "names")]
    pub(crate) show_values: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A file, a folder (its .yaml, .yml and .json files), or `-` for standard input.
    #[arg(short = 'f', long = "file", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Show what would change and store nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete applications, configurations and secrets that match this label selector and are not
    /// in the files.
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) prune: Option<String>,
    /// Wait until the applications are healthy on their nodes; exit code 3 when they are not.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "120s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// node, app, config, secret or namespace.
    #[arg(required_unless_present = "files")]
    pub(crate) kind: Option<Kind>,
    /// Names.
    #[arg(required_unless_present = "files")]
    pub(crate) names: Vec<String>,
    /// Delete what these files declare, instead.
    #[arg(short = 'f', long = "file", conflicts_with_all = ["kind", "names"])]
    pub(crate) files: Vec<PathBuf>,
    /// Delete it although something uses it.
    #[arg(long)]
    pub(crate) force: bool,
    /// Remove the data folders on a deleted node, too.
    #[arg(long)]
    pub(crate) remove_data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// nodes, apps, configs, secrets, certs, registries or namespaces.
    pub(crate) kind: Kind,
    /// Label selector.
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// `key=value` sets, `key-` removes.
    #[arg(required = true)]
    pub(crate) changes: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Show this revision whole.
    #[arg(long)]
    pub(crate) revision: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Revision to bring back; the one before the present when absent.
    #[arg(long, default_value_t = 0)]
    pub(crate) to: u64,
    /// Show what would change and store nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name of the application.
    pub(crate) application: String,
    /// Name of the node; needed when the application is on several.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// Only this service.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Go on with new lines.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Last lines of each instance.
    #[arg(long, default_value_t = 100)]
    pub(crate) tail: u32,
    /// Only lines of this invocation; its first 8 characters are enough.
    #[arg(long)]
    pub(crate) invocation: Option<String>,
    /// Ask the node of the context itself, not the cloud.
    #[arg(long)]
    pub(crate) edge: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// `service/function`, or `service` for its first function.
    pub(crate) function: String,
    /// Payload: text, `@file`, or `-` for standard input.
    #[arg(short, long, default_value = "")]
    pub(crate) data: String,
    /// How long the call may take.
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print what the function yields as it comes, one value a line.
    #[arg(long)]
    pub(crate) stream: bool,
    /// What the function sees in its context, `key=value`.
    #[arg(short, long, value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Marks the call as safe to repeat.
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
}

/// What runs the applications of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Processes of one machine.
    Process,
    /// A Kubernetes cluster.
    Kube,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Add a node, unless it exists, and print the line that joins a device.
    ///
    ///   baetyl node add press-7 -l site=demo
    ///   baetyl node add plant-2 --mode kube
    #[command(verbatim_doc_comment)]
    Add {
        /// Name of the node.
        name: String,
        /// Labels, `key=value`.
        #[arg(short = 'l', long = "label", value_parser = pair)]
        labels: Vec<(String, String)>,
        /// What runs the applications: processes of one machine, or a Kubernetes cluster, which is
        /// one node however many machines it has.
        #[arg(long, value_enum, default_value = "process")]
        mode: Mode,
        /// How long the join token is good.
        #[arg(long, default_value = "1h", value_parser = duration)]
        lifetime: Duration,
    },
    /// Revoke the certificates of a node: its stream is cut, its applications go on.
    Revoke {
        /// Name of the node.
        name: String,
    },
    /// Try an application again on a node where its desired revision failed.
    Retry {
        /// Name of the node.
        name: String,
        /// Name of the application.
        application: String,
    },
    /// Read the properties of a node, or change the wanted ones.
    ///
    ///   baetyl node properties demo
    ///   baetyl node properties demo speed=12 lamp-
    #[command(verbatim_doc_comment)]
    Properties {
        /// Name of the node.
        name: String,
        /// `key=value` sets (JSON scalars, else text), `key-` removes.
        changes: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its text is printed once.
    Create {
        /// Name of the token.
        name: String,
        /// How long it is good; for ever when absent.
        #[arg(long, value_parser = duration)]
        lifetime: Option<Duration>,
        /// Good for every tenant.
        #[arg(long)]
        all_namespaces: bool,
    },
    /// List tokens without their texts.
    List,
    /// Revoke a token at once.
    Delete {
        /// Name of the token.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the contexts of the configuration file.
    List,
    /// Make a context the current one.
    Use {
        /// Name of the context.
        name: String,
    },
    /// Write a context, or change the given parts of one.
    ///
    ///   baetyl context set plant --cloud https://cloud.example:9004 --ca ca.pem --token-file t
    #[command(verbatim_doc_comment)]
    Set {
        /// Name of the context.
        name: String,
        /// Address of the control plane, `https://host:port`.
        #[arg(long)]
        cloud: Option<String>,
        /// File with the authority of the control plane, PEM.
        #[arg(long)]
        ca: Option<PathBuf>,
        /// File with the bearer token.
        #[arg(long)]
        token_file: Option<PathBuf>,
        /// Address of a node's core, `https://host:port`.
        #[arg(long)]
        core: Option<String>,
        /// Address of a node's function service, `https://host:port`.
        #[arg(long)]
        function: Option<String>,
        /// File with the node's own authority, PEM.
        #[arg(long)]
        edge_ca: Option<PathBuf>,
        /// File with the node's edge token.
        #[arg(long)]
        edge_token_file: Option<PathBuf>,
    },
}
