//! An engine with everything around it, and ways to wait for a level with a bound.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use baetyl_engine::memory::{MemoryBodies, MemoryIssuer, MemoryStore};
use baetyl_engine::{
    Dependencies, DesiredSet, Engine, EngineConfig, EngineHandle, EngineStatus, RestartBackoff,
    StopMode,
};
use baetyl_model::{Application, Digest, Epoch, Fence, Generation};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1::{DesiredApplication, InputRef};
use pb::{ApplicationState, ApplicationStatus, InstanceStatus};
use prost::Message as _;

use crate::application::App;
use crate::rig::{self, Rig};

/// Far beyond what any step needs; reaching it is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

pub(crate) struct Bench {
    pub(crate) rig: Rig,
    pub(crate) store: MemoryStore,
    pub(crate) bodies: MemoryBodies,
    pub(crate) issuer: MemoryIssuer,
    /// Bodies of inputs by kind and name.
    inputs: BTreeMap<String, Digest>,
    /// Revisions by digest of the body, per application.
    revisions: BTreeMap<String, Vec<Digest>>,
    generation: u64,
    engine: Option<EngineHandle>,
    ports: RangeInclusive<u16>,
}

impl Bench {
    pub(crate) async fn on_memory() -> Self {
        Self::new(Rig::memory()).await
    }

    pub(crate) async fn on_processes() -> Self {
        Self::new(Rig::processes()).await
    }

    async fn new(rig: Rig) -> Self {
        let mut bench = Self {
            rig,
            store: MemoryStore::default(),
            bodies: MemoryBodies::default(),
            issuer: MemoryIssuer::default(),
            inputs: BTreeMap::new(),
            revisions: BTreeMap::new(),
            generation: 0,
            engine: None,
            ports: rig::own_ports(),
        };
        bench.start().await;
        bench
    }

    /// Starts another engine on what is there.
    pub(crate) async fn start(&mut self) {
        let mut config = EngineConfig::new("machine");
        config.port_range = self.ports.clone();
        config.restart = RestartBackoff {
            initial: Duration::from_millis(20),
            cap: Duration::from_millis(100),
            ..RestartBackoff::default()
        };
        config.sample_period = Duration::from_millis(100);
        config.retry_period = Duration::from_millis(50);
        let dependencies = Dependencies {
            store: Arc::new(self.store.clone()),
            bodies: Arc::new(self.bodies.clone()),
            certificates: Arc::new(self.issuer.clone()),
            driver: self.rig.driver(),
        };
        self.engine = Some(Engine::start(config, dependencies).await.unwrap());
    }

    pub(crate) async fn stop(&mut self, mode: StopMode) {
        let engine = self.engine.take().unwrap();
        let stopped = tokio::time::timeout(BOUND, engine.stop(mode)).await;
        assert!(stopped.is_ok(), "the engine does not stop");
    }

    pub(crate) fn engine(&self) -> &EngineHandle {
        self.engine.as_ref().unwrap()
    }

    /// Sets a configuration to one file.
    pub(crate) fn configure(&mut self, name: &str, key: &str, text: &str) {
        let message = pb::Configuration {
            name: name.into(),
            data: [(key.to_owned(), text.to_owned())].into(),
            ..pb::Configuration::default()
        };
        let digest = self.bodies.put(message.encode_to_vec());
        self.inputs.insert(format!("configuration/{name}"), digest);
    }

    /// Sets a secret to one value.
    pub(crate) fn keep_secret(&mut self, name: &str, key: &str, text: &str) {
        let message = pb::Secret {
            name: name.into(),
            data: [(key.to_owned(), text.to_owned().into())].into(),
            ..pb::Secret::default()
        };
        let digest = self.bodies.put(message.encode_to_vec());
        self.inputs.insert(format!("secret/{name}"), digest);
    }

    /// A port of this bench that its engine does not hand out before seven others.
    pub(crate) fn free_port(&self) -> u16 {
        *self.ports.end()
    }

    pub(crate) fn input(&self, key: &str) -> Digest {
        self.inputs[key]
    }

    /// Wants exactly these applications; returns the fence.
    pub(crate) fn desire(&mut self, apps: impl IntoIterator<Item = App>) -> Fence {
        self.generation += 1;
        let fence = Fence::new(Epoch::new(1), Generation::new(self.generation));
        let applications = apps.into_iter().map(|app| self.pin(&app)).collect();
        self.engine().set_desired(DesiredSet {
            fence,
            applications,
        });
        fence
    }

    fn pin(&mut self, app: &App) -> DesiredApplication {
        let application = Application::try_new(app.message.clone()).unwrap();
        let digest = self.bodies.put(application.encode());
        let name = application.name().to_string();
        let revisions = self.revisions.entry(name.clone()).or_default();
        let index = revisions.iter().position(|known| *known == digest);
        let revision = match index {
            Some(index) => index + 1,
            None => {
                revisions.push(digest);
                revisions.len()
            }
        };
        let inputs = application.inputs().into_iter().map(|input| {
            let (kind, name) = (input.kind.word(), input.name);
            InputRef {
                digest: self.inputs[&format!("{kind}/{name}")].to_string(),
                kind: kind.into(),
                name: name.to_string(),
                revision: 1,
            }
        });
        let inputs = inputs.collect();
        let features = application.features().into_iter().map(str::to_owned);
        DesiredApplication {
            features: features.chain(app.more_features.clone()).collect(),
            name,
            revision: revision as u64,
            digest: digest.to_string(),
            template_digest: application.template_digest().to_string(),
            inputs,
            retry: app.retry,
            uid: "8c3f6f0e-6f0a-4e5b-9d0c-2f8a4c1b7d11".into(),
        }
    }

    /// Waits until the status of the node is so.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut level: impl FnMut(&EngineStatus) -> bool,
    ) -> Arc<EngineStatus> {
        let mut status = self.engine().status();
        let reached = tokio::time::timeout(BOUND, status.wait_for(|status| level(status))).await;
        match reached {
            Ok(Ok(status)) => status.clone(),
            _ => panic!(
                "never: {what}; it is {:#?}",
                self.engine().status().borrow()
            ),
        }
    }

    /// Waits until an application is so.
    pub(crate) async fn app(
        &self,
        name: &str,
        what: &str,
        mut level: impl FnMut(&ApplicationStatus) -> bool,
    ) -> ApplicationStatus {
        let status = self
            .until(&format!("{name}: {what}"), |status| {
                status
                    .applications
                    .get(name)
                    .is_some_and(|found| level(found))
            })
            .await;
        ApplicationStatus::clone(&status.applications[name])
    }

    /// Waits until an application is in a state.
    pub(crate) async fn state(&self, name: &str, state: ApplicationState) -> ApplicationStatus {
        self.app(name, state.as_str_name(), |app| app.state() == state)
            .await
    }

    /// Waits until a revision of an application is healthy; returns its first instance.
    pub(crate) async fn healthy(&self, name: &str, revision: u64) -> InstanceStatus {
        let is_healthy = |app: &ApplicationStatus| {
            app.state() == ApplicationState::Healthy && app.serving_revision == revision
        };
        let what = format!("revision {revision} is healthy");
        let app = self.app(name, &what, is_healthy).await;
        let first = app.instances.into_iter();
        first
            .filter(|instance| instance.revision == revision)
            .find(|instance| instance.state() == pb::InstanceState::Ready)
            .unwrap()
    }

    /// Waits until a desired state runs.
    pub(crate) async fn converged(&self, fence: Fence) {
        self.until("converged", |status| status.converged == Some(fence))
            .await;
    }

    /// Waits for a level outside of the engine.
    pub(crate) async fn outside(&self, what: &str, level: impl Fn() -> bool) {
        let reached = async {
            while !level() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(BOUND, reached).await;
        assert!(reached.is_ok(), "never: {what}");
    }

    /// The one instance of an application now.
    pub(crate) fn only(&self, name: &str) -> InstanceStatus {
        let status = self.engine().status().borrow().clone();
        let instances = &status.applications[name].instances;
        assert_eq!(instances.len(), 1, "{instances:#?}");
        instances[0].clone()
    }
}
