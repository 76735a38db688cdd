//! The loop that accepts, shakes hands and serves, until draining ends it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use futures::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use opentelemetry::metrics::Counter;
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{BoxIo, Listener, MAX_HEADER_LIST_BYTES, Peer, PeerAddress};
use crate::shutdown::{OnCancel, Shutdown};

/// Pause after accepting failed, which is nearly always for want of file descriptors: closing
/// connections frees them, trying again at once burns a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which versions of HTTP are spoken where TLS does not negotiate one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 alone: gRPC.
    Http2,
    /// Found out from the first bytes.
    Auto,
}

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Default HTTP/2 alone.
    pub protocol: Protocol,
    /// Connections at one time; more wait in the kernel's queue. Default 4096.
    pub max_connections: usize,
    /// TLS handshakes at one time. Default 256.
    pub max_handshakes: usize,
    /// How long a handshake may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// Requests at one time on one connection. Default 1024.
    pub max_concurrent_streams: u32,
    /// How often a quiet connection is pinged. Default 20 s.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take before the connection is closed. Default 10 s.
    pub keepalive_timeout: Duration,
    /// How long an HTTP/1 client may take to send its headers. Default 10 s.
    pub header_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http2,
            max_connections: 4096,
            max_handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            max_concurrent_streams: 1024,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves `router` on `listener` until draining begins; then stops accepting and tells each
/// connection to finish what is in flight. Connections are tasks of `shutdown`, so that
/// [`Shutdown::drain`] waits for them and drops them at its deadline.
///
/// To be spawned with [`OnCancel::Wait`], or awaited.
pub async fn serve(
    mut listener: Listener,
    router: Router,
    options: ServeOptions,
    shutdown: Shutdown,
) {
    let address = listener.address().to_string();
    tracing::info!(address, is_encrypted = listener.tls.is_some(), "listening");
    let server = Arc::new(Server {
        http: http_builder(&options, &shutdown),
        router,
        tls: listener.tls.take(),
        handshakes: Semaphore::new(options.max_handshakes),
        handshake_timeout: options.handshake_timeout,
        shutdown: shutdown.clone(),
    });
    let connections = Arc::new(Semaphore::new(options.max_connections));
    loop {
        // Both arms are cancel safe: a connection that was not accepted stays in the queue.
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => break,
            accepted = next(&mut listener, &connections) => accepted,
        };
        match accepted {
            Ok((io, peer, permit)) => {
                let server = server.clone();
                let connection = contained(async move {
                    server.connection(io, peer).await;
                    drop(permit);
                });
                shutdown.spawn("connection", OnCancel::Wait, connection);
            }
            Err(error) => {
                tracing::warn!(address, error = %error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tracing::info!(address, "stopped listening");
}

async fn next(
    listener: &mut Listener,
    connections: &Arc<Semaphore>,
) -> io::Result<(BoxIo, PeerAddress, OwnedSemaphorePermit)> {
    let permit = connections
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (io, address) = listener.accept.accept().await?;
    Ok((io, address, permit))
}

struct Server {
    http: auto::Builder<Tracked>,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    handshakes: Semaphore,
    handshake_timeout: Duration,
    shutdown: Shutdown,
}

impl Server {
    async fn connection(&self, io: BoxIo, address: PeerAddress) {
        let Some(config) = &self.tls else {
            return self.http(io, Peer::plain(address)).await;
        };
        let shaken = tokio::select! {
            () = self.shutdown.draining() => return,
            shaken = self.handshake(config, io, address) => shaken,
        };
        match shaken {
            Ok((io, peer)) => self.http(io, peer).await,
            Err(error) => {
                HANDSHAKE_FAILURES.add(1, &[]);
                let source = error.get_ref().and_then(|error| error.downcast_ref());
                if let Some(rustls::Error::InvalidCertificate(_)) = source {
                    // Somebody showed a certificate that does not count here: a person must know.
                    tracing::warn!(peer.address = %address, error = %error, "certificate refused");
                } else {
                    tracing::debug!(peer.address = %address, error = %error, "tls handshake failed");
                }
            }
        }
    }

    async fn handshake(
        &self,
        config: &Arc<ServerConfig>,
        io: BoxIo,
        address: PeerAddress,
    ) -> io::Result<(BoxIo, Peer)> {
        let _permit = self
            .handshakes
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let accepting = TlsAcceptor::from(config.clone()).accept(io);
        let stream = tokio::time::timeout(self.handshake_timeout, accepting)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "took too long"))??;
        let certificates = match stream.get_ref().1.peer_certificates() {
            Some(chain) => chain.iter().map(|each| each.clone().into_owned()).collect(),
            None => Arc::new([]) as Arc<[_]>,
        };
        let peer = Peer {
            address,
            is_encrypted: true,
            certificates,
        };
        Ok((Box::new(stream), peer))
    }

    async fn http(&self, io: BoxIo, peer: Peer) {
        let address = peer.address;
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            // A router is always ready.
            router.clone().call(request)
        });
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            let error = crate::fault::chain(&*error);
            tracing::debug!(peer.address = %address, error, "connection ended");
        }
    }
}

fn http_builder(options: &ServeOptions, shutdown: &Shutdown) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(shutdown.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .adaptive_window(true)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    match options.protocol {
        Protocol::Http2 => builder.http2_only(),
        Protocol::Auto => builder,
    }
}

/// Runs the streams of a connection as tasks of the service.
#[derive(Clone)]
struct Tracked(Shutdown);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let stream = contained(future.map(drop));
        self.0.spawn("stream", OnCancel::Wait, stream);
    }
}

/// Keeps a handler's panic to its own request or connection; as a task's, it would stop the service.
async fn contained(future: impl Future<Output = ()>) {
    if AssertUnwindSafe(future).catch_unwind().await.is_err() {
        // The panic hook printed the message and the place.
        tracing::error!("a handler panicked");
    }
}

static HANDSHAKE_FAILURES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .u64_counter("tls_handshake_failures_total")
        .with_description("TLS handshakes that clients did not complete")
        .build()
});
