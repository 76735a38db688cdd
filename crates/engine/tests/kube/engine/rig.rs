//! An engine with everything around it, a cluster whose controllers are played by hand, and ways to
//! wait for a level with a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_apiserver::{ApiServer, Options, Request, Store};
use baetyl_engine::kube::{Dependencies, Engine, FunctionSettings, KubeSettings};
use baetyl_engine::memory::{MemoryBodies, MemoryIssuer, MemoryStore};
use baetyl_engine::{DesiredSet, EngineHandle, EngineStatus, StopMode};
use baetyl_model::{Application, Digest, Epoch, Fence, Generation};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1::{DesiredApplication, InputRef};
use pb::{ApplicationState, ApplicationStatus};
use prost::Message as _;
use serde_json::{Value, json};

use crate::observe::rig::{BOUND, CLUSTER_ROLE, CORE, EDGE, client, role};

pub(crate) struct Bench {
    pub(crate) server: ApiServer,
    pub(crate) records: MemoryStore,
    pub(crate) bodies: MemoryBodies,
    pub(crate) issuer: MemoryIssuer,
    /// Bodies of inputs by kind and name.
    inputs: BTreeMap<String, Digest>,
    /// Revisions by digest of the body, per application.
    revisions: BTreeMap<String, Vec<Digest>>,
    generation: u64,
    engine: Option<EngineHandle>,
}

/// What the pods of a deployment do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct<'a> {
    Ready,
    /// Their container waits for this reason of the kubelet.
    Waits(&'a str),
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let server = ApiServer::start(Options::default()).await.unwrap();
        let namespace = json!({"metadata": {"name": EDGE}});
        server.store().create("namespaces", "", namespace).unwrap();
        for role in [role(EDGE), CLUSTER_ROLE.to_owned()] {
            server.grant(CORE, &role).unwrap();
        }
        let mut bench = Self {
            server,
            records: MemoryStore::default(),
            bodies: MemoryBodies::default(),
            issuer: MemoryIssuer::default(),
            inputs: BTreeMap::new(),
            revisions: BTreeMap::new(),
            generation: 0,
            engine: None,
        };
        bench.start_engine().await;
        bench
    }

    /// Starts another engine on what is there.
    pub(crate) async fn start_engine(&mut self) {
        let mut settings = KubeSettings::new("owner-1", "node-1");
        settings.retry_period = Duration::from_millis(20);
        settings.usage_period = Duration::from_secs(3600);
        settings.functions = Some(FunctionSettings {
            runtime_image: "runtime:1".into(),
            attach_address: "baetyl-function.baetyl-edge-system.svc:9012".into(),
        });
        let dependencies = Dependencies {
            store: Arc::new(self.records.clone()),
            bodies: Arc::new(self.bodies.clone()),
            certificates: Arc::new(self.issuer.clone()),
        };
        let client = client(&self.server, CORE).await;
        self.engine = Some(Engine::start(settings, client, dependencies).await.unwrap());
    }

    pub(crate) async fn stop_engine(&mut self) {
        let engine = self.engine.take().unwrap();
        let stopped = tokio::time::timeout(BOUND, engine.stop(StopMode::LeaveRunning)).await;
        assert!(stopped.is_ok(), "the engine does not stop");
    }

    pub(crate) fn engine(&self) -> &EngineHandle {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        self.server.store()
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

    pub(crate) fn input(&self, key: &str) -> Digest {
        self.inputs[key]
    }

    /// Wants exactly these applications; returns the fence.
    pub(crate) fn desire(&mut self, apps: impl IntoIterator<Item = pb::Application>) -> Fence {
        self.generation += 1;
        let fence = Fence::new(Epoch::new(1), Generation::new(self.generation));
        let applications = apps.into_iter().map(|app| self.pin(app)).collect();
        self.engine().set_desired(DesiredSet {
            fence,
            applications,
        });
        fence
    }

    fn pin(&mut self, app: pb::Application) -> DesiredApplication {
        let application = Application::try_new(app).unwrap();
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
        let inputs = application.inputs().into_iter().map(|input| InputRef {
            digest: self.inputs[&format!("{}/{}", input.kind.word(), input.name)].to_string(),
            kind: input.kind.word().into(),
            name: input.name.to_string(),
            revision: 1,
        });
        DesiredApplication {
            inputs: inputs.collect(),
            features: application
                .features()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            name,
            revision: revision as u64,
            digest: digest.to_string(),
            template_digest: application.template_digest().to_string(),
            retry: 0,
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
                "never: {what}; it is {:#?}; requests {:#?}",
                self.engine().status().borrow(),
                self.writes(),
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

    /// Waits until a revision of an application is healthy.
    pub(crate) async fn healthy(&self, name: &str, revision: u64) -> ApplicationStatus {
        let is_healthy = |app: &ApplicationStatus| {
            app.state() == ApplicationState::Healthy && app.serving_revision == revision
        };
        let what = format!("revision {revision} is healthy");
        self.app(name, &what, is_healthy).await
    }

    /// Waits until a desired state runs.
    pub(crate) async fn converged(&self, fence: Fence) {
        self.until("converged", |status| status.converged == Some(fence))
            .await;
    }

    /// Waits until the cluster is so.
    pub(crate) async fn cluster<T>(&self, what: &str, look: impl FnMut(&Store) -> Option<T>) -> T {
        match self.store().wait_for(BOUND, look).await {
            Ok(found) => found,
            Err(_) => panic!(
                "never: {what}; it is {:#?}; requests {:#?}",
                self.engine().status().borrow(),
                self.writes(),
            ),
        }
    }

    /// Waits until the template of a deployment has changed since, or is there; returns its label.
    pub(crate) async fn applied(&self, name: &str, since: &str) -> String {
        let look = |store: &Store| label(store, name).filter(|label| label != since);
        self.cluster(&format!("another template of {name}"), look)
            .await
    }

    /// Plays controller and kubelet for the deployment as it is now.
    pub(crate) fn play(&self, name: &str, conduct: Conduct<'_>) {
        play(&self.store(), name, conduct);
    }

    /// Brings a deployment from one label to the next, all going well.
    pub(crate) async fn rolled(&self, name: &str, since: &str) -> String {
        let label = self.applied(name, since).await;
        self.play(name, Conduct::Ready);
        label
    }

    /// What core asked to be changed, dry runs left out.
    pub(crate) fn writes(&self) -> Vec<Request> {
        let entries = self.server.log().entries().into_iter();
        let is_write = |request: &Request| {
            !["get", "list", "watch"].contains(&request.verb.as_str()) && !request.is_dry_run
        };
        entries
            .filter(|request| request.user == CORE && is_write(request))
            .collect()
    }
}

/// The label of the release in the template of a deployment.
pub(crate) fn label(store: &Store, name: &str) -> Option<String> {
    let deployment = store.get("deployments.apps", EDGE, name)?;
    let label = &deployment["spec"]["template"]["metadata"]["labels"]["baetyl.io/release"];
    Some(label.as_str()?.to_owned())
}

fn play(store: &Store, name: &str, conduct: Conduct<'_>) {
    let deployment = store.get("deployments.apps", EDGE, name).unwrap();
    let template = &deployment["spec"]["template"];
    let own = &template["metadata"]["labels"]["baetyl.io/release"];
    let selector = format!("baetyl.io/application={name}");
    let pods = store.select("pods", EDGE, &selector);
    let is_own = |pod: &Value| pod["metadata"]["labels"]["baetyl.io/release"] == *own;
    let old = pods.iter().filter(|pod| !is_own(pod)).count();
    let own_pods = pods.len() - old;
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
    for _ in own_pods..wanted {
        let pod = json!({
            "metadata": {
                "generateName": format!("{name}-"),
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": name,
                    "uid": deployment["metadata"]["uid"],
                    "controller": true,
                }],
            },
            "spec": template["spec"],
        });
        store.create("pods", EDGE, pod).unwrap();
    }
    let state = match conduct {
        Conduct::Ready => json!({"running": {"startedAt": "2026-01-02T03:04:05Z"}}),
        Conduct::Waits(reason) => json!({"waiting": {"reason": reason, "message": "as played"}}),
    };
    let is_ready = conduct == Conduct::Ready;
    for pod in store.select("pods", EDGE, &selector) {
        if is_own(&pod) {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let container = pod["spec"]["containers"][0]["name"].clone();
            let status = status(&container, &state, is_ready);
            let changed = store.edit_status("pods", EDGE, name, |pod| pod["status"] = status);
            changed.unwrap();
        } else if is_ready {
            let name = pod["metadata"]["name"].as_str().unwrap();
            store
                .delete("pods", EDGE, name, baetyl_apiserver::Deletion::now())
                .unwrap();
        }
    }
    let (available, left) = match is_ready {
        true => (wanted, 0),
        false => (old, old),
    };
    let generation = deployment["metadata"]["generation"].clone();
    let set = |deployment: &mut Value| {
        deployment["status"] = json!({
            "observedGeneration": generation,
            "replicas": wanted + left,
            "updatedReplicas": wanted,
            "readyReplicas": available,
            "availableReplicas": available,
        });
    };
    store
        .edit_status("deployments.apps", EDGE, name, set)
        .unwrap();
}

fn status(container: &Value, state: &Value, is_ready: bool) -> Value {
    let ready = if is_ready { "True" } else { "False" };
    json!({
        "phase": if is_ready { "Running" } else { "Pending" },
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": ready},
        ],
        "containerStatuses": [{
            "name": container,
            "image": "busybox:1",
            "imageID": "",
            "ready": is_ready,
            "started": is_ready,
            "restartCount": 0,
            "state": state,
        }],
    })
}

/// A container application of one service.
pub(crate) fn app(name: &str) -> pb::Application {
    pb::Application {
        name: name.into(),
        r#type: pb::ApplicationType::Container.into(),
        services: vec![pb::Service {
            name: "main".into(),
            image: "busybox:1".into(),
            ports: vec![pb::Port {
                name: "http".into(),
                container_port: 8080,
                ..pb::Port::default()
            }],
            ..pb::Service::default()
        }],
        // It ends a hang and decides nothing.
        update: Some(pb::UpdateStrategy {
            deadline: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
            ..pb::UpdateStrategy::default()
        }),
        ..pb::Application::default()
    }
}

/// The application in another version of itself.
pub(crate) fn version(mut app: pb::Application, version: &str) -> pb::Application {
    app.services[0].args = vec![version.into()];
    app
}

/// The application with a configuration as files.
pub(crate) fn mounting(
    mut app: pb::Application,
    configuration: &str,
    on_change: pb::OnChange,
) -> pb::Application {
    app.volumes.push(pb::Volume {
        name: "files".into(),
        source: Some(pb::volume::Source::Config(pb::ResourceRef {
            name: configuration.into(),
        })),
        on_change: on_change.into(),
    });
    app.services[0].volume_mounts.push(pb::VolumeMount {
        name: "files".into(),
        mount_path: "/etc/files".into(),
        ..pb::VolumeMount::default()
    });
    app
}
