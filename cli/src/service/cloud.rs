//! `baetyl cloud`.

use std::process::ExitCode;

use baetyl_cloud::config::Config;
use baetyl_cloud::server::Server;

use super::host::{self, Host};
use crate::args::ServiceArgs;
use crate::failure::Failure;

pub(super) async fn run(args: ServiceArgs) -> Result<ExitCode, Failure> {
    let Some(config) = host::settings::<Config>(&args, "BAETYL_CLOUD_")? else {
        return Ok(ExitCode::SUCCESS);
    };
    config.validate().map_err(Failure::config)?;
    let host = Host::start("baetyl-cloud", &args.log, args.otlp_endpoint.as_deref())?;
    let outcome = serve(config, &host).await;
    host.finish(outcome).await
}

async fn serve(config: Config, host: &Host) -> Result<(), Failure> {
    let server = Server::bind(config, host.metrics())
        .await
        .map_err(Failure::local)?;
    let addresses = server.addresses();
    tracing::info!(api = %addresses.api, sync = %addresses.sync, "cloud listens");
    if server.first_token().is_some() {
        tracing::info!("the first token lies in admin.token of the data folder");
    }
    server
        .run(host.shutdown.clone())
        .await
        .map_err(Failure::local)
}
