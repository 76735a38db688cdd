//! How the cluster is reached: as a pod of it, or from outside by a kubeconfig file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::ServiceBuilder;

pub use kube::Client;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection stays that nobody uses: longer than the pauses within a change.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections stay that nobody uses.
const MAX_IDLE: usize = 4;

/// How much is read at a time: a record of TLS. By itself hyper grows the buffer of a connection as
/// long as it is filled, up to 400 KB, and a watch keeps it for as long as it lives.
const READ_BYTES: usize = 16 * 1024;

/// The cluster cannot be reached as it was said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The kubeconfig file cannot be used.
    #[error("the kubeconfig {} cannot be used", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// This is no pod with a service account, and no kubeconfig was named.
    #[error("this is no pod of a cluster; name a kubeconfig file")]
    NotInCluster(#[source] Box<kube::config::InClusterError>),
    /// The client cannot be made.
    #[error("the client of the cluster cannot be made")]
    Client(#[source] Box<kube::Error>),
}

/// Makes the client: with a kubeconfig file its current context, without one the pod's own service
/// account. Nothing is sent yet.
///
/// # Errors
/// [`AccessError`]: files are missing or cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, AccessError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path)
            .await
            .map_err(|source| AccessError::Kubeconfig {
                path: path.to_owned(),
                source: Box::new(source),
            })?,
        None => {
            kube::Config::incluster().map_err(|error| AccessError::NotInCluster(Box::new(error)))?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The engine tries again itself, with its own delays, and sees what the server asks for.
    config.default_retry = false;
    // What the client says about proxies is said by it.
    let client = match config.proxy_url {
        Some(_) => Client::try_from(config),
        None => direct(&config),
    };
    client.map_err(|error| AccessError::Client(Box::new(error)))
}

/// As kube makes a client without a proxy, with connections that need little memory. The handshake
/// of TLS has no time of its own: it is a part of each request's.
fn direct(config: &kube::Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let connections = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .http1_read_buf_exact_size(READ_BYTES)
        .build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(connections);
    Ok(Client::new(service, config.default_namespace.clone()))
}

async fn from_file(path: &Path) -> Result<kube::Config, kube::config::KubeconfigError> {
    let file = Kubeconfig::read_from(path)?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
}
