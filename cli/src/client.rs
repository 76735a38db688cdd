//! The system as the commands see it: channels, and every kind of resource alike.

use std::str::FromStr;
use std::time::Duration;

use baetyl_pki::pem;
use baetyl_service_kit::serve::{ConnectOptions, Target, connect};
use baetyl_service_kit::telemetry::propagation;
use baetyl_service_kit::tls::Roots;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::args::Connection;
use crate::context::{self, Context, Contexts};
use crate::failure::Failure;

mod resources;

/// How long an ordinary call may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A channel that shows who calls and continues the caller's trace.
pub(crate) type Wire = InterceptedService<Channel, Credentials>;

/// Kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tenants.
    Namespace,
    /// Edge nodes.
    Node,
    /// Applications.
    Application,
    /// Configurations.
    Configuration,
    /// Secrets.
    Secret,
    /// Certificates.
    Certificate,
    /// Credentials of image registries.
    Registry,
}

impl Kind {
    /// The word in `RevisionService`, and in `-o name`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Application => "application",
            Self::Configuration => "configuration",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Registry => "registry",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "namespace" | "namespaces" | "ns" => Ok(Self::Namespace),
            "node" | "nodes" => Ok(Self::Node),
            "application" | "applications" | "app" | "apps" => Ok(Self::Application),
            "configuration" | "configurations" | "config" | "configs" => Ok(Self::Configuration),
            "secret" | "secrets" => Ok(Self::Secret),
            "certificate" | "certificates" | "cert" | "certs" => Ok(Self::Certificate),
            "registry" | "registries" => Ok(Self::Registry),
            _ => {
                let known = "nodes, apps, configs, secrets, certs, registries or namespaces";
                Err(format!("must be {known}"))
            }
        }
    }
}

/// Shows a bearer token and continues the trace.
#[derive(Clone)]
pub(crate) struct Credentials(Option<MetadataValue<Ascii>>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        propagation::inject(request.metadata_mut());
        if let Some(bearer) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// A chosen context with the namespace of the command.
pub(crate) struct Client {
    context: Context,
    /// The tenant that is asked.
    pub(crate) namespace: String,
}

impl Client {
    /// Chooses the context; nothing is dialed yet.
    pub(crate) fn choose(connection: &Connection) -> Result<Self, Failure> {
        let contexts = Contexts::load(&context::path()?)?;
        let context = contexts.choose(connection.context.as_deref())?.clone();
        let given = connection.namespace.clone();
        let namespace = given.unwrap_or_else(|| context.namespace.clone());
        let namespace = if namespace.is_empty() {
            "default".to_owned()
        } else {
            namespace
        };
        Ok(Self { context, namespace })
    }

    /// Connects to the control plane.
    pub(crate) async fn cloud(&self) -> Result<Wire, Failure> {
        let context = &self.context;
        dial("cloud", &context.cloud, &context.ca, &context.token).await
    }

    /// Connects to the node's core.
    pub(crate) async fn core(&self) -> Result<Wire, Failure> {
        let context = &self.context;
        dial("core", &context.core, &context.edge_ca, &context.edge_token).await
    }

    /// Connects to the node's function service.
    pub(crate) async fn function(&self) -> Result<Wire, Failure> {
        let context = &self.context;
        let address = &context.function;
        dial("function", address, &context.edge_ca, &context.edge_token).await
    }
}

pub(crate) async fn dial(
    what: &str,
    address: &str,
    ca: &str,
    token: &str,
) -> Result<Wire, Failure> {
    if address.is_empty() {
        return Err(Failure::usage(format!(
            "the context has no {what} address: see `baetyl context set --help`"
        )));
    }
    let target = if address.starts_with("http://") {
        Target::plain(address)
    } else {
        let authorities = pem::certs(ca.as_bytes()).map_err(Failure::local)?;
        let roots = Roots::try_new(&authorities).map_err(|error| Failure::fault(&error))?;
        Target::encrypted(address, None, Target::tls(roots, None))
    };
    let target = target.map_err(|error| Failure::fault(&error))?;
    let bearer = match token.trim() {
        "" => None,
        token => Some(format!("Bearer {token}").parse().map_err(|_| {
            Failure::usage("the token of the context has characters that no token has".to_owned())
        })?),
    };
    let channel = connect(&target, &ConnectOptions::default())
        .await
        .map_err(|error| Failure::fault(&error))?;
    Ok(InterceptedService::new(channel, Credentials(bearer)))
}

/// A request with the ordinary deadline.
pub(crate) fn call<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}
