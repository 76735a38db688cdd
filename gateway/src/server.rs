//! Binding and running.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use baetyl_service_kit::fault::{Fault, InvalidArgument, Violation};
use baetyl_service_kit::serve::{Address, Listener, Protocol, ServeOptions, serve};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, server_config};
use bytes::Bytes;
use http::{StatusCode, header};
use tokio::sync::Semaphore;
use tonic::Code;
use tower_http::catch_panic::CatchPanicLayer;

use crate::backend::{Backends, Face};
use crate::config::Config;
use crate::handler::{Gateway, handle};
use crate::openapi;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::rule::RuleError;

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The configuration is wrong.
    #[error("the configuration of the gateway is wrong")]
    Config(#[from] InvalidArgument),
    /// The contract cannot be served: a fault of the build.
    #[error("the contract cannot be served")]
    Contract(#[from] RuleError),
    /// The address is taken, or may not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Fault for BindError {
    fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::InvalidArgument,
            Self::Contract(_) => Code::Internal,
            Self::Listen { .. } => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Config(_) => "CONFIG_INVALID",
            Self::Contract(_) => "CONTRACT_INVALID",
            Self::Listen { .. } => "ADDRESS_UNAVAILABLE",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Config(fault) => fault.violations.clone(),
            Self::Contract(_) | Self::Listen { .. } => Vec::new(),
        }
    }
}

/// A gateway that is bound and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    config: Config,
    backends: Backends,
    routes: Routes,
    document: Bytes,
}

impl Server {
    /// Checks the configuration, reads the contract and binds. Without an identity there is no
    /// TLS, which a log line says for everything but a Unix socket.
    ///
    /// # Errors
    /// The configuration is wrong, or the address cannot be bound.
    pub async fn bind(
        config: Config,
        backends: Backends,
        identity: Option<&Identity>,
    ) -> Result<Self, BindError> {
        InvalidArgument::check(config.violations())?;
        let face = backends.face();
        let routes = Routes::compile(face)?;
        let document = Bytes::from(openapi::document(face)?.to_string());
        let address = config.address(face);
        let listener = Listener::bind(&address)
            .await
            .map_err(|source| BindError::Listen {
                address: address.to_string(),
                source,
            })?;
        let listener = match identity {
            Some(identity) => {
                let protocols = Protocols::Http2AndHttp1;
                listener.with_tls(server_config(identity, &ClientAuth::None, protocols))
            }
            None => {
                if let Address::Tcp(_) = listener.address() {
                    let address = listener.address().to_string();
                    tracing::warn!(address, "the gateway listens without tls");
                }
                listener
            }
        };
        Ok(Self {
            listener,
            config,
            backends,
            routes,
            document,
        })
    }

    /// Where it listens, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Which API it shows.
    #[must_use]
    pub fn face(&self) -> Face {
        self.backends.face()
    }

    /// Serves until draining begins and the requests in flight are answered. Streams end with a
    /// line that says so. To be spawned with `OnCancel::Wait`, or awaited.
    pub async fn run(self, shutdown: Shutdown) {
        let options = ServeOptions {
            protocol: Protocol::Auto,
            ..ServeOptions::default()
        };
        let gateway = Gateway {
            routes: self.routes,
            backends: self.backends,
            requests: Arc::new(Semaphore::new(self.config.max_requests)),
            streams: Arc::new(Semaphore::new(self.config.max_streams)),
            config: self.config,
            shutdown: shutdown.clone(),
        };
        let router = router(gateway, self.document);
        serve(self.listener, router, options, shutdown).await;
    }
}

/// All paths.
pub(crate) fn router(gateway: Gateway, document: Bytes) -> Router {
    let shutdown = gateway.shutdown.clone();
    Router::new()
        .route("/healthz", get(healthz).with_state(shutdown))
        .route("/openapi.json", get(openapi_json).with_state(document))
        .fallback(handle)
        .with_state(Arc::new(gateway))
        .layer(CatchPanicLayer::custom(panicked))
}

/// 200 while requests are taken.
async fn healthz(State(shutdown): State<Shutdown>) -> Response {
    match shutdown.is_draining() {
        false => "ok\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn openapi_json(State(document): State<Bytes>) -> Result<Response, Infallible> {
    Ok(([(header::CONTENT_TYPE, "application/json")], document).into_response())
}

fn panicked(_message: Box<dyn Any + Send>) -> Response {
    // The panic hook printed the message and the place.
    tracing::error!("a handler panicked");
    Problem::internal().into_response("")
}
