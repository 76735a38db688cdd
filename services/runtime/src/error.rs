//! Why the host ends by itself.

use std::io;
use std::path::PathBuf;

use baetyl_service_kit::fault::{Code, Fault, InvalidArgument, Violation};
use baetyl_service_kit::serve::ConnectError;

/// Why the host cannot serve, or has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The action, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The configuration file is not the document that it should be.
    #[error("{} cannot be read", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The configuration has wrong fields.
    #[error(transparent)]
    Config(#[from] InvalidArgument),
    /// The address of the function service is wrong.
    #[error("the address of the function service is wrong")]
    Address(#[from] ConnectError),
    /// The interpreter of the language is not installed.
    #[error("there is no {program} in PATH; install it on this machine")]
    RuntimeNotFound {
        /// Name of the interpreter.
        program: &'static str,
    },
    /// A function could not be loaded: its code is wrong, trying again would not help.
    #[error("function {function} was not loaded: {error_type}: {message}\n{stack}")]
    CodeNotLoaded {
        /// Name of the function.
        function: String,
        /// Type of the error in the user's language.
        error_type: String,
        /// What it says.
        message: String,
        /// Where it came from, in the user's language.
        stack: String,
    },
    /// A later start of the same instance has taken over.
    #[error("a later start of this runtime has taken over")]
    Superseded,
}

impl Error {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Config(_) | Self::ConfigUnreadable { .. } | Self::Address(_) => {
                Code::InvalidArgument
            }
            Self::Superseded => Code::Aborted,
            Self::Io { .. } => Code::Internal,
            Self::RuntimeNotFound { .. } | Self::CodeNotLoaded { .. } => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "IO",
            Self::ConfigUnreadable { .. } => "CONFIG_UNREADABLE",
            Self::Config(error) => error.reason(),
            Self::Address(error) => error.reason(),
            Self::RuntimeNotFound { .. } => "RUNTIME_NOT_FOUND",
            Self::CodeNotLoaded { .. } => "CODE_NOT_LOADED",
            Self::Superseded => "SUPERSEDED",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Config(error) => error.violations(),
            _ => Vec::new(),
        }
    }
}
