//! `baetyl runtime`: started by core for each function service.

use std::process::ExitCode;

use baetyl_runtime::Options;

use super::host::Host;
use crate::args::RuntimeArgs;
use crate::failure::Failure;

pub(super) async fn run(args: RuntimeArgs) -> Result<ExitCode, Failure> {
    let log = std::env::var("BAETYL_LOG").unwrap_or_else(|_| "warn".to_owned());
    let host = Host::start("baetyl-runtime", &log, args.otlp_endpoint.as_deref())?;
    let outcome = serve(&args, &host).await;
    host.finish(outcome).await
}

async fn serve(args: &RuntimeArgs, host: &Host) -> Result<(), Failure> {
    let config = baetyl_runtime::load(&args.config).map_err(Failure::local)?;
    let options = Options::of_this_process();
    let done = baetyl_runtime::run(config, options, host.shutdown.clone()).await;
    done.map_err(Failure::local)
}
