//! How the cluster is reached: as a pod of it, or from outside by a kubeconfig file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

pub use kube::Client;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    Client::try_from(config).map_err(|error| AccessError::Client(Box::new(error)))
}

async fn from_file(path: &Path) -> Result<kube::Config, kube::config::KubeconfigError> {
    let file = Kubeconfig::read_from(path)?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
}
