//! Settings of core.

use std::path::PathBuf;
use std::time::Duration;

use baetyl_service_kit::backoff::Bounds;
use baetyl_service_kit::config::{ConfigError, HumanDuration};
use baetyl_service_kit::fault::Violation;
use baetyl_service_kit::serve::Address;
use serde::{Deserialize, Serialize};

mod kube;

pub use kube::KubeConfig;

/// Certificates of local services and workloads live at least this long.
const LEAST_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// And at most this long.
const MOST_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What becomes of the applications when core is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// They go on; the next core adopts them.
    #[default]
    LeaveRunning,
    /// They are stopped in good order; the next core starts them again.
    StopAll,
}

/// Settings of core; every one has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of everything that core writes. Default `/var/lib/baetyl`.
    pub data_folder: PathBuf,
    /// Folder with the identity that activation wrote. Default `identity` in the data folder.
    pub identity_folder: Option<PathBuf>,
    /// Folder with what other processes of the node need: the authority's certificate, the edge
    /// token, credentials of the local services. Default `local` in the data folder.
    pub local_folder: Option<PathBuf>,
    /// File that seals the store's secrets. Default `core.key` in the data folder; better on
    /// another medium.
    pub key_file: Option<PathBuf>,
    /// Where the local API listens. Default `127.0.0.1:9010`.
    pub listen: Address,
    /// Where the function service takes its routes: `https://127.0.0.1:9011` or `unix:path`.
    /// Default none: no functions on this node; `baetyl core` takes `https://127.0.0.1:9011`
    /// instead, and `none` for none.
    pub function_address: Option<String>,
    /// Where function runtimes attach: `unix:path` or `address:port`. Default
    /// `unix:<data folder>/function/attach.sock`.
    pub function_attach: Option<String>,
    /// The cluster that runs the applications. Default none: they are processes of this machine.
    pub kube: Option<KubeConfig>,
    /// Where metrics and probes are read. Default nowhere.
    pub admin: Option<Address>,
    /// What becomes of the applications at SIGTERM. Default `leave_running`.
    pub stop_mode: StopMode,
    /// How long certificates of local services and workloads live, 10m to 90d; they are renewed
    /// after two thirds of it. Default 7d.
    pub certificate_lifetime: HumanDuration,
    /// Upper bound of the delay between two attempts to reach the cloud. Default 30s.
    pub reconnect_cap: HumanDuration,
    /// How long core may take to end. Default 20s.
    pub drain_deadline: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_folder: PathBuf::from("/var/lib/baetyl"),
            identity_folder: None,
            local_folder: None,
            key_file: None,
            listen: Address::Tcp(([127, 0, 0, 1], 9010).into()),
            function_address: None,
            function_attach: None,
            kube: None,
            admin: None,
            stop_mode: StopMode::LeaveRunning,
            certificate_lifetime: HumanDuration::from_secs(7 * 24 * 60 * 60),
            reconnect_cap: HumanDuration::from_secs(30),
            drain_deadline: HumanDuration::from_secs(20),
        }
    }
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut violations = Vec::new();
        let mut wrong = |field: &str, reason: &str, description: String| {
            violations.push(Violation::new(field, reason, description));
        };
        if self.data_folder.as_os_str().is_empty() {
            wrong("data_folder", "REQUIRED", "must not be empty".to_owned());
        }
        for (field, address) in [
            ("listen", Some(&self.listen)),
            ("admin", self.admin.as_ref()),
        ] {
            if let Some(Address::Tcp(address)) = address
                && !address.ip().is_loopback()
            {
                let description = format!("must be a loopback address or unix:path, got {address}");
                wrong(field, "NOT_LOOPBACK", description);
            }
        }
        if let Some(address) = &self.function_address
            && !address.starts_with("https://")
            && !address.starts_with("unix:")
        {
            let description = format!("must be https://host:port or unix:path, got {address:?}");
            wrong("function_address", "INVALID", description);
        }
        let lifetime = self.certificate_lifetime.0;
        if !(LEAST_LIFETIME..=MOST_LIFETIME).contains(&lifetime) {
            let description = format!("must be 10m to 90d, got {}", self.certificate_lifetime);
            wrong("certificate_lifetime", "OUT_OF_BOUNDS", description);
        }
        for (field, duration) in [
            ("reconnect_cap", self.reconnect_cap),
            ("drain_deadline", self.drain_deadline),
        ] {
            if duration.0.is_zero() {
                wrong(field, "OUT_OF_BOUNDS", "must not be zero".to_owned());
            }
        }
        if let Some(kube) = &self.kube {
            kube.check(&mut wrong);
        }
        ConfigError::check(violations)
    }

    /// Folder with the identity.
    #[must_use]
    pub fn identity_folder(&self) -> PathBuf {
        let default = || self.data_folder.join("identity");
        self.identity_folder.clone().unwrap_or_else(default)
    }

    /// Folder with what other processes of the node need.
    #[must_use]
    pub fn local_folder(&self) -> PathBuf {
        let default = || self.data_folder.join("local");
        self.local_folder.clone().unwrap_or_else(default)
    }

    /// File that seals the store's secrets.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        let default = || self.data_folder.join("core.key");
        self.key_file.clone().unwrap_or_else(default)
    }

    /// The file of the edge store.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.data_folder.join("core.redb")
    }

    /// Folder of the applications and their instances.
    #[must_use]
    pub fn applications_folder(&self) -> PathBuf {
        self.data_folder.join("applications")
    }

    /// Where function runtimes attach.
    #[must_use]
    pub fn function_attach(&self) -> String {
        let default = || {
            let socket = self.data_folder.join("function").join("attach.sock");
            let socket = std::path::absolute(&socket).unwrap_or(socket);
            format!("unix:{}", socket.display())
        };
        self.function_attach.clone().unwrap_or_else(default)
    }

    pub(crate) fn reconnect(&self) -> Bounds {
        let bounds = Bounds::default();
        Bounds {
            initial: bounds.initial.min(self.reconnect_cap.0),
            cap: self.reconnect_cap.0,
            ..bounds
        }
    }
}

#[cfg(test)]
mod tests;
