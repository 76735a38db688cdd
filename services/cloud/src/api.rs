//! The gRPC face of the resources: who calls, what is asked, what is answered.
//!
//! Nothing is decided here. Each method finds out who calls, hands a request to [`crate::app`],
//! and puts the answer into the contract's messages; status comes from [`crate::seam`].

use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::{Kind, Message, Name, Violation};
use baetyl_proto::cloud::v1::application_service_server::ApplicationServiceServer;
use baetyl_proto::cloud::v1::apply_service_server::ApplyServiceServer;
use baetyl_proto::cloud::v1::certificate_service_server::CertificateServiceServer;
use baetyl_proto::cloud::v1::configuration_service_server::ConfigurationServiceServer;
use baetyl_proto::cloud::v1::namespace_service_server::NamespaceServiceServer;
use baetyl_proto::cloud::v1::node_service_server::NodeServiceServer;
use baetyl_proto::cloud::v1::operation_service_server::OperationServiceServer;
use baetyl_proto::cloud::v1::registry_service_server::RegistryServiceServer;
use baetyl_proto::cloud::v1::revision_service_server::RevisionServiceServer;
use baetyl_proto::cloud::v1::secret_service_server::SecretServiceServer;
use baetyl_proto::cloud::v1::system_service_server::SystemServiceServer;
use baetyl_proto::cloud::v1::token_service_server::TokenServiceServer;
use baetyl_service_kit::fault;
use baetyl_service_kit::serve::{Grpc, MAX_MESSAGE_BYTES};
use baetyl_service_kit::shutdown::Shutdown;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::app::apply::MAX_BYTES;
use crate::app::list::{name_token, page_size, read_name_token};
use crate::app::{App, View};
use crate::auth::Caller;
use crate::error::Error;
use crate::seam::{ImpactPreview, NodeOperations, NodeRef, StatusReader};
use crate::store::Store;

mod application;
mod apply;
mod convert;
mod input;
mod namespace;
mod node;
mod operation;
mod resource;
mod revision;
mod system;
mod token;

/// Room for what surrounds the documents of a set.
const SET_SLACK: usize = 1024 * 1024;

/// A stream of answers.
type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// What the API works with.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Operations on nodes.
    pub nodes: Arc<dyn NodeOperations>,
    /// What was observed and reported.
    pub status: Arc<dyn StatusReader>,
    /// What a change reaches.
    pub impact: Arc<dyn ImpactPreview>,
    /// Ends the streams at draining.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The services that need a bearer token, and `SystemService.GetVersion`, which needs none.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: Arc<App>,
    parts: Parts,
    start_time: SystemTime,
}

impl Api {
    /// Puts the parts together; `start_time` is when the program started.
    pub fn new(parts: Parts, start_time: SystemTime) -> Self {
        let (store, nodes) = (parts.store.clone(), parts.nodes.clone());
        let app = Arc::new(App::new(store, nodes, parts.impact.clone()));
        Self(Arc::new(Inner {
            app,
            parts,
            start_time,
        }))
    }

    /// Adds every service.
    #[must_use]
    pub fn add_to(&self, grpc: Grpc) -> Grpc {
        let most = MAX_MESSAGE_BYTES;
        let api = || self.clone();
        grpc.add_service(NamespaceServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(NodeServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(ApplicationServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(ConfigurationServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(SecretServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(CertificateServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(RegistryServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(
                ApplyServiceServer::new(api()).max_decoding_message_size(MAX_BYTES + SET_SLACK),
            )
            .add_service(RevisionServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(OperationServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(TokenServiceServer::new(api()).max_decoding_message_size(most))
            .add_service(SystemServiceServer::new(api()).max_decoding_message_size(most))
    }

    fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// Finds out who calls.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Error> {
        let headers = request.metadata().as_ref();
        let tokens = self.app().tokens();
        tokens.authenticate(headers, self.app().now()).await
    }

    /// Finds a node that somebody wants something of.
    async fn node(&self, caller: &Caller, namespace: &str, name: &str) -> Result<NodeRef, Error> {
        let view = self.app().get(caller, Kind::Node, namespace, name).await?;
        Ok(NodeRef::of(&view.stored))
    }

    /// Puts a resource into words, with its status when it has one.
    async fn message(&self, view: View) -> Result<Message, Error> {
        let mut messages = self.messages(vec![view]).await?;
        Ok(messages.remove(0))
    }

    /// As [`Api::message`] for many resources, in their order.
    async fn messages(&self, views: Vec<View>) -> Result<Vec<Message>, Error> {
        let mut messages: Vec<Message> = views.iter().map(View::message).collect();
        let status = &self.parts().status;
        let is_node = |view: &&View| view.is_stored && view.stored.key.kind == Kind::Node;
        let nodes: Vec<NodeRef> = views
            .iter()
            .filter(is_node)
            .map(|view| NodeRef::of(&view.stored))
            .collect();
        if !nodes.is_empty() {
            let mut found = status.nodes(&nodes).await?.into_iter();
            for message in &mut messages {
                if let Message::Node(node) = message {
                    node.status = found.next();
                }
            }
        }
        let is_application =
            |view: &&View| view.is_stored && view.stored.key.kind == Kind::Application;
        let applications: Vec<_> = views
            .iter()
            .filter(is_application)
            .map(|view| view.stored.clone())
            .collect();
        if !applications.is_empty() {
            let mut found = status.applications(&applications).await?.into_iter();
            for message in &mut messages {
                if let Message::Application(application) = message {
                    application.status = found.next();
                }
            }
        }
        Ok(messages)
    }
}

/// What the caller gets instead of an answer.
fn refusal(error: Error) -> Status {
    match &error {
        Error::Other(other) => fault::status(&**other),
        _ => fault::status(&error),
    }
}

/// Puts an outcome on the wire.
fn answer<T>(outcome: Result<T, Error>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(refusal)
}

/// Reads a duration that was asked for.
fn duration(
    field: &str,
    asked: Option<prost_types::Duration>,
) -> Result<Option<std::time::Duration>, Error> {
    let read = asked.map(std::time::Duration::try_from).transpose();
    read.map_err(|_| {
        let violation = Violation::new(field, "OUT_OF_BOUNDS", "must not be negative");
        Error::violations(vec![violation])
    })
}

/// A field that must be there.
fn required(field: &str) -> Error {
    Error::field(field, "REQUIRED", "must be set")
}

/// Reads which page of a list of names is asked for.
fn page(size: i32, token: &str, list: &str) -> Result<(usize, Option<Name>), Error> {
    let mut violations = Vec::new();
    let size = page_size(size, &mut violations);
    let after = read_name_token(list, token, &mut violations);
    if violations.is_empty() {
        return Ok((size, after));
    }
    Err(Error::violations(violations))
}

/// Cuts a page to its size, and returns where the next one begins; empty on the last.
fn cut<T>(found: &mut Vec<T>, size: usize, list: &str, name: fn(&T) -> &String) -> String {
    if found.len() <= size {
        return String::new();
    }
    found.truncate(size);
    let last = found.last().and_then(|last| Name::parse(name(last)).ok());
    last.map(|last| name_token(list, &last)).unwrap_or_default()
}
