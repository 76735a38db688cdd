//! How the control plane is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use baetyl_pki::{ServerName, TrustDomain};
use baetyl_service_kit::config::{ByteSize, ConfigError, HumanDuration};
use baetyl_service_kit::fault::Violation;
use baetyl_service_kit::serve::Address;
use serde::{Deserialize, Serialize};

use crate::sync::SyncOptions;

#[cfg(test)]
mod tests;

/// What resources and records are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A SQLite file in the data folder.
    #[default]
    Sqlite,
    /// Memory: everything is gone when the process ends.
    Memory,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Default `sqlite`.
    pub kind: StoreKind,
    /// The largest size of the database. Default none.
    pub max_size: Option<ByteSize>,
    /// The key file that everything secret is sealed under, 32 bytes, mode 0600; made when it is
    /// not there. Default `master.key` in the data folder; elsewhere is better.
    pub key_file: Option<PathBuf>,
}

/// The sync listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// How often a node says that it is alive. Default 10 s.
    pub heartbeat_interval: HumanDuration,
    /// How long a stream may be silent before the node counts as offline, at least twice the
    /// interval. Default 30 s.
    pub silence_timeout: HumanDuration,
    /// New streams a second on average, at least 1. Default 200.
    pub hello_rate: u32,
    /// New streams at once, at least 1. Default 400.
    pub hello_burst: u32,
}

impl Default for SyncConfig {
    fn default() -> Self {
        let options = SyncOptions::default();
        Self {
            heartbeat_interval: HumanDuration(options.heartbeat_interval),
            silence_timeout: HumanDuration(options.silence_timeout),
            hello_rate: options.hello_rate,
            hello_burst: options.hello_burst,
        }
    }
}

impl SyncConfig {
    /// The bounds of sessions.
    pub fn options(&self) -> SyncOptions {
        SyncOptions {
            heartbeat_interval: self.heartbeat_interval.0,
            silence_timeout: self.silence_timeout.0,
            hello_rate: self.hello_rate,
            hello_burst: self.hello_burst,
            ..SyncOptions::default()
        }
    }
}

/// How the control plane is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder; made with mode 0700 when it is not there. Default `baetyl-cloud`.
    pub data_folder: PathBuf,
    /// The store.
    pub store: StoreConfig,
    /// The API: people, programs, and devices that activate or renew. Default `0.0.0.0:9004`.
    pub listen: Address,
    /// The sync listener, over TCP. Default `0.0.0.0:9005`.
    pub sync_listen: Address,
    /// Metrics and probes, without authentication. Default `127.0.0.1:9090`; none turns it off.
    pub admin_listen: Option<Address>,
    /// Names and addresses under which the listeners are reached, best first: they stand in the
    /// server certificate, the first of them in join commands. `localhost` and the loopback
    /// addresses are always in the certificate. Default none: `localhost`, or the address that is
    /// listened on.
    pub names: Vec<String>,
    /// `host:port` of the API as devices reach it, best first, where it differs from `names`.
    pub api_addresses: Vec<String>,
    /// `host:port` of the sync listener as devices reach it, best first, where it differs from
    /// `names`.
    pub sync_addresses: Vec<String>,
    /// Serves the API without TLS; tokens travel readable. Default false.
    pub insecure: bool,
    /// Name of the installation in certificates; fixed at the first start. Default `baetyl.local`.
    pub trust_domain: String,
    /// Life of a node's certificate, 1 h to 2 y. Default 90 days.
    pub certificate_lifetime: HumanDuration,
    /// The sync listener's bounds.
    pub sync: SyncConfig,
    /// How long draining may take. Default 10 s.
    pub drain_timeout: HumanDuration,
}

const DAY: u64 = 24 * 60 * 60;

impl Default for Config {
    fn default() -> Self {
        let address = |text: &str| text.parse().expect("the default is an address");
        Self {
            data_folder: PathBuf::from("baetyl-cloud"),
            store: StoreConfig::default(),
            listen: address("0.0.0.0:9004"),
            sync_listen: address("0.0.0.0:9005"),
            admin_listen: Some(address("127.0.0.1:9090")),
            names: Vec::new(),
            api_addresses: Vec::new(),
            sync_addresses: Vec::new(),
            insecure: false,
            trust_domain: "baetyl.local".to_owned(),
            certificate_lifetime: HumanDuration::from_secs(90 * DAY),
            sync: SyncConfig::default(),
            drain_timeout: HumanDuration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks what single values cannot say.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut violations = Vec::new();
        let mut wrong = |field: &str, description: &str| {
            violations.push(Violation::new(field, "INVALID", description));
        };
        if self.data_folder.as_os_str().is_empty() {
            wrong("data_folder", "must name a folder");
        }
        if matches!(self.sync_listen, Address::Unix(_)) {
            wrong(
                "sync_listen",
                "must be an address and port: nodes come over the network",
            );
        }
        if self.trust_domain.parse::<TrustDomain>().is_err() {
            wrong(
                "trust_domain",
                "must be 1 to 255 of a-z, 0-9, `-`, `.` and `_`",
            );
        }
        let lifetime = self.certificate_lifetime.0;
        if lifetime < Duration::from_secs(60 * 60) || lifetime > Duration::from_secs(730 * DAY) {
            wrong("certificate_lifetime", "must be 1 h to 730 days");
        }
        let sync = &self.sync;
        if sync.heartbeat_interval.0 < Duration::from_secs(1) {
            wrong("sync.heartbeat_interval", "must be at least 1 s");
        }
        if sync.silence_timeout.0 < sync.heartbeat_interval.0 * 2 {
            wrong(
                "sync.silence_timeout",
                "must be at least twice the heartbeat interval",
            );
        }
        if sync.hello_rate == 0 || sync.hello_burst == 0 {
            wrong("sync.hello_rate", "rate and burst must be at least 1");
        }
        for (index, name) in self.names.iter().enumerate() {
            if name.parse::<IpAddr>().is_err() && ServerName::try_from(name.as_str()).is_err() {
                wrong(
                    &format!("names[{index}]"),
                    "is neither a host name nor an address",
                );
            }
        }
        for (field, addresses) in [
            ("api_addresses", &self.api_addresses),
            ("sync_addresses", &self.sync_addresses),
        ] {
            for (index, address) in addresses.iter().enumerate() {
                let port = address
                    .rsplit_once(':')
                    .map(|(_, port)| port.parse::<u16>());
                if !matches!(port, Some(Ok(1..))) {
                    wrong(&format!("{field}[{index}]"), "must be host:port");
                }
            }
        }
        ConfigError::check(violations)
    }

    /// The key file.
    pub fn key_file(&self) -> PathBuf {
        let named = self.store.key_file.clone();
        named.unwrap_or_else(|| self.data_folder.join("master.key"))
    }
}
