//! The composition root: opens everything, binds, then runs the parts until the end.

mod prepared;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use baetyl_engine::driver::Driver;
#[cfg(feature = "kube")]
use baetyl_engine::kube;
use baetyl_engine::{
    Dependencies as EngineDependencies, Engine, EngineConfig, EngineHandle, ShimCommand,
};
use baetyl_service_kit::serve::{Listener, Protocol, ServeOptions, Target, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::{Condition, Readiness, admin};
use baetyl_service_kit::tls::{ClientAuth, Protocols, server_config};
use tokio::sync::oneshot;

pub use baetyl_service_kit::serve::Address;

use self::prepared::{Prepared, Programs, Runner};
use crate::api::{self, ApiParts, Callers};
use crate::authority::WorkloadIssuer;
use crate::config::{Config, StopMode};
use crate::desired::DesiredState;
use crate::engine_host::EngineStore;
use crate::error::CoreError;
use crate::field;
use crate::follow;
use crate::identity::Renewal;
use crate::local::LocalFolder;
use crate::machines::Machines;
use crate::properties::NodeProperties;
use crate::reported::Reported;
use crate::routes::RouteSender;
use crate::status::{About, NodeState};
use crate::store::Tables;
use crate::sync::{Dial, Link, LinkParts, Outcome};

/// Name under which the local servers' certificates are checked.
const LOCAL_NAME: &str = "localhost";

/// What core is given by the program that hosts it; the default is what a program gives that is
/// itself shim and function runtime (`<program> runtime --config <file>`).
pub struct Dependencies {
    /// How the shim is called, under which applications run.
    pub shim: ShimCommand,
    /// Program and first arguments of the function runtime; `--config <file>` follows.
    pub runtime_program: Vec<String>,
    /// What runs the instances of applications, instead of operating system processes.
    pub driver: Option<Arc<dyn Driver>>,
    /// Another store than the file in the data folder.
    pub tables: Option<Box<dyn Tables>>,
    /// Another way to reach the cloud than TCP.
    pub dial: Option<Dial>,
    /// Version of the program.
    pub version: String,
    /// Whether core can do its work; shared with whoever watches the program.
    pub readiness: Readiness,
    /// The program's metrics, for the admin listener.
    pub metrics: Option<prometheus::Registry>,
}

impl Default for Dependencies {
    fn default() -> Self {
        Self {
            shim: ShimCommand::current_program(),
            runtime_program: vec!["/proc/self/exe".to_owned(), "runtime".to_owned()],
            driver: None,
            tables: None,
            dial: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            readiness: Readiness::new(),
            metrics: None,
        }
    }
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependencies")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// How core ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Drained,
    /// The cloud deleted the node: its applications and its identity are gone. Starting again
    /// needs a new activation.
    Decommissioned,
}

/// Core, bound and not yet running.
pub struct Server {
    config: Config,
    dependencies: Dependencies,
    prepared: Prepared,
    listener: Listener,
    admin: Option<Listener>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens identity, store and authority, writes the local folder, and binds the local API.
    /// From here on clients may connect; they are served once it runs.
    ///
    /// # Errors
    /// The node is not activated, the settings are wrong, or something cannot be opened.
    pub async fn bind(config: Config, mut dependencies: Dependencies) -> Result<Self, CoreError> {
        config.validate()?;
        let tables = dependencies.tables.take();
        let driver = dependencies.driver.take();
        let programs = Programs {
            shim: dependencies.shim.clone(),
            runtime: dependencies.runtime_program.clone(),
        };
        let settings = config.clone();
        let open = move || Prepared::open(&settings, tables, driver, programs);
        let preparing = tokio::task::spawn_blocking(open);
        let prepared = match preparing.await {
            Ok(prepared) => prepared?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let roots = prepared.authority.roots()?;
        let tls = server_config(
            prepared.credentials.core(),
            &ClientAuth::Optional(roots),
            Protocols::Http2,
        );
        let listener = bound(&config.listen).await?.with_tls(tls);
        let admin = match &config.admin {
            Some(address) => Some(bound(address).await?),
            None => None,
        };
        Ok(Self {
            config,
            dependencies,
            prepared,
            listener,
            admin,
        })
    }

    /// Where the local API listens, with the port that the kernel chose. Its certificate is for
    /// `localhost`, by the authority in [`LocalFolder::ca`].
    #[must_use]
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Where metrics and probes are read.
    #[must_use]
    pub fn admin_address(&self) -> Option<&Address> {
        self.admin.as_ref().map(Listener::address)
    }

    /// What other processes of the node need.
    #[must_use]
    pub fn local(&self) -> &LocalFolder {
        &self.prepared.local
    }

    /// Runs until `shutdown` drains or the node is deleted, then ends every part. What becomes of
    /// the applications is [`Config::stop_mode`].
    ///
    /// # Errors
    /// The engine does not start, or a part failed that core is no use without.
    pub async fn run(self, shutdown: Shutdown) -> Result<Ended, CoreError> {
        let deadline = self.config.drain_deadline.0;
        let stop_mode = self.config.stop_mode;
        let parts = shutdown.child();
        let store = self.prepared.store.clone();
        let ready = self.dependencies.readiness.condition("engine");
        let engine = start_engine(&self.prepared).await?;
        let started = self.start(engine.clone(), &parts, &ready).await;
        let outcome = match started {
            Ok(link) => until_end(link, &parts).await,
            Err(error) => {
                engine.stop(baetyl_engine::StopMode::LeaveRunning).await;
                parts.drain(deadline).await;
                return Err(error);
            }
        };
        ready.not_ready("ending");
        let mode = match stop_mode {
            StopMode::LeaveRunning => baetyl_engine::StopMode::LeaveRunning,
            StopMode::StopAll => baetyl_engine::StopMode::StopAll,
        };
        engine.stop(mode).await;
        parts.drain(deadline).await;
        store.settled().await;
        match parts.failure() {
            Some(reason) => Err(CoreError::Failed(reason)),
            None => Ok(outcome),
        }
    }

    /// Starts every part; the applications first, since they need nobody.
    async fn start(
        self,
        engine: EngineHandle,
        parts: &Shutdown,
        ready: &Condition,
    ) -> Result<oneshot::Receiver<Outcome>, CoreError> {
        let prepared = &self.prepared;
        let identity = prepared.identity.clone();
        let reported = Reported::default();
        let version = self.dependencies.version.clone();
        let about = About {
            identity: &identity.current(),
            version: &version,
            node_mode: prepared.runner.node_mode(),
        };
        let node = NodeState::new(&about, reported.clone());
        let store = prepared.store.clone();
        let properties = Arc::new(NodeProperties::new(store.clone(), reported.clone()));
        properties.refresh().await?;
        let desired = DesiredState::new(
            store.clone(),
            engine.clone(),
            properties.clone(),
            node.clone(),
        );
        let desired = Arc::new(desired);
        desired.apply().await?;
        ready.ready();

        let renewal = Arc::new(Renewal::new(identity.clone()));
        let link_parts = LinkParts {
            identity: identity.clone(),
            renewal: renewal.clone(),
            store: store.clone(),
            engine: engine.clone(),
            desired: desired.clone(),
            reported,
            node: node.clone(),
            backoff: self.config.reconnect(),
            dial: self.dependencies.dial.clone(),
            version,
            incarnation: uuid::Uuid::now_v7().to_string(),
        };
        let (ended, outcome) = oneshot::channel();
        let link = Link::new(link_parts, parts.clone());
        parts.spawn("sync", OnCancel::Wait, async move {
            // Nobody waits when the start failed half way.
            ended.send(link.run().await).ok();
        });

        let machines = Machines::of(&engine, prepared.machine.clone());
        let settings = desired.settings();
        let loops = Loops { parts };
        loops.add(
            "engine-status",
            follow::engine(engine.clone(), node.clone(), store.clone()),
        );
        loops.add(
            "machines",
            follow::machines(machines.clone(), node.clone(), settings),
        );
        loops.add("renewals", follow::renewals(identity, node.clone()));
        loops.add("renewal", async move { renewal.run().await });
        let credentials = prepared.credentials.clone();
        loops.add("local-credentials", async move { credentials.run().await });
        if let Some(routes) = self.route_sender(store, engine.clone())? {
            loops.add("routes", routes.run());
        }
        let api = ApiParts {
            node,
            machines,
            properties,
            engine,
        };
        self.serve(api, parts)?;
        Ok(outcome)
    }

    fn route_sender(
        &self,
        store: Arc<crate::store::Store>,
        engine: EngineHandle,
    ) -> Result<Option<RouteSender>, CoreError> {
        let Some(address) = &self.config.function_address else {
            return Ok(None);
        };
        let prepared = &self.prepared;
        let roots = prepared.authority.roots()?;
        let tls = Target::tls(roots, Some(prepared.credentials.core().clone()));
        let target = Target::encrypted(address, Some(LOCAL_NAME), tls)?;
        Ok(Some(RouteSender::new(store, engine, &target)))
    }

    fn serve(self, api: ApiParts, parts: &Shutdown) -> Result<(), CoreError> {
        let readiness = self.dependencies.readiness;
        let callers = Callers::new(&self.prepared.token);
        let router = api::router(api, callers, &readiness, parts);
        tracing::info!(
            { field::NODE_NAME } = %self.prepared.identity.current().document.node,
            "core runs"
        );
        let serving = serve(
            self.listener,
            router,
            ServeOptions::default(),
            parts.clone(),
        );
        parts.spawn("api", OnCancel::Wait, serving);
        if let Some((listener, registry)) = self.admin.zip(self.dependencies.metrics) {
            let options = ServeOptions {
                protocol: Protocol::Auto,
                ..ServeOptions::default()
            };
            let router = admin::router(registry, readiness);
            let serving = serve(listener, router, options, parts.clone());
            parts.spawn("admin", OnCancel::Wait, serving);
        }
        Ok(())
    }
}

async fn start_engine(prepared: &Prepared) -> Result<EngineHandle, CoreError> {
    let store = Arc::new(EngineStore(prepared.store.clone()));
    let certificates = Arc::new(WorkloadIssuer(prepared.authority.clone()));
    match &prepared.runner {
        Runner::Processes(driver) => {
            let dependencies = EngineDependencies {
                store: store.clone(),
                bodies: store,
                certificates,
                driver: driver.clone(),
            };
            let config = EngineConfig::new(prepared.machine.hostname());
            Ok(Engine::start(config, dependencies).await?)
        }
        #[cfg(feature = "kube")]
        Runner::Cluster(cluster) => {
            let dependencies = kube::Dependencies {
                store: store.clone(),
                bodies: store,
                certificates,
            };
            let client = kube::access::connect(cluster.kubeconfig.as_deref()).await?;
            let settings = cluster.settings.clone();
            Ok(kube::Engine::start(settings, client, dependencies).await?)
        }
    }
}

/// Loops without half-done work: dropped when draining begins.
struct Loops<'a> {
    parts: &'a Shutdown,
}

impl Loops<'_> {
    fn add(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.parts.spawn(name, OnCancel::Abort, future);
    }
}

/// Waits for draining or for the end of the link.
async fn until_end(link: oneshot::Receiver<Outcome>, parts: &Shutdown) -> Ended {
    let outcome = tokio::select! {
        outcome = link => outcome,
        () = parts.draining() => return Ended::Drained,
    };
    match outcome {
        Ok(Outcome::Decommissioned) => {
            tracing::warn!("the node was deleted; activate it again to use it");
            Ended::Decommissioned
        }
        // The link ends for these reasons only; a panic has begun draining.
        Ok(Outcome::Drained) | Err(_) => Ended::Drained,
    }
}

async fn bound(address: &Address) -> Result<Listener, CoreError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|source| CoreError::Bind {
        address: address.to_string(),
        source,
    })
}
