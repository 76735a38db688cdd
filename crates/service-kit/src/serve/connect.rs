//! Channels to servers: over TCP, Unix sockets or an injected network, with or without TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::{Address, BoxIo, MAX_HEADER_LIST_BYTES};
use crate::fault::Fault;
use crate::tls::{Identity, Roots, TlsError, client_config};

/// Opens the bytes of a connection: the seam where tests and simulations put their own network.
pub type Dialer = Arc<dyn Fn() -> BoxFuture<'static, io::Result<BoxIo>> + Send + Sync>;

/// Makes the TLS configuration of each connection anew, so that replaced certificates hold from the
/// next one on.
pub type TlsProvider = Arc<dyn Fn() -> Arc<ClientConfig> + Send + Sync>;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `http://host:port`, `https://host:port` or `unix:path`.
    #[error("{0:?} is not http://host:port, https://host:port or unix:path")]
    Address(String),
    /// The address says TLS and there is nothing to trust, or the reverse.
    #[error("{uri} {problem}")]
    Tls {
        /// The address.
        uri: String,
        /// What does not fit.
        problem: &'static str,
    },
    /// The name of the server cannot be verified.
    #[error(transparent)]
    Name(#[from] TlsError),
    /// The server cannot be reached, or the handshake failed.
    #[error("cannot connect to {uri}")]
    Unreachable {
        /// The address.
        uri: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

impl Fault for ConnectError {
    fn code(&self) -> Code {
        match self {
            Self::Address(_) | Self::Tls { .. } | Self::Name(_) => Code::InvalidArgument,
            Self::Unreachable { .. } => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "CONNECT_ADDRESS",
            Self::Tls { .. } => "CONNECT_TLS",
            Self::Name(error) => error.reason(),
            Self::Unreachable { .. } => "CONNECT_UNREACHABLE",
        }
    }
}

/// A server to call.
#[derive(Clone)]
pub struct Target {
    uri: Uri,
    dialer: Dialer,
    tls: Option<(TlsProvider, ServerName<'static>)>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("uri", &self.uri)
            .field("is_encrypted", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A server without TLS: `http://host:port` or `unix:path`.
    ///
    /// # Errors
    /// The address is malformed, or says `https`.
    pub fn plain(address: &str) -> Result<Self, ConnectError> {
        let (uri, dialer) = parse(address)?;
        if uri.scheme_str() == Some("https") {
            return Err(ConnectError::Tls {
                uri: address.to_owned(),
                problem: "needs TLS, and nothing to trust was given",
            });
        }
        Ok(Self {
            uri,
            dialer,
            tls: None,
        })
    }

    /// A server with TLS: `https://host:port` or `unix:path`. The certificate must be for
    /// `server_name`, or for the host of the address without one; over a Unix socket the name must
    /// be given.
    ///
    /// # Errors
    /// The address or the name is malformed, or the address says `http`.
    pub fn encrypted(
        address: &str,
        server_name: Option<&str>,
        tls: TlsProvider,
    ) -> Result<Self, ConnectError> {
        let (uri, dialer) = parse(address)?;
        let is_unix = address.starts_with(UNIX_PREFIX);
        let problem = if !is_unix && uri.scheme_str() != Some("https") {
            Some("is without TLS, and certificates were given")
        } else if is_unix && server_name.is_none() {
            Some("needs the name of the server")
        } else {
            None
        };
        if let Some(problem) = problem {
            let uri = address.to_owned();
            return Err(ConnectError::Tls { uri, problem });
        }
        let host = uri.host().unwrap_or_default();
        let name = server_name.unwrap_or_else(|| host.trim_matches(['[', ']']));
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::ServerName(name.to_owned()))?;
        Ok(Self {
            uri,
            dialer,
            tls: Some((tls, name)),
        })
    }

    /// The provider for certificates that are replaced in place.
    #[must_use]
    pub fn tls(roots: Roots, identity: Option<Identity>) -> TlsProvider {
        Arc::new(move || client_config(&roots, identity.as_ref()))
    }

    /// Dials another way; the address still names the server.
    #[must_use]
    pub fn dialed_by(mut self, dialer: Dialer) -> Self {
        self.dialer = dialer;
        self
    }

    /// The address of requests.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    async fn open(self) -> io::Result<TokioIo<BoxIo>> {
        let io = (self.dialer)().await?;
        let Some((provider, name)) = self.tls else {
            return Ok(TokioIo::new(io));
        };
        let stream = TlsConnector::from(provider()).connect(name, io).await?;
        Ok(TokioIo::new(Box::new(stream)))
    }
}

const UNIX_PREFIX: &str = "unix:";

fn parse(address: &str) -> Result<(Uri, Dialer), ConnectError> {
    let malformed = || ConnectError::Address(address.to_owned());
    if address.starts_with(UNIX_PREFIX) {
        let Ok(Address::Unix(path)) = address.parse() else {
            return Err(malformed());
        };
        return Ok((Uri::from_static("http://localhost"), unix_dialer(path)));
    }
    let uri: Uri = address.parse().map_err(|_| malformed())?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(malformed()),
    };
    let Some(host) = uri.host().filter(|_| is_bare) else {
        return Err(malformed());
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    let dialer = tcp_dialer(host, uri.port_u16().unwrap_or(default_port));
    Ok((uri, dialer))
}

fn tcp_dialer(host: String, port: u16) -> Dialer {
    Arc::new(move || {
        let host = host.clone();
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxIo)
        }
        .boxed()
    })
}

fn unix_dialer(path: PathBuf) -> Dialer {
    Arc::new(move || {
        let path = path.clone();
        async move { Ok(Box::new(UnixStream::connect(path).await?) as BoxIo) }.boxed()
    })
}

/// Bounds of a channel.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// How long connecting, with the handshake, may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a call may take when it sets no deadline itself. Default none, since it would end
    /// long streams too.
    pub timeout: Option<Duration>,
    /// How often a connection is pinged, idle or not. Default 20 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection is given up. Default 10 s.
    pub keepalive_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: None,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// Connects now. The channel connects again by itself when the connection breaks.
///
/// # Errors
/// The server cannot be reached within [`ConnectOptions::connect_timeout`], or one side did not
/// accept the other's certificate. TLS 1.3 clients learn that they were refused only with the first
/// call.
pub async fn connect(target: &Target, options: &ConnectOptions) -> Result<Channel, ConnectError> {
    let dialed = target.clone();
    let connector = service_fn(move |_: Uri| dialed.clone().open());
    endpoint(target, options)
        .connect_with_connector(connector)
        .await
        .map_err(|source| ConnectError::Unreachable {
            uri: target.uri.to_string(),
            source,
        })
}

/// Connects with the first call, and again whenever the connection broke.
#[must_use]
pub fn connect_lazy(target: &Target, options: &ConnectOptions) -> Channel {
    let dialed = target.clone();
    let connector = service_fn(move |_: Uri| dialed.clone().open());
    endpoint(target, options).connect_with_connector_lazy(connector)
}

fn endpoint(target: &Target, options: &ConnectOptions) -> Endpoint {
    // tonic refuses `https` where it does not do the TLS itself; the connector does it here.
    let mut parts = target.uri.clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    let uri = Uri::from_parts(parts).expect("only the scheme was changed");
    let endpoint = Endpoint::from(uri)
        .origin(target.uri.clone())
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES);
    match options.timeout {
        Some(timeout) => endpoint.timeout(timeout),
        None => endpoint,
    }
}
