//! What can be configured.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use baetyl_service_kit::config::{ByteSize, HumanDuration};
use baetyl_service_kit::fault::Violation;
use baetyl_service_kit::serve::Address;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::backend::Face;

/// The longest deadline that a caller may ask for; functions may run that long.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// How the gateway listens and what it lets through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Default 127.0.0.1, port 9080 in front of a cloud, 9081 on a node.
    pub listen: Option<Address>,
    /// How long an answer may take when the caller does not say; up to 1 h. Default 60 s.
    pub request_timeout: HumanDuration,
    /// The largest body of a request. Default 4 Mi.
    pub max_body: ByteSize,
    /// The largest body of a request that carries a set of documents. Default 16 Mi.
    pub max_apply_body: ByteSize,
    /// Requests at one time; more are refused with `OVERLOADED`. Default 512.
    pub max_requests: usize,
    /// Open streams at one time; more are refused with `OVERLOADED`. Default 1024.
    pub max_streams: usize,
    /// Origins whose pages may call the gateway, `https://example.org` or `*`. Default none.
    pub cors_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            request_timeout: HumanDuration::from_secs(60),
            max_body: ByteSize::mebibytes(4),
            max_apply_body: ByteSize::mebibytes(16),
            max_requests: 512,
            max_streams: 1024,
            cors_origins: Vec::new(),
        }
    }
}

impl Config {
    /// Where to listen.
    #[must_use]
    pub fn address(&self, face: Face) -> Address {
        let port = match face {
            Face::Cloud => 9080,
            Face::Edge => 9081,
        };
        let default = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        self.listen.clone().unwrap_or(default)
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut check = |is_right: bool, field: &str, problem: &str| {
            if !is_right {
                violations.push(Violation::new(field, "OUT_OF_BOUNDS", problem));
            }
        };
        let timeout = self.request_timeout.0;
        check(
            !timeout.is_zero() && timeout <= MAX_TIMEOUT,
            "request_timeout",
            "must be between 1ms and 1h",
        );
        let largest = ByteSize::mebibytes(32);
        let is_size = |size: ByteSize| size.0 > 0 && size <= largest;
        check(
            is_size(self.max_body),
            "max_body",
            "must be between 1 and 32Mi",
        );
        check(
            is_size(self.max_apply_body),
            "max_apply_body",
            "must be between 1 and 32Mi",
        );
        let is_count = |count: usize| (1..=65_536).contains(&count);
        check(
            is_count(self.max_requests),
            "max_requests",
            "must be between 1 and 65536",
        );
        check(
            is_count(self.max_streams),
            "max_streams",
            "must be between 1 and 65536",
        );
        for (index, origin) in self.cors_origins.iter().enumerate() {
            let is_origin = origin == "*" || origin.contains("://");
            check(
                is_origin && HeaderValue::from_str(origin).is_ok(),
                &format!("cors_origins[{index}]"),
                "must be an origin such as https://example.org, or *",
            );
        }
        violations
    }
}
