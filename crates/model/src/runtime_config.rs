//! What the engine hands to a function runtime: the file behind `baetyl runtime --config`.
//!
//! The engine writes one file per instance; the runtime host reads it once at its start.
//!
//! **Readiness.** The host creates [`RuntimeConfig::ready_file`] when it is attached to the proxy
//! and at least one worker has loaded every function, and removes it when that is no longer so.
//! The engine looks at nothing else.
//!
//! **Output.** What user code writes goes, line by line, to the host's own stdout or stderr, which
//! the engine captures. A line that belongs to an invocation starts with [`INVOCATION_MARK`]`inv=`,
//! the invocation's id, and [`INVOCATION_MARK`] again: `\u{1e}inv=0198f2c1-…\u{1e}text`. Readers of
//! logs see the text and the id apart ([`split_invocation`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Stands around the invocation's id at the start of a line (ASCII record separator).
pub const INVOCATION_MARK: char = '\u{1e}';

/// What follows the first mark.
const INVOCATION_PREFIX: &str = "inv=";

/// The longest invocation id that is read, in bytes.
const MAX_INVOCATION_ID: usize = 128;

/// Everything that a function runtime needs to serve one service of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Name of the node.
    pub node: String,
    /// The tenant.
    pub namespace: String,
    /// Name of the application.
    pub application: String,
    /// Name of the service: the route key.
    pub service: String,
    /// Revision of the application, for the runtime's Hello.
    pub revision: u64,
    /// What exactly runs within the revision, for the runtime's Hello; at most 63 characters. Empty
    /// where releases share the file: the host then takes it from `BAETYL_RELEASE`. Not written
    /// then, so that hosts from before it was there read the file too.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// Identity of this instance, new at each start. Empty where instances share the file: the host
    /// then takes it from `BAETYL_INSTANCE_ID`.
    pub instance: String,
    /// Which language: `python3` or `node`.
    pub runtime: String,
    /// The functions, at least one; the first one is the default.
    pub functions: Vec<RuntimeFunction>,
    /// Absolute path of the folder with the code. Shared and read-only.
    pub code_folder: PathBuf,
    /// Absolute path of the instance's own folder; the host starts in it.
    pub working_folder: PathBuf,
    /// Workers, each running one call at a time: 1 to 64.
    pub workers: u32,
    /// The longest that a call may take, in milliseconds; a caller's shorter deadline wins.
    pub timeout_ms: u64,
    /// How long the host may take to finish its calls after SIGTERM, in milliseconds.
    pub stop_grace_ms: u64,
    /// Where the proxy is: `unix:/path` or `address:port`.
    pub attach: String,
    /// Folder with `tls.crt` (chain), `tls.key` and `ca.crt`, PEM. The files are switched together
    /// when they are renewed; read them at each connection.
    pub certificate_folder: PathBuf,
    /// Exists while the runtime can serve.
    pub ready_file: PathBuf,
    /// Names of variables in the host's own environment that workers get; their values are in no
    /// file. Workers get nothing else but `PATH` and what the host adds.
    pub worker_environment: Vec<String>,
    /// Ports of the service by name, as in `BAETYL_PORT_<NAME>`.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
}

/// One function of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeFunction {
    /// Its name.
    pub name: String,
    /// `module.function`, the module a file in the code folder without its ending; folders are
    /// separated by `/`.
    pub handler: String,
}

impl RuntimeConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// The text is not the document, or has a field that this program does not know.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// Writes the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are always json")
    }
}

/// Marks a line of output as belonging to an invocation.
#[must_use]
pub fn mark_invocation(invocation_id: &str, text: &str) -> String {
    format!("{INVOCATION_MARK}{INVOCATION_PREFIX}{invocation_id}{INVOCATION_MARK}{text}")
}

/// Splits a line into the invocation's id, if it carries one, and its text.
#[must_use]
pub fn split_invocation(line: &str) -> (Option<&str>, &str) {
    let marked = line
        .strip_prefix(INVOCATION_MARK)
        .and_then(|rest| rest.strip_prefix(INVOCATION_PREFIX))
        .and_then(|rest| rest.split_once(INVOCATION_MARK));
    match marked {
        Some((id, text)) if id.len() <= MAX_INVOCATION_ID => (Some(id), text),
        _ => (None, line),
    }
}

#[cfg(test)]
mod tests;
