//! Connections: accepted, served, and cut when a fault says so.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::handle;
use crate::faults::Outage;
use crate::shared::Shared;

/// Serves connections until the server stops. Each connection is a task of the tracker.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            // Accepting can be dropped: no connection is lost with it.
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: whoever holds them needs a moment.
            tokio::task::yield_now().await;
            continue;
        };
        if shared.faults.outage() == Some(Outage::Reset) {
            // Without waiting for what was sent the peer gets a reset.
            let _ = stream.set_zero_linger();
            continue;
        }
        tasks.spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    // Answers are small: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let cut = shared.faults.connection();
    // Going away says so first and cuts then: whoever took what cuts it before, sees it here.
    if shared.faults.outage() == Some(Outage::Reset) {
        return;
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        let cut = cut.clone();
        async move { Ok::<_, Infallible>(handle(shared, cut, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Whatever is under way is dropped with the connection: that is the fault.
        _ = connection => {}
        () = cut.cancelled() => {}
        () = shared.stop.cancelled() => {}
    }
}

/// Cuts the connection of a request, which is then never answered.
pub(super) async fn cut(connection: &CancellationToken) -> super::Answer {
    connection.cancel();
    std::future::pending().await
}
