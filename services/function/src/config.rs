//! Configuration of the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use baetyl_service_kit::config::{ByteSize, ConfigError, HumanDuration};
use baetyl_service_kit::fault::Violation;
use baetyl_service_kit::serve::{Address, AddressError};
use serde::{Deserialize, Serialize};

use crate::app::endpoint::MAX_SLOTS;
use crate::app::route::{MAX_QUEUE, MAX_TIMEOUT, check_functions, is_name};

/// Port of the invocation listener.
pub const PORT: u16 = 9011;

/// Everything that can be set. Durations are written `5s`, sizes `64Mi`, addresses
/// `127.0.0.1:9011` or `unix:/run/function.sock`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where functions are invoked. Default `127.0.0.1:9011`.
    pub listen: Address,
    /// Where the runtimes of this node attach. Default `unix:<data_folder>/attach.sock`.
    pub attach: Option<Address>,
    /// Where runtimes of other machines attach, usually port 9012. Default nowhere.
    pub attach_remote: Option<Address>,
    /// Where metrics and probes are read. Default nowhere.
    pub admin: Option<Address>,
    /// Where the route table is kept. Made with mode 0700 when it is not there. Default
    /// `/var/lib/baetyl/function`.
    pub data_folder: PathBuf,
    /// File with the edge token, mode 0600. Default none: only certificates are accepted.
    pub edge_token_file: Option<PathBuf>,
    /// Whether the edge token may attach runtimes, for development. Default no.
    pub allow_token_attach: bool,
    /// Calls of one service that may wait for a slot when its route does not say, at most 65536.
    /// Default 1024.
    pub queue_limit: u32,
    /// Payload of one service that may wait for a slot. Default `64Mi`.
    pub queue_bytes: ByteSize,
    /// How long calls wait when no runtime is ready, for example while it restarts; `0s` fails
    /// them at once. At most `24h`. Default `1s`.
    pub runtime_wait: HumanDuration,
    /// Runtimes of one service at the same time. Default 256.
    pub max_endpoints: u32,
    /// How often either end of an attached stream speaks at least. Default `3s`.
    pub heartbeat_interval: HumanDuration,
    /// How long a runtime may be silent, at least two heartbeats, at most `24h`. Default `10s`.
    pub lease_duration: HumanDuration,
    /// Servers of `faas.Function` that are always there.
    pub addresses: Vec<StaticAddress>,
}

/// A server of `faas.Function` that is always there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticAddress {
    /// Name of the service.
    pub service: String,
    /// `http://127.0.0.1:port`, or `unix:/path`.
    pub address: String,
    /// Names of the functions, the first one is the default. None lets callers choose.
    pub functions: Vec<String>,
    /// Calls that it takes at the same time, 1 to 1024. Default 16.
    pub slots: u32,
    /// The longest that a call may take, at most `24h`. Default `60s`.
    pub timeout: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))),
            attach: None,
            attach_remote: None,
            admin: None,
            data_folder: PathBuf::from("/var/lib/baetyl/function"),
            edge_token_file: None,
            allow_token_attach: false,
            queue_limit: 1024,
            queue_bytes: ByteSize::mebibytes(64),
            runtime_wait: HumanDuration::from_secs(1),
            max_endpoints: 256,
            heartbeat_interval: HumanDuration::from_secs(3),
            lease_duration: HumanDuration::from_secs(10),
            addresses: Vec::new(),
        }
    }
}

impl Default for StaticAddress {
    fn default() -> Self {
        Self {
            service: String::new(),
            address: String::new(),
            functions: Vec::new(),
            slots: 16,
            timeout: HumanDuration::from_secs(60),
        }
    }
}

impl Config {
    /// Where the runtimes of this node attach.
    ///
    /// # Errors
    /// The default path is too long for a socket.
    pub fn attach_address(&self) -> Result<Address, AddressError> {
        match &self.attach {
            Some(address) => Ok(address.clone()),
            None => Address::unix(self.data_folder.join("attach.sock")),
        }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut violations = Vec::new();
        let mut report = |field: &str, description: &str| {
            violations.push(Violation::new(field, "OUT_OF_BOUNDS", description));
        };
        if self.queue_limit > MAX_QUEUE {
            report("queue_limit", "must be at most 65536");
        }
        if self.max_endpoints == 0 {
            report("max_endpoints", "must be at least 1");
        }
        if self.heartbeat_interval.0.is_zero() {
            report("heartbeat_interval", "must not be zero");
        }
        if self.lease_duration.0 < self.heartbeat_interval.0 * 2 {
            report(
                "lease_duration",
                "must be at least twice the heartbeat interval",
            );
        }
        if self.lease_duration.0 > MAX_TIMEOUT {
            report("lease_duration", "must be at most 24h");
        }
        if self.runtime_wait.0 > MAX_TIMEOUT {
            report("runtime_wait", "must be at most 24h");
        }
        if let Err(error) = self.attach_address() {
            report("data_folder", &error.to_string());
        }
        for (index, each) in self.addresses.iter().enumerate() {
            each.check(&format!("addresses[{index}]"), &mut violations);
        }
        ConfigError::check(violations)
    }
}

impl StaticAddress {
    fn check(&self, at: &str, violations: &mut Vec<Violation>) {
        if !is_name(&self.service) {
            let description = "must be 1 to 63 of a-z, 0-9, - and .";
            violations.push(Violation::new(format!("{at}.service"), "NAME", description));
        }
        check_functions(
            self.functions.iter(),
            &format!("{at}.functions"),
            violations,
        );
        if self.slots == 0 || self.slots > MAX_SLOTS {
            let description = format!("must be between 1 and {MAX_SLOTS}");
            violations.push(Violation::new(
                format!("{at}.slots"),
                "OUT_OF_BOUNDS",
                description,
            ));
        }
        if self.timeout.0.is_zero() || self.timeout.0 > MAX_TIMEOUT {
            let field = format!("{at}.timeout");
            let description = "must be positive and at most 24h";
            violations.push(Violation::new(field, "OUT_OF_BOUNDS", description));
        }
    }
}

#[cfg(test)]
mod tests;
