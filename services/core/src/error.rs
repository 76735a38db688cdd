//! Why core does not start.

use std::io;

use baetyl_engine::{DriverError, EngineError};
use baetyl_pki::FileError;
use baetyl_service_kit::config::ConfigError;
use baetyl_service_kit::fault::{Code, Fault, Violation};
use baetyl_service_kit::serve::ConnectError;
use baetyl_service_kit::tls::TlsError;

use crate::authority::AuthorityError;
use crate::identity::IdentityError;
use crate::store::StoreError;

/// Core cannot start, or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity cannot be used: activate the node first.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store cannot be opened.
    #[error("the edge store cannot be opened")]
    Store(#[from] StoreError),
    /// The node's own authority cannot be used.
    #[error("the node's certificate authority cannot be used")]
    Authority(#[from] AuthorityError),
    /// A file or folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificates cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The local API cannot listen.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The address of the function service is wrong.
    #[error("the address of the function service is wrong")]
    Function(#[from] ConnectError),
    /// The engine does not start.
    #[error("the engine does not start")]
    Engine(#[from] EngineError),
    /// The cluster cannot be reached as it is configured.
    #[cfg(feature = "kube")]
    #[error("the cluster cannot be used")]
    Cluster(#[from] baetyl_engine::kube::access::AccessError),
    /// Applications cannot be run here.
    #[error("the folders of the applications cannot be used")]
    Driver(#[from] DriverError),
    /// A part of core failed while it ran.
    #[error("{0}")]
    Failed(String),
}

impl Fault for CoreError {
    fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Identity(_) | Self::File(_) | Self::Tls(_) | Self::Bind { .. } => {
                Code::FailedPrecondition
            }
            #[cfg(feature = "kube")]
            Self::Cluster(_) => Code::FailedPrecondition,
            Self::Store(error) => error.code(),
            Self::Function(error) => error.code(),
            Self::Authority(_) | Self::Engine(_) | Self::Driver(_) | Self::Failed(_) => {
                Code::Internal
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::Identity(IdentityError::NotActivated { .. }) => "NODE_NOT_ACTIVATED",
            Self::Identity(_) => "IDENTITY_UNUSABLE",
            Self::Store(error) => error.reason(),
            Self::Authority(_) => "AUTHORITY_UNUSABLE",
            Self::File(error) => error.reason(),
            Self::Tls(error) => error.reason(),
            Self::Bind { .. } => "ADDRESS_UNAVAILABLE",
            Self::Function(error) => error.reason(),
            Self::Engine(error) => error.reason(),
            #[cfg(feature = "kube")]
            Self::Cluster(_) => "CLUSTER_UNUSABLE",
            Self::Driver(_) | Self::Failed(_) => "CORE_FAILED",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Config(error) => error.violations(),
            _ => Vec::new(),
        }
    }
}
