//! `baetyl function`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baetyl_function::{Config, Security, Server};
use baetyl_service_kit::shutdown::OnCancel;

use super::host::{self, Host};
use super::local::{LocalFiles, LocalTls};
use crate::args::ServiceArgs;
use crate::failure::Failure;

/// Data folder of a node when none is given.
const DATA: &str = "/var/lib/baetyl";

pub(super) async fn run(mut args: ServiceArgs) -> Result<ExitCode, Failure> {
    // The flag names the node's data folder; the service keeps to its own folder in it.
    let node = args.data.take().unwrap_or_else(|| PathBuf::from(DATA));
    let Some(config) = host::settings::<Config>(&args, "BAETYL_FUNCTION_")? else {
        return Ok(ExitCode::SUCCESS);
    };
    config.check().map_err(Failure::config)?;
    let host = Host::start("baetyl-function", &args.log, args.otlp_endpoint.as_deref())?;
    let outcome = serve(&node, on_node(config, &node), &host).await;
    host.finish(outcome).await
}

/// The configuration with the paths of the node.
pub(crate) fn on_node(mut config: Config, node: &Path) -> Config {
    if config.data_folder == Config::default().data_folder {
        config.data_folder = node.join("function");
    }
    let token = LocalFiles::of(node, "function").token;
    config.edge_token_file = Some(config.edge_token_file.unwrap_or(token));
    config
}

async fn serve(node: &Path, config: Config, host: &Host) -> Result<(), Failure> {
    let files = LocalFiles::of(node, "function");
    let tls = files.open().await?;
    host.shutdown
        .spawn("local-files", OnCancel::Abort, files.follow(tls.clone()));
    let server = Server::bind(config, security(&tls))
        .await
        .map_err(Failure::local)?;
    let server = server.with_metrics(host.metrics());
    tracing::info!(address = %server.invoke_address(), "function listens");
    server
        .run(host.shutdown.clone())
        .await
        .map_err(Failure::local)
}

/// TLS with the files of the node.
pub(crate) fn security(tls: &LocalTls) -> Security {
    Security::Tls {
        identity: tls.identity.clone(),
        roots: tls.roots.clone(),
    }
}
