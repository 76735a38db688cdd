//! One accepted connection: its bytes and who is at the other end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected byte stream of any kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream whose kind was forgotten.
pub type BoxIo = Box<dyn Io>;

/// Where a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket; the kernel vouches for these.
    Unix {
        /// User id of the process that connected.
        uid: u32,
        /// Its process id, where the system tells.
        pid: Option<i32>,
    },
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { uid, pid } => match pid {
                Some(pid) => write!(f, "unix:uid={uid},pid={pid}"),
                None => write!(f, "unix:uid={uid}"),
            },
        }
    }
}

/// Who is at the other end; in the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where the connection came from.
    pub address: PeerAddress,
    /// Whether the connection is under TLS.
    pub is_encrypted: bool,
    /// The verified chain of the client, leaf first; empty when it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

impl Peer {
    /// The peer of a connection without TLS.
    #[must_use]
    pub fn plain(address: PeerAddress) -> Self {
        Self {
            address,
            is_encrypted: false,
            certificates: Arc::new([]),
        }
    }

    /// The client's own certificate, when it showed one.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificates.first()
    }
}
