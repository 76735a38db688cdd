//! Where systems are and how to show oneself there: the configuration file of the command line.
//!
//! `~/.config/baetyl/config.yaml`, or the file in `BAETYL_CONFIG`, mode 0600 since it holds tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baetyl_pki::files;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The configuration file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Contexts {
    /// Name of the context in use.
    pub(crate) current: String,
    /// All contexts.
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One system: a control plane, and perhaps the services of one node.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Context {
    /// Address of the control plane, `https://host:port`.
    pub(crate) cloud: String,
    /// Authority of the control plane, PEM.
    pub(crate) ca: String,
    /// Bearer token for the control plane.
    pub(crate) token: String,
    /// Tenant; `default` when empty.
    pub(crate) namespace: String,
    /// Address of a node's core.
    pub(crate) core: String,
    /// Address of a node's function service.
    pub(crate) function: String,
    /// REST in front of the control plane, for curl; the command line does not use it.
    pub(crate) gateway: String,
    /// REST on that node, for curl.
    pub(crate) edge_gateway: String,
    /// Authority of that node, PEM.
    pub(crate) edge_ca: String,
    /// Edge token of that node.
    pub(crate) edge_token: String,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("cloud", &self.cloud)
            .field("namespace", &self.namespace)
            .field("core", &self.core)
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

/// Path of the configuration file.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("BAETYL_CONFIG") {
        return Ok(PathBuf::from(path));
    }
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    let folder = folder.ok_or_else(|| {
        Failure::usage("there is no home folder: set BAETYL_CONFIG to a file".to_owned())
    })?;
    Ok(folder.join("baetyl/config.yaml"))
}

impl Contexts {
    /// Reads the file; empty when there is none.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = files::read_private(path).map_err(Failure::local)?;
        let text = String::from_utf8_lossy(&text);
        serde_saphyr::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
    }

    /// Writes the file whole, with mode 0600.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Failure::local)?;
        }
        let text = serde_saphyr::to_string(self).map_err(Failure::local)?;
        files::write_private(path, text.as_bytes()).map_err(Failure::local)
    }

    /// The context by name, or the current one.
    pub(crate) fn choose(&self, name: Option<&str>) -> Result<&Context, Failure> {
        let name = name.unwrap_or(&self.current);
        self.contexts.get(name).ok_or_else(|| {
            Failure::usage(if self.contexts.is_empty() {
                "there is no context yet: run `baetyl up`, or `baetyl context set`".to_owned()
            } else {
                let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
                format!(
                    "there is no context {name:?}; there are: {}",
                    known.join(", ")
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn when_contexts_are_stored_then_they_read_the_same_and_are_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/config.yaml");
        let ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let context = Context {
            cloud: "https://127.0.0.1:9004".to_owned(),
            ca: ca.to_owned(),
            token: "bt_canary".to_owned(),
            ..Context::default()
        };
        let contexts = Contexts {
            current: "local".to_owned(),
            contexts: BTreeMap::from([("local".to_owned(), context)]),
        };

        contexts.store(&path).expect("stored");

        let read = Contexts::load(&path).expect("read");
        let context = read.choose(None).expect("there");
        assert_eq!(context.ca, ca);
        assert!(!format!("{context:?}").contains("canary"));
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn when_there_is_no_context_then_the_message_says_what_to_do() {
        let failure = Contexts::default().choose(None).expect_err("none");

        assert!(failure.to_string().contains("baetyl up"), "{failure}");
    }
}
