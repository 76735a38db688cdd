//! What can go wrong when a node joins.

use std::path::PathBuf;
use std::time::Duration;

use baetyl_model::node_identity::NodeIdentityError;
use baetyl_service_kit::fault::{Code, Fault, Problem};
use baetyl_service_kit::serve::ConnectError;

/// What can go wrong when a node joins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The join token is malformed: copy the line of `baetyl node add` again.
    #[error("the join token cannot be read")]
    Token(#[source] baetyl_pki::TokenError),
    /// The folder already belongs to a node: join with another `--data`, or decommission it.
    #[error("{folder} already belongs to node {node}")]
    AlreadyActivated {
        /// The identity folder.
        folder: PathBuf,
        /// Name of the node.
        node: String,
    },
    /// Key, request or certificate cannot be used.
    #[error(transparent)]
    Pki(#[from] baetyl_pki::Error),
    /// A file of the identity folder cannot be read or written.
    #[error(transparent)]
    File(#[from] baetyl_pki::FileError),
    /// The cloud cannot be reached within the time given.
    #[error("the cloud at {address} did not answer within {}s", waited.as_secs())]
    Unreachable {
        /// The address.
        address: String,
        /// How long was tried.
        waited: Duration,
        /// The last failure.
        #[source]
        last: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address of the cloud is malformed.
    #[error(transparent)]
    Address(#[from] ConnectError),
    /// The cloud refused.
    #[error("the cloud refused: {}", .0.message)]
    Refused(Box<Problem>),
    /// The cloud's answer cannot be used.
    #[error("the answer of the cloud cannot be used")]
    Answer(#[from] NodeIdentityError),
    /// Core cannot be started.
    #[error("core cannot be started from {program}")]
    CoreStart {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Core ended, or does not listen in time; its log says why.
    #[error("core {what}; its log is {log}")]
    CoreFailed {
        /// What happened.
        what: String,
        /// Where its output went.
        log: PathBuf,
    },
}

impl Fault for InitError {
    fn code(&self) -> Code {
        match self {
            Self::Token(_) => Code::InvalidArgument,
            Self::AlreadyActivated { .. } => Code::AlreadyExists,
            Self::Pki(_) | Self::Answer(_) | Self::CoreStart { .. } => Code::FailedPrecondition,
            Self::File(_) => Code::FailedPrecondition,
            Self::Unreachable { .. } | Self::CoreFailed { .. } => Code::Unavailable,
            Self::Address(error) => error.code(),
            Self::Refused(problem) => problem.code,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Token(error) => error.reason(),
            Self::AlreadyActivated { .. } => "ALREADY_ACTIVATED",
            Self::Pki(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Unreachable { .. } => "CLOUD_UNREACHABLE",
            Self::Address(error) => error.reason(),
            Self::Refused(_) => "ACTIVATION_REFUSED",
            Self::Answer(_) => "ACTIVATION_ANSWER_UNUSABLE",
            Self::CoreStart { .. } => "CORE_NOT_STARTED",
            Self::CoreFailed { .. } => "CORE_FAILED",
        }
    }
}
