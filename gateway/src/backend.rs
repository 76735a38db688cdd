//! The services behind the gateway.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

/// A service that was not reached. A type of its own, since a boxed error makes futures that hold
/// it too hard for the compiler to prove `Send`.
#[derive(Debug, thiserror::Error)]
#[error("the service was not reached")]
pub(crate) struct Unreached(#[source] BoxError);

/// The seam to all servers.
pub(crate) type BackendService = BoxCloneSyncService<Request<Body>, Response<Body>, Unreached>;

/// One gRPC server: a channel, or its routes in the same process.
#[derive(Clone)]
pub struct Backend {
    pub(crate) service: BackendService,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Backend {
    /// Wraps anything that speaks gRPC: a `tonic::transport::Channel`, a `tonic::service::Routes`,
    /// an `axum::Router`.
    #[must_use]
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|response: Response<B>| response.map(Body::new))
            .map_err(|error: S::Error| Unreached(error.into()));
        Self {
            service: BoxCloneSyncService::new(service),
        }
    }
}

/// Which API a gateway shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The control plane: `baetyl.cloud.v1`.
    Cloud,
    /// A node: `baetyl.node.v1` and `baetyl.function.v1`.
    Edge,
}

impl Face {
    /// The packages whose methods are shown.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Cloud => &["baetyl.cloud.v1"],
            Self::Edge => &["baetyl.node.v1", "baetyl.function.v1"],
        }
    }

    /// What the API is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cloud => "baetyl cloud",
            Self::Edge => "baetyl edge",
        }
    }
}

/// The servers behind a gateway, which also say what it shows.
#[derive(Debug, Clone)]
pub enum Backends {
    /// In front of a control plane.
    Cloud {
        /// The cloud API.
        cloud: Backend,
    },
    /// On a node.
    Edge {
        /// Core's local API.
        core: Backend,
        /// The function proxy.
        function: Backend,
    },
}

impl Backends {
    /// Which API they make.
    #[must_use]
    pub fn face(&self) -> Face {
        match self {
            Self::Cloud { .. } => Face::Cloud,
            Self::Edge { .. } => Face::Edge,
        }
    }

    /// The server of a package of the face.
    pub(crate) fn of(&self, package: &str) -> &Backend {
        match self {
            Self::Cloud { cloud } => cloud,
            Self::Edge { function, .. } if package == "baetyl.function.v1" => function,
            Self::Edge { core, .. } => core,
        }
    }
}
