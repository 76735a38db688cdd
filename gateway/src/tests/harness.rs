//! Requests to a gateway without a socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use baetyl_proto::cloud::v1::configuration_service_server::ConfigurationServiceServer;
use baetyl_proto::function::v1::function_service_server::FunctionServiceServer;
use baetyl_service_kit::shutdown::Shutdown;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::service::Routes as Services;
use tower::ServiceExt as _;

use super::fake::{Configurations, Functions};
use crate::backend::{Backend, Backends};
use crate::config::Config;
use crate::handler::Gateway;
use crate::routes::Routes;
use crate::server::router;

/// A gateway and the fakes behind it.
pub(super) struct Harness {
    pub(super) router: Router,
    pub(super) configurations: Configurations,
    pub(super) shutdown: Shutdown,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        let lines = self.text().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Field and description of each violation.
    pub(super) fn violations(&self) -> BTreeMap<String, String> {
        let json = self.json();
        let violations = json["violations"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        violations
            .iter()
            .map(|each| (text(&each["field"]), text(&each["description"])))
            .collect()
    }
}

pub(super) fn cloud_with(config: Config) -> Harness {
    let configurations = Configurations::default();
    let server = ConfigurationServiceServer::new(configurations.clone());
    let backends = Backends::Cloud {
        cloud: Backend::new(Services::new(server).prepare()),
    };
    harness(backends, configurations, config)
}

pub(super) fn cloud() -> Harness {
    cloud_with(Config::default())
}

pub(super) fn edge() -> Harness {
    let functions = Services::new(FunctionServiceServer::new(Functions)).prepare();
    let backends = Backends::Edge {
        core: Backend::new(Services::default().prepare()),
        function: Backend::new(functions),
    };
    harness(backends, Configurations::default(), Config::default())
}

pub(super) fn harness(
    backends: Backends,
    configurations: Configurations,
    config: Config,
) -> Harness {
    let shutdown = Shutdown::new();
    let gateway = Gateway {
        routes: Routes::compile(backends.face()).unwrap(),
        backends,
        requests: Arc::new(Semaphore::new(config.max_requests)),
        streams: Arc::new(Semaphore::new(config.max_streams)),
        config,
        shutdown: shutdown.clone(),
    };
    Harness {
        router: router(gateway, Bytes::from_static(b"{}")),
        configurations,
        shutdown,
    }
}

impl Harness {
    pub(super) async fn call(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let response = self.begin(line, headers, body).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// The answer, its body not read yet. `line` is method and target.
    pub(super) async fn begin(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> axum::response::Response {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn get(&self, uri: &str) -> Answer {
        self.call(&format!("GET {uri}"), &[], Body::empty()).await
    }
}
