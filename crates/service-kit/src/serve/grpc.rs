//! gRPC services with what each server of ours offers: health, reflection, traces, deadlines.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use http::Request;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use super::DeadlineLayer;
use super::reflection::{self, Descriptors};
use crate::shutdown::{OnCancel, Shutdown};
use crate::telemetry::{Readiness, ServerTrace};

/// Collects the services of one listener.
#[derive(Default)]
pub struct Grpc {
    routes: Routes,
    descriptors: Vec<&'static [u8]>,
    names: Vec<&'static str>,
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grpc")
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

impl Grpc {
    /// Starts with no service.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes = self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Adds an encoded `FileDescriptorSet`, imports included, to reflection.
    #[must_use]
    pub fn descriptors(mut self, encoded: &'static [u8]) -> Self {
        self.descriptors.push(encoded);
        self
    }

    /// Adds health (which follows `readiness`, for the server as a whole and each service) and
    /// reflection v1 and v1alpha, and puts traces, deadlines and a catch for panics around all.
    pub fn into_router(self, readiness: &Readiness, shutdown: &Shutdown) -> Router {
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut names = self.names;
        names.push("");
        let following = follow(reporter, readiness.clone(), names, shutdown.clone());
        shutdown.spawn("health", OnCancel::Wait, following);

        let descriptors = Descriptors::from(self.descriptors);
        let routes = self
            .routes
            .add_service(health)
            .add_service(reflection::v1(Arc::clone(&descriptors)))
            .add_service(reflection::v1alpha(descriptors));
        routes
            .prepare()
            .into_axum_router()
            .layer(DeadlineLayer)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(ServerTrace)
    }
}

/// Keeps health in step with readiness; at draining says so and ends the streams that watch.
async fn follow(
    reporter: HealthReporter,
    readiness: Readiness,
    names: Vec<&'static str>,
    shutdown: Shutdown,
) {
    let mut changes = readiness.subscribe();
    loop {
        let is_ready = changes.borrow_and_update().is_ready() && !shutdown.is_draining();
        let status = if is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in &names {
            reporter.set_service_status(*name, status).await;
        }
        if shutdown.is_draining() {
            break;
        }
        // Both arms are cancel safe. `readiness` lives here, so its changes do not end.
        tokio::select! {
            _ = changes.changed() => {}
            () = shutdown.draining() => {}
        }
    }
    for name in names {
        let mut reporter = reporter.clone();
        reporter.clear_service_status(name).await;
    }
}

fn panicked(_message: Box<dyn Any + Send>) -> Response {
    // The panic hook printed the message and the place.
    tracing::error!("a handler panicked");
    Status::internal("internal error").into_http()
}
