//! Why an operation was not done.

use baetyl_model::Name;
use baetyl_service_kit::fault::{Code, Fault, InvalidArgument, Resource, Violation};

use crate::activation::ActivationError;
use crate::store::StoreError;
use crate::sync::ChannelError;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// There is no such node.
    #[error("there is no node {0}")]
    NodeNotFound(Name),
    /// The application is not desired on the node.
    #[error("the application {application} is not desired on the node {node}")]
    NotDesired {
        /// The application.
        application: Name,
        /// The node.
        node: Name,
    },
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] InvalidArgument),
    /// Others changed the same thing all the time.
    #[error("too many changes of the same node; try again")]
    Busy,
    /// Certificates or tokens.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The stream of the node.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for OperationError {
    fn code(&self) -> Code {
        match self {
            Self::NodeNotFound(_) => Code::NotFound,
            Self::NotDesired { .. } => Code::FailedPrecondition,
            Self::Invalid(error) => error.code(),
            Self::Busy => Code::Unavailable,
            Self::Activation(ActivationError::NodeNotFound) => Code::NotFound,
            Self::Activation(error) => error.code(),
            Self::Channel(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NodeNotFound(_) => "NODE_NOT_FOUND",
            Self::NotDesired { .. } => "APPLICATION_NOT_DESIRED",
            Self::Invalid(error) => error.reason(),
            Self::Busy => "BUSY",
            Self::Activation(error) => error.reason(),
            Self::Channel(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Channel(error) => error.metadata(),
            _ => Vec::new(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            _ => Vec::new(),
        }
    }

    fn resource(&self) -> Option<Resource> {
        match self {
            Self::NodeNotFound(name) | Self::NotDesired { node: name, .. } => Some(Resource {
                kind: "Node".to_owned(),
                name: name.to_string(),
            }),
            _ => None,
        }
    }
}
