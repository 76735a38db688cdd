//! `baetyl core`.

#[cfg(feature = "cloud")]
use std::path::Path;
use std::process::ExitCode;
#[cfg(feature = "cloud")]
use std::time::Duration;

use baetyl_core::{Config, Dependencies, Ended, Server};
#[cfg(feature = "cloud")]
use baetyl_engine::driver::Driver as _;
#[cfg(feature = "cloud")]
use baetyl_engine::driver::process::{ProcessConfig, ProcessDriver, remove_secrets};
#[cfg(feature = "cloud")]
use tokio_util::task::TaskTracker;

use super::host::{self, Host};
use crate::args::ServiceArgs;
use crate::failure::Failure;

/// How long what an earlier run left may take to end.
#[cfg(feature = "cloud")]
const STOP_GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: ServiceArgs) -> Result<ExitCode, Failure> {
    let Some(mut config) = host::settings::<Config>(&args, "BAETYL_CORE_")? else {
        return Ok(ExitCode::SUCCESS);
    };
    // The function service of the same node, unless another address or `none` is configured.
    let address = config.function_address.take();
    let address = address.unwrap_or_else(|| "https://127.0.0.1:9011".to_owned());
    config.function_address = Some(address).filter(|address| address != "none");
    config.validate().map_err(Failure::config)?;
    let host = Host::start("baetyl-core", &args.log, args.otlp_endpoint.as_deref())?;
    let outcome = serve(config, &host).await;
    host.finish(outcome).await
}

async fn serve(config: Config, host: &Host) -> Result<(), Failure> {
    let server = Server::bind(config, dependencies(host))
        .await
        .map_err(|error| Failure::fault(&error))?;
    tracing::info!(address = %server.address(), "core listens");
    let ended = server.run(host.shutdown.clone()).await;
    match ended.map_err(|error| Failure::fault(&error))? {
        Ended::Drained | Ended::Decommissioned => Ok(()),
    }
}

/// What core gets from this program, which is also its shim and runtime host.
pub(crate) fn dependencies(host: &Host) -> Dependencies {
    let mut dependencies = Dependencies {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        metrics: Some(host.metrics()),
        ..Dependencies::default()
    };
    if let Some(endpoint) = host.otlp() {
        // Not by the environment: of that, applications get nothing.
        let argument = ["--otlp-endpoint".to_owned(), endpoint.to_owned()];
        dependencies.runtime_program.extend(argument);
    }
    dependencies
}

/// Stops every instance that is left of the node with this data folder, and removes its secrets
/// from memory; says how many there were.
#[cfg(feature = "cloud")]
pub(crate) async fn remove_all(data: &Path) -> Result<usize, Failure> {
    let config = Config {
        data_folder: data.to_owned(),
        ..Config::default()
    };
    let folder = config.applications_folder();
    if !folder.exists() {
        return Ok(0);
    }
    let process = ProcessConfig::new("default", "none", folder, config.function_attach());
    let driver = ProcessDriver::new(process, TaskTracker::new()).map_err(Failure::local)?;
    let found = driver.scan().await.map_err(Failure::local)?;
    for instance in &found {
        driver
            .stop(&instance.id, STOP_GRACE)
            .await
            .map_err(Failure::local)?;
    }
    drop(driver);
    remove_secrets(&config.applications_folder()).map_err(Failure::local)?;
    Ok(found.len())
}
