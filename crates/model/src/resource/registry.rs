//! Credentials of an image registry: the password is kept on update unless replaced, and never
//! read.

use baetyl_proto::resource::v1 as pb;
use prost::bytes::Bytes;

use super::{Rules, resource, salt};
use crate::id::Kind;
use crate::violation::{Check, Path, reason};

/// The longest address, in characters.
const MAX_ADDRESS: usize = 255;

/// The longest name of a user, in bytes.
const MAX_USERNAME: usize = 256;

/// The longest password, in bytes: tokens of clouds are long.
const MAX_PASSWORD: usize = 16 * 1024;

resource!(
    /// Checked credentials of an image registry.
    Registry,
    pb::Registry
);

impl Registry {
    /// Returns whether both hold the same; the salt does not count.
    pub fn is_same_spec(&self, other: &Self) -> bool {
        let unsalted = |registry: &Self| pb::Registry {
            salt: Bytes::new(),
            ..registry.message.clone()
        };
        unsalted(self) == unsalted(other)
    }

    /// Draws a new salt, as each revision has its own.
    #[must_use]
    pub fn salted(mut self) -> Self {
        self.message.salt = salt::draw();
        self
    }

    /// Returns what people read: all but the password.
    pub fn view(self) -> pb::Registry {
        pb::Registry {
            password: String::new(),
            salt: Bytes::new(),
            ..self.message
        }
    }
}

impl Rules for pb::Registry {
    const KIND: Kind = Kind::Registry;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        self.salt.clear();
        if let Some(before) = before
            && self.password.is_empty()
        {
            self.password.clone_from(&before.password);
        }
        let root = Path::root();
        check_address(&self.address, &root.field("address"), check);

        let path = root.field("username");
        if self.username.is_empty() {
            check.add(&path, reason::REQUIRED, "must be set");
        }
        check.bytes(&path, self.username.len(), MAX_USERNAME);
        if self.username.contains(':') || self.username.chars().any(char::is_control) {
            // `user:password` is how it is sent (RFC 7617).
            let description = "must have neither `:` nor control characters";
            check.add(&path, reason::INVALID_FORMAT, description);
        }

        let path = root.field("password");
        if self.password.is_empty() {
            check.add(&path, reason::REQUIRED, "must be set");
        }
        check.bytes(&path, self.password.len(), MAX_PASSWORD);
        if self.password.chars().any(char::is_control) {
            let description = "must have no control characters, such as a line end";
            check.add(&path, reason::INVALID_FORMAT, description);
        }
    }
}

/// Host with an optional port and path, as in the names of images.
fn check_address(address: &str, path: &Path, check: &mut Check) {
    if address.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return;
    }
    check.bytes(path, address.len(), MAX_ADDRESS);
    if address.contains("://") {
        let description = "must be a host without a scheme, such as registry.example.com:5000";
        check.add(path, reason::INVALID_FORMAT, description);
        return;
    }
    let (place, folder) = match address.split_once('/') {
        Some((place, folder)) => (place, Some(folder)),
        None => (address, None),
    };
    if let Some(problem) = place_problem(place) {
        check.add(path, reason::INVALID_FORMAT, problem);
    }
    let is_part = |part: &str| {
        let may_stand =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        !part.is_empty() && part.bytes().all(may_stand) && part != "." && part != ".."
    };
    if folder.is_some_and(|folder| !folder.split('/').all(is_part)) {
        let description = "the path may have lower-case letters, digits, `-`, `_` and `.`, \
                           separated by single `/`";
        check.add(path, reason::INVALID_FORMAT, description);
    }
}

/// What is wrong with `host` or `host:port`.
fn place_problem(place: &str) -> Option<&'static str> {
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((inner, rest)) => {
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return Some("what stands in `[` and `]` must be an IPv6 address");
            }
            let port = rest.strip_prefix(':');
            if port.is_none() && !rest.is_empty() {
                return Some("after `]` there may be a port only");
            }
            (None, port)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(place), None),
        },
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        bytes.len() <= 63
            && bytes.iter().all(is_plain)
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    if host.is_some_and(|host| !host.split('.').all(is_label)) {
        return Some("the host must be a DNS name or an IP address");
    }
    let is_port = |port: &str| {
        let is_digits = port.bytes().all(|byte| byte.is_ascii_digit());
        is_digits && port.parse::<u16>().is_ok_and(|number| number > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Some("the port must be 1 to 65535");
    }
    None
}
