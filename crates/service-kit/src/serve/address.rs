//! Where a listener is: `127.0.0.1:9004`, `[::1]:0`, or `unix:/run/example.sock`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const UNIX_PREFIX: &str = "unix:";

/// Longest path of a socket: the kernel takes 107 bytes, macOS 103, and a margin for suffixes.
const MAX_SOCKET_PATH_BYTES: usize = 99;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket, at most 99 bytes.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither `address:port` nor `unix:path`.
    #[error("must be address:port or unix:path, got {0:?}")]
    Form(String),
    /// The path of a Unix socket is empty or too long.
    #[error("a socket's path must have 1 to {MAX_SOCKET_PATH_BYTES} bytes, got {0}")]
    PathLength(usize),
}

impl Address {
    /// An address with the given path of a Unix socket.
    ///
    /// # Errors
    /// The path is empty or longer than 99 bytes.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, AddressError> {
        let path = path.into();
        let length = path.as_os_str().len();
        if !(1..=MAX_SOCKET_PATH_BYTES).contains(&length) {
            return Err(AddressError::PathLength(length));
        }
        Ok(Self::Unix(path))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            return Self::unix(path);
        }
        let form = |_| AddressError::Form(text.chars().take(128).collect());
        text.parse().map(Self::Tcp).map_err(form)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
