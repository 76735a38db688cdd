//! The state file: who runs an instance, and how it ended.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::exec::StartError;
use crate::{Error, InstanceId, ProcessId, Spec, folder};

/// Raised when an older reader would misread the files. A launcher must read what
/// the shim of an earlier release wrote, because it lives through upgrades.
const VERSION: u32 = 1;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By itself.
    Exited {
        /// Exit code, 0 to 255.
        code: i32,
    },
    /// By a signal.
    Signaled {
        /// Number of the signal.
        signal: i32,
    },
    /// It was never executed.
    NotStarted {
        /// Error number, 0 when there is none.
        errno: i32,
        /// What was tried and why it failed.
        message: String,
    },
}

impl From<StartError> for Ending {
    fn from(error: StartError) -> Self {
        Self::NotStarted {
            errno: error.errno,
            message: error.message,
        }
    }
}

/// What is known of an instance that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub finished_at: SystemTime,
    /// Bytes of output that could not be written, for a full disk mostly.
    pub dropped_log_bytes: u64,
    /// Whether the kernel killed a process of its control group for want of memory.
    pub out_of_memory: bool,
}

/// Content of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    pub(crate) instance: InstanceId,
    pub(crate) boot_id: String,
    pub(crate) shim: ProcessId,
    pub(crate) process: ProcessId,
    pub(crate) started_at: SystemTime,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) outcome: Option<Outcome>,
}

impl State {
    pub(crate) fn new(
        instance: InstanceId,
        boot_id: String,
        shim: ProcessId,
        process: ProcessId,
    ) -> Self {
        Self {
            version: VERSION,
            instance,
            boot_id,
            shim,
            process,
            started_at: SystemTime::now(),
            cgroup: None,
            outcome: None,
        }
    }

    /// Reads the state; `None` when none was written yet.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder::state_file(folder);
        let body = match fs::read(&path) {
            Ok(body) => body,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        parse(&body)
            .map(Some)
            .map_err(|detail| Error::UnusableState { path, detail })
    }

    /// Writes the state; durably when it holds an outcome. While the process runs
    /// that is not needed: a loss of power ends the process and changes the boot id.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder::state_file(folder);
        let body = serde_json::to_vec(self)?;
        let Err(error) = folder::replace(&path, &body, self.outcome.is_some()) else {
            return Ok(());
        };
        if self.outcome.is_none() {
            return Err(error);
        }
        // A full disk has no room for a second file, but the first one has its block.
        let mut file = fs::File::options().write(true).open(&path)?;
        file.write_all(&body)?;
        file.set_len(body.len() as u64)?;
        file.sync_all()
    }
}

fn parse(body: &[u8]) -> Result<State, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if version > VERSION {
        return Err(format!("version {version} is later than {VERSION}"));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Content of `spec.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct SpecFile {
    version: u32,
    pub(crate) instance: InstanceId,
    pub(crate) spec: Spec,
}

impl SpecFile {
    pub(crate) fn new(instance: InstanceId, spec: Spec) -> Self {
        Self {
            version: VERSION,
            instance,
            spec,
        }
    }
}

#[cfg(test)]
mod tests;
