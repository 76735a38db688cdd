//! The composition: binds everything first, then serves.

use std::io;
use std::sync::Arc;

use axum::Router;
use baetyl_proto::faas::function_server::FunctionServer;
use baetyl_proto::function::v1::function_service_server::FunctionServiceServer;
use baetyl_proto::function::v1::route_service_server::RouteServiceServer;
use baetyl_proto::function::v1::runtime_service_server::RuntimeServiceServer;
use baetyl_service_kit::config::ConfigError;
use baetyl_service_kit::fault::{self, Violation};
use baetyl_service_kit::serve::{
    Address, Grpc, Listener, MAX_MESSAGE_BYTES, Protocol, ServeOptions, serve,
};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::{Condition, Readiness, admin};
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use tokio::time::Instant;

use crate::api::access::EdgeToken;
use crate::api::address::check_address;
use crate::api::{Access, Dialer, FaasApi, FunctionApi, Heartbeat, RouteApi, RuntimeApi};
use crate::app::endpoint::{Instance, ServedFunction};
use crate::app::pool::Limits;
use crate::app::proxy::Proxy;
use crate::app::registry::{Registration, Registry};
use crate::app::route::RouteSet;
use crate::config::Config;
use crate::store::{RouteFile, StoreError};

/// What the listeners are protected with.
#[derive(Debug, Clone)]
pub enum Security {
    /// TLS on every listener, Unix sockets too.
    Tls {
        /// The certificate of this service, from the node's own authority; replaced in place.
        identity: Identity,
        /// The node's own authority, which verifies clients; replaced in place.
        roots: Roots,
    },
    /// No TLS: for development. The edge token is still asked for when there is one; without it
    /// everybody who reaches the listeners may do everything.
    Insecure,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address is taken or may not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The data folder cannot be used.
    #[error("the data folder cannot be used")]
    Store(#[from] StoreError),
    /// The runtime is about to end.
    #[error("starting was interrupted")]
    Interrupted,
}

/// The service with its sockets open and its routes loaded; nothing is served yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    access: Arc<Access>,
    proxy: Arc<Proxy>,
    file: RouteFile,
    invoke: Listener,
    attach: Vec<Listener>,
    admin: Option<(Listener, Option<prometheus::Registry>)>,
    readiness: Readiness,
    serving: Condition,
}

impl Server {
    /// Opens every socket and loads the routes that were in force.
    ///
    /// A route table that cannot be read is set aside with an error in the log: core sends it
    /// anew, and functions that are registered by address need none.
    ///
    /// # Errors
    /// The configuration is wrong, an address is taken, or the data folder cannot be used.
    pub async fn bind(config: Config, security: Security) -> Result<Self, StartError> {
        config.check()?;
        check_addresses(&config)?;
        let (file, token, set) = open(&config).await?;
        let access = match &security {
            Security::Tls { .. } => Access::new(token, config.allow_token_attach),
            Security::Insecure => {
                tracing::warn!("INSECURE: connections are not encrypted");
                Access::insecure(token)
            }
        };
        let proxy = Proxy::new(limits(&config));
        if let Some(set) = set {
            tracing::info!(generation = set.generation(), "routes are loaded");
            // An empty table is older than any.
            let loaded = proxy.set_routes::<crate::app::route::StaleRoutes>(set, |_| Ok(()));
            loaded.expect("nothing is older than no table");
        }
        let invoke = bind(&config.listen, &security, true).await?;
        let is_token_enough = config.allow_token_attach;
        let own = config
            .attach_address()
            .map_err(|error| invalid("attach", &error.to_string()))?;
        let mut attach = vec![bind(&own, &security, is_token_enough).await?];
        if let Some(address) = &config.attach_remote {
            attach.push(bind(address, &security, is_token_enough).await?);
        }
        let admin = match &config.admin {
            Some(address) => Some((listen(address).await?, None)),
            None => None,
        };
        let readiness = Readiness::new();
        Ok(Self {
            config,
            serving: readiness.condition("serving"),
            access: Arc::new(access),
            proxy,
            file,
            invoke,
            attach,
            admin,
            readiness,
        })
    }

    /// Serves these metrics where the configuration says; without them only probes are served.
    #[must_use]
    pub fn with_metrics(mut self, metrics: prometheus::Registry) -> Self {
        if let Some((_, registry)) = &mut self.admin {
            *registry = Some(metrics);
        }
        self
    }

    /// Where functions are invoked; with the port that the kernel chose.
    #[must_use]
    pub fn invoke_address(&self) -> &Address {
        self.invoke.address()
    }

    /// Where runtimes attach: those of this node first, then those of others.
    pub fn attach_addresses(&self) -> impl Iterator<Item = &Address> {
        self.attach.iter().map(Listener::address)
    }

    /// Where metrics and probes are read.
    #[must_use]
    pub fn admin_address(&self) -> Option<&Address> {
        self.admin.as_ref().map(|(listener, _)| listener.address())
    }

    /// Whether the service can do its work.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The proxy itself, for whoever hosts the service in its own process.
    #[must_use]
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Serves until draining begins; then takes no new calls, lets those that are there end, and
    /// sends the runtimes away. All tasks are `shutdown`'s, whose `drain` waits for them.
    ///
    /// # Errors
    /// The services cannot be offered.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), StartError> {
        let registry = Arc::new(Registry::new(self.proxy.clone()));
        let dialer = Dialer::new(registry, shutdown.clone());
        let (invoke, attach) = self.routers(&dialer, &shutdown);
        let spawn = |name, listener, router, options| {
            let serving = serve(listener, router, options, shutdown.clone());
            shutdown.spawn(name, OnCancel::Wait, serving);
        };
        for listener in self.attach {
            spawn(
                "attach listener",
                listener,
                attach.clone(),
                ServeOptions::default(),
            );
        }
        spawn(
            "invoke listener",
            self.invoke,
            invoke,
            ServeOptions::default(),
        );
        if let Some((listener, metrics)) = self.admin.take() {
            let router = admin::router(metrics.unwrap_or_default(), self.readiness.clone());
            let options = ServeOptions {
                protocol: Protocol::Auto,
                ..ServeOptions::default()
            };
            spawn("admin listener", listener, router, options);
        }
        register_static(&dialer, &self.config);
        self.serving.ready();
        shutdown.draining().await;
        self.serving.not_ready("shutting down");
        self.proxy.close();
        Ok(())
    }

    /// What the two kinds of listeners offer.
    fn routers(&self, dialer: &Dialer, shutdown: &Shutdown) -> (Router, Router) {
        let (proxy, access) = (&self.proxy, &self.access);
        let heartbeat = Heartbeat {
            interval: self.config.heartbeat_interval.0,
            lease: self.config.lease_duration.0,
        };
        let runtimes = RuntimeApi::new(
            proxy.clone(),
            access.clone(),
            dialer.clone(),
            heartbeat,
            shutdown.clone(),
        );
        let functions = FunctionApi::new(proxy.clone(), access.clone());
        let routes = RouteApi::new(proxy.clone(), access.clone(), self.file.clone());
        let faas = FaasApi::new(proxy.clone(), access.clone());

        let runtimes = RuntimeServiceServer::new(runtimes)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let functions = FunctionServiceServer::new(functions)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let routes = RouteServiceServer::new(routes).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let faas = FunctionServer::new(faas)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);

        let invoke = Grpc::new()
            .add_service(functions)
            .add_service(routes)
            .add_service(runtimes.clone())
            .add_service(faas)
            .descriptors(baetyl_proto::DESCRIPTOR)
            .into_router(&self.readiness, shutdown);
        let attach = Grpc::new()
            .add_service(runtimes)
            .descriptors(baetyl_proto::DESCRIPTOR)
            .into_router(&self.readiness, shutdown);
        (invoke, attach)
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        queue: config.queue_limit,
        waiting_bytes: usize::try_from(config.queue_bytes.0).unwrap_or(usize::MAX),
        runtime_wait: config.runtime_wait.0,
        endpoints: config.max_endpoints as usize,
    }
}

fn invalid(field: &str, description: &str) -> ConfigError {
    ConfigError::Invalid {
        violations: vec![Violation::new(field, "ADDRESS", description)],
    }
}

fn check_addresses(config: &Config) -> Result<(), ConfigError> {
    let mut violations = Vec::new();
    for (index, each) in config.addresses.iter().enumerate() {
        if let Err(problem) = check_address(&each.address) {
            let field = format!("addresses[{index}].address");
            violations.push(Violation::new(field, "ADDRESS", problem));
        }
    }
    ConfigError::check(violations)
}

/// Opens the data folder and reads what lies there.
async fn open(
    config: &Config,
) -> Result<(RouteFile, Option<EdgeToken>, Option<RouteSet>), StartError> {
    let folder = config.data_folder.clone();
    let token_file = config.edge_token_file.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let file = RouteFile::open(&folder)?;
        let set = file.load::<RouteSet>().unwrap_or_else(|error| {
            tracing::error!(
                error = fault::chain(&error),
                "the route table cannot be read"
            );
            None
        });
        Ok::<_, StoreError>((file, token_file.map(EdgeToken::open), set))
    });
    Ok(opening.await.map_err(|_| StartError::Interrupted)??)
}

async fn listen(address: &Address) -> Result<Listener, StartError> {
    Listener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            address: address.clone(),
            source,
        })
}

async fn bind(
    address: &Address,
    security: &Security,
    is_certificate_optional: bool,
) -> Result<Listener, StartError> {
    let listener = listen(address).await?;
    let Security::Tls { identity, roots } = security else {
        return Ok(listener);
    };
    let client_auth = if is_certificate_optional {
        ClientAuth::Optional(roots.clone())
    } else {
        ClientAuth::Required(roots.clone())
    };
    Ok(listener.with_tls(server_config(identity, &client_auth, Protocols::Http2)))
}

/// Registers the servers that are always there.
fn register_static(dialer: &Dialer, config: &Config) {
    for each in &config.addresses {
        let function = |name: &String| ServedFunction {
            name: name.clone(),
            is_idempotent: false,
        };
        let registration = Registration {
            service: each.service.clone(),
            instance: Instance {
                id: each.address.clone(),
                incarnation: 1,
                shard: 0,
            },
            functions: each.functions.iter().map(function).collect(),
            address: each.address.clone(),
            slots: each.slots,
            lease: None,
            timeout: each.timeout.0,
        };
        if dialer.register(registration, Instant::now()).is_err() {
            let (service, address) = (&each.service, &each.address);
            tracing::error!(
                service,
                address,
                "a server of the configuration was not registered"
            );
        }
    }
}
