//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no instance id; give another one.
    #[error(
        "instance id {0:?} is not 1 to 64 characters of a-z, 0-9, '.' and '-' that start with a letter or digit"
    )]
    InvalidId(String),
    /// A field of the specification is out of its bounds; correct it.
    #[error("{field} {problem}")]
    InvalidSpec {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An instance of this id has a folder already; use a fresh id.
    #[error("instance folder {0} exists already")]
    AlreadyExists(PathBuf),
    /// The operating system refused to start the program.
    #[error("program was not started: {message}")]
    ProgramNotStarted {
        /// Error number, 0 when there is none.
        errno: i32,
        /// What was tried and why it failed.
        message: String,
    },
    /// The shim ended, or did not answer in time, before the program ran.
    #[error("shim failed: {0}")]
    ShimFailed(String),
    /// The state file is damaged or of a later version.
    #[error("state file {path} cannot be used: {detail}")]
    UnusableState {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Processes of the instance are still alive.
    #[error("instance is still running")]
    StillRunning,
    /// There is no process to act on (any more).
    #[error("instance is not running")]
    NotRunning,
    /// Every port of the range is in use.
    #[error("no free port from {first} to {last}")]
    NoFreePort {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The operating system refused something else.
    #[error("cannot {doing} {path}")]
    Io {
        /// The action, as a verb.
        doing: &'static str,
        /// The file, folder or program concerned.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Stable name of the kind of failure, for reports and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidId(_) => "INVALID_INSTANCE_ID",
            Self::InvalidSpec { .. } => "INVALID_PROCESS_SPEC",
            Self::AlreadyExists(_) => "INSTANCE_EXISTS",
            Self::ProgramNotStarted { .. } => "PROGRAM_NOT_STARTED",
            Self::ShimFailed(_) => "SHIM_FAILED",
            Self::UnusableState { .. } => "INSTANCE_STATE_UNUSABLE",
            Self::StillRunning => "INSTANCE_RUNNING",
            Self::NotRunning => "INSTANCE_NOT_RUNNING",
            Self::NoFreePort { .. } => "NO_FREE_PORT",
            Self::Io { .. } => "IO",
        }
    }

    /// Wraps an IO failure with what was done to which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
