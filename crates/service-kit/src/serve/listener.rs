//! Bound sockets that connections are accepted from.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use rustls::ServerConfig;
use tokio::net::{TcpListener, UnixListener};

use super::{Address, BoxIo, PeerAddress};

/// A source of connections: the seam where tests and simulations put their own network.
pub trait Accept: Send {
    /// Waits for the next connection. Must be cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, PeerAddress)>>;
}

/// A bound socket, perhaps under TLS.
pub struct Listener {
    pub(super) accept: Box<dyn Accept>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    address: Address,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.address)
            .field("is_encrypted", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds an address. A Unix socket gets mode 0600 (its folder should have 0700, since that
    /// comes a moment later), and replaces the file that a dead process left behind.
    ///
    /// # Errors
    /// The address is taken (a live process holds it) or may not be bound.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await?;
                let bound = Address::Tcp(listener.local_addr()?);
                Ok(Self::from_accept(Box::new(listener), bound))
            }
            Address::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                let socket = UnixSocket {
                    listener,
                    path: path.clone(),
                };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(Self::from_accept(Box::new(socket), address.clone()))
            }
        }
    }

    /// Wraps another source of connections.
    #[must_use]
    pub fn from_accept(accept: Box<dyn Accept>, address: Address) -> Self {
        Self {
            accept,
            tls: None,
            address,
        }
    }

    /// Puts every connection under TLS.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Where the listener is; with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, PeerAddress)>> {
        async {
            let (stream, address) = TcpListener::accept(self).await?;
            // Small frames must not wait for acknowledgements of earlier ones.
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxIo, PeerAddress::Tcp(address)))
        }
        .boxed()
    }
}

/// A listening Unix socket, whose file goes when it does.
struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A file that stays is found stale by the next start.
        std::fs::remove_file(&self.path).ok();
    }
}

impl Accept for UnixSocket {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, PeerAddress)>> {
        async {
            let (stream, _) = self.listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let address = PeerAddress::Unix {
                uid: credentials.uid(),
                pid: credentials.pid(),
            };
            Ok((Box::new(stream) as BoxIo, address))
        }
        .boxed()
    }
}

/// Removes a socket that nobody listens on; leaves anything else, for `bind` to refuse.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt as _;
            if std::fs::symlink_metadata(path)?.file_type().is_socket() {
                std::fs::remove_file(path)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
