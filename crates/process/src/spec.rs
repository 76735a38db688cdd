//! What to run and under which limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Error, INSTANCE_MARKER, WORKER_MARKER};

/// One program with everything that its execution depends on.
///
/// Nothing is inherited from the launcher: the environment is exactly `env` plus
/// the marker, standard input is `/dev/null`, core dumps are off.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Absolute path, or a name looked up in the `PATH` of `env`.
    pub path: PathBuf,
    /// Arguments without the program's own name.
    pub args: Vec<String>,
    /// The whole environment; may hold secrets, hence never printed.
    pub env: BTreeMap<String, String>,
    /// Absolute path of the folder to start in; must exist.
    pub working_folder: PathBuf,
    /// User to become; needs root. `None` stays with the launcher's.
    pub user: Option<User>,
    /// Resource limits.
    pub limits: Limits,
    /// Scheduling priority, -20 (first) to 19 (last); `None` inherits.
    pub nice: Option<i32>,
    /// File mode mask, as in `0o027`; `None` inherits.
    pub umask: Option<u32>,
    /// Whether executing set-user-id programs gains nothing.
    pub no_new_privileges: bool,
    /// Control group (its folder) to join before the program runs.
    pub cgroup: Option<PathBuf>,
}

impl Program {
    /// A program with no arguments, environment or limits of its own.
    pub fn new(path: impl Into<PathBuf>, working_folder: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            working_folder: working_folder.into(),
            user: None,
            limits: Limits::default(),
            nice: None,
            umask: None,
            no_new_privileges: false,
            cgroup: None,
        }
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Error::InvalidSpec`] for the first field out of its bounds.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |field, problem| Err(Error::InvalidSpec { field, problem });
        if self.path.as_os_str().is_empty() {
            return invalid("program", "must not be empty");
        }
        if !self.working_folder.is_absolute() {
            return invalid("working folder", "must be an absolute path");
        }
        if self.nice.is_some_and(|nice| !(-20..=19).contains(&nice)) {
            return invalid("nice", "must be from -20 to 19");
        }
        if self.umask.is_some_and(|umask| umask > 0o777) {
            return invalid("umask", "must be at most 0777");
        }
        if self.args.iter().any(|arg| arg.contains('\0')) {
            return invalid("args", "must not contain NUL");
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return invalid("env", "must have names without '=' and no NUL");
            }
            if name == INSTANCE_MARKER || name == WORKER_MARKER {
                return invalid("env", "must not set the marker");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Program")
            .field("path", &self.path)
            .field("args", &self.args.len())
            .field("env", &self.env.keys())
            .field("working_folder", &self.working_folder)
            .finish_non_exhaustive()
    }
}

/// User and group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User number.
    pub uid: u32,
    /// Group number; supplementary groups are dropped.
    pub gid: u32,
}

/// Limits that the kernel enforces per process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Number of open files; `None` inherits.
    pub open_files: Option<u64>,
    /// Bytes of address space of each process; `None` inherits. Programs with
    /// large reservations (Node.js, Go) do not run under it: prefer control groups.
    pub address_space: Option<u64>,
}

/// How much captured output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCaps {
    /// Bytes per file, at least 64 KiB.
    pub max_bytes: u64,
    /// Files, at least 2; the oldest goes first.
    pub files: u32,
}

impl Default for LogCaps {
    fn default() -> Self {
        Self {
            max_bytes: 5 << 20,
            files: 4,
        }
    }
}

/// A long-lived process: a program, and what its shim does for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What to run.
    pub program: Program,
    /// Sent to the program's group when the shim itself is asked to end.
    pub stop_signal: Signal,
    /// Caps of the captured output.
    pub log: LogCaps,
}

impl Spec {
    /// A specification with default caps and SIGTERM.
    pub fn new(program: Program) -> Self {
        Self {
            program,
            stop_signal: Signal::Term,
            log: LogCaps::default(),
        }
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Error::InvalidSpec`] for the first field out of its bounds.
    pub fn validate(&self) -> Result<(), Error> {
        if self.log.max_bytes < 64 << 10 {
            return Err(Error::InvalidSpec {
                field: "log size",
                problem: "must be at least 64 KiB",
            });
        }
        if self.log.files < 2 {
            return Err(Error::InvalidSpec {
                field: "log files",
                problem: "must be at least 2",
            });
        }
        self.program.validate()
    }
}

/// A signal that an application can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// SIGHUP, by custom "reload".
    Hup,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGTERM, by custom "end in good order".
    Term,
    /// SIGKILL.
    Kill,
}

impl Signal {
    /// Reads a name with or without `SIG`, in upper case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("SIG").unwrap_or(name) {
            "HUP" => Self::Hup,
            "INT" => Self::Int,
            "QUIT" => Self::Quit,
            "USR1" => Self::Usr1,
            "USR2" => Self::Usr2,
            "TERM" => Self::Term,
            "KILL" => Self::Kill,
            _ => return None,
        })
    }

    pub(crate) fn to_os(self) -> rustix::process::Signal {
        use rustix::process::Signal as Os;
        match self {
            Self::Hup => Os::HUP,
            Self::Int => Os::INT,
            Self::Quit => Os::QUIT,
            Self::Usr1 => Os::USR1,
            Self::Usr2 => Os::USR2,
            Self::Term => Os::TERM,
            Self::Kill => Os::KILL,
        }
    }
}

#[cfg(test)]
mod tests;
