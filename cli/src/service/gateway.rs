//! `baetyl gateway`: in front of a control plane, or on a node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baetyl_gateway::{Backend, Backends, Config, Server};
use baetyl_pki::{Credentials, files, pem};
use baetyl_service_kit::config::ConfigError;
use baetyl_service_kit::serve::{ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::shutdown::OnCancel;
use baetyl_service_kit::tls::{Identity, Roots};
use serde::{Deserialize, Serialize};

use super::host::{self, Host};
use super::local::{LocalFiles, LocalTls, channel};
use crate::args::ServiceArgs;
use crate::failure::Failure;

/// Which API is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Face {
    /// That of the control plane.
    Cloud,
    /// That of a node.
    #[default]
    Edge,
}

/// The gateway with what is behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Which API is shown: `edge` (default) or `cloud`.
    face: Face,
    /// Data folder of the node. Default `/var/lib/baetyl`. Only for `edge`.
    data_folder: PathBuf,
    /// Core's local API. Default `https://127.0.0.1:9010`.
    core_address: String,
    /// The function service. Default `https://127.0.0.1:9011`.
    function_address: String,
    /// The control plane. Default `https://127.0.0.1:9004`. Only for `cloud`.
    cloud_address: String,
    /// File with the authority of the control plane, PEM. Only for `cloud`, which needs it.
    cloud_ca: Option<PathBuf>,
    /// File with key and certificate chain that the gateway shows, PEM, mode 0600. Only for
    /// `cloud`, which needs it; on a node core writes it.
    credentials: Option<PathBuf>,
    /// How the gateway listens and what it lets through.
    gateway: Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            face: Face::Edge,
            data_folder: PathBuf::from("/var/lib/baetyl"),
            core_address: "https://127.0.0.1:9010".to_owned(),
            function_address: "https://127.0.0.1:9011".to_owned(),
            cloud_address: "https://127.0.0.1:9004".to_owned(),
            cloud_ca: None,
            credentials: None,
            gateway: Config::default(),
        }
    }
}

pub(super) async fn run(args: ServiceArgs) -> Result<ExitCode, Failure> {
    let Some(settings) = host::settings::<Settings>(&args, "BAETYL_GATEWAY_")? else {
        return Ok(ExitCode::SUCCESS);
    };
    ConfigError::check(settings.gateway.violations()).map_err(Failure::config)?;
    let host = Host::start("baetyl-gateway", &args.log, args.otlp_endpoint.as_deref())?;
    let outcome = match settings.face {
        Face::Edge => edge(settings, &host).await,
        Face::Cloud => cloud(settings, &host).await,
    };
    host.finish(outcome).await
}

async fn edge(settings: Settings, host: &Host) -> Result<(), Failure> {
    let files = LocalFiles::of(&settings.data_folder, "gateway");
    let tls = files.open().await?;
    host.shutdown
        .spawn("local-files", OnCancel::Abort, files.follow(tls.clone()));
    let backends = edge_backends(&settings.core_address, &settings.function_address, &tls)?;
    serve(settings.gateway, backends, &tls.identity, host).await
}

/// Core and function behind a gateway.
pub(crate) fn edge_backends(
    core: &str,
    function: &str,
    tls: &LocalTls,
) -> Result<Backends, Failure> {
    Ok(Backends::Edge {
        core: Backend::new(channel(core, tls)?),
        function: Backend::new(channel(function, tls)?),
    })
}

async fn cloud(settings: Settings, host: &Host) -> Result<(), Failure> {
    let (Some(ca), Some(credentials)) = (&settings.cloud_ca, &settings.credentials) else {
        return Err(Failure::usage(
            "a gateway in front of a control plane needs cloud_ca and credentials".to_owned(),
        ));
    };
    let credentials = Credentials::load(credentials).map_err(Failure::local)?;
    let key = credentials.key().to_private_key_der();
    let identity = Identity::try_new((credentials.chain().to_vec(), key))
        .map_err(|error| Failure::fault(&error))?;
    let backend = cloud_backend(&settings.cloud_address, &read_roots(ca)?)?;
    let backends = Backends::Cloud { cloud: backend };
    serve(settings.gateway, backends, &identity, host).await
}

/// The control plane behind a gateway.
pub(crate) fn cloud_backend(address: &str, roots: &Roots) -> Result<Backend, Failure> {
    let target = Target::encrypted(address, None, Target::tls(roots.clone(), None));
    let target = target.map_err(|error| Failure::fault(&error))?;
    Ok(Backend::new(connect_lazy(
        &target,
        &ConnectOptions::default(),
    )))
}

/// Authorities from a PEM file.
pub(crate) fn read_roots(path: &Path) -> Result<Roots, Failure> {
    let text = files::read_public(path).map_err(Failure::local)?;
    let authorities = pem::certs(&text).map_err(Failure::local)?;
    Roots::try_new(&authorities).map_err(|error| Failure::fault(&error))
}

async fn serve(
    config: Config,
    backends: Backends,
    identity: &Identity,
    host: &Host,
) -> Result<(), Failure> {
    let server = Server::bind(config, backends, Some(identity))
        .await
        .map_err(|error| Failure::fault(&error))?;
    tracing::info!(address = %server.address(), "gateway listens");
    server.run(host.shutdown.clone()).await;
    Ok(())
}
