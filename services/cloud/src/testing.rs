//! What the tests share: a cloud on real sockets without the API, devices, a scripted edge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::{Digest, Kind, Message, Name, NamespaceName, Resource, Revision, Uid};
use baetyl_pki::{KeyPair, Sealer, SigningRequest};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_client::ActivationServiceClient;
use baetyl_proto::sync::v1::activation_service_server::ActivationServiceServer;
use baetyl_proto::sync::v1::sync_service_server::SyncServiceServer;
use baetyl_service_kit::serve::{
    Address, ConnectOptions, Grpc, Listener, ServeOptions, Target, connect_lazy, serve,
};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use tokio::sync::oneshot;
use tonic::transport::Channel;

use crate::activation::{Activation, ActivationApi, Endpoints};
use crate::authority::{Authorities, Revocations, ServerCertificate};
use crate::matching::Matching;
use crate::operations::Operations;
use crate::status::Reader;
use crate::store::memory::MemoryStore;
use crate::store::{Commit, Key, Store, Stored, Write};
use crate::sync::{Parts, Registry, SyncApi, SyncOptions};

mod edge;

pub(crate) use edge::{Device, Edge, Held};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn namespace() -> NamespaceName {
    NamespaceName::parse("default").unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn key(kind: Kind, text: &str) -> Key {
    Key {
        namespace: namespace(),
        kind,
        name: name(text),
    }
}

/// Waits for a level.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("it did not happen: {what}"))
}

/// A cloud without its API.
pub(crate) struct Cloud {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) parts: Parts,
    pub(crate) operations: Operations,
    pub(crate) status: Reader,
    pub(crate) sync_address: String,
    pub(crate) api_address: String,
    pub(crate) folder: Arc<tempfile::TempDir>,
    server_roots: Roots,
    shutdown: Shutdown,
}

pub(crate) fn options() -> SyncOptions {
    SyncOptions {
        silence_timeout: Duration::from_secs(60),
        ..SyncOptions::default()
    }
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::start_with(options()).await
    }

    pub(crate) async fn start_with(options: SyncOptions) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let cloud = Self::start_on(store, folder, options).await;
        let message = pb::Namespace {
            name: "default".to_owned(),
            ..pb::Namespace::default()
        };
        cloud.put(message).await;
        cloud
    }

    /// Starts on a store and folder that were used before.
    pub(crate) async fn start_on(
        store: Arc<dyn Store>,
        folder: Arc<tempfile::TempDir>,
        options: SyncOptions,
    ) -> Self {
        let now = SystemTime::now();
        let wrapped = folder.path().join("wrapped");
        let stored = std::fs::read(&wrapped).ok();
        let opened = Sealer::open_or_create(&folder.path().join("key"), stored.as_deref()).unwrap();
        if let Some(key) = opened.new_wrapped_key {
            std::fs::write(&wrapped, key).unwrap();
        }
        let trust_domain = "test.baetyl".parse().unwrap();
        let authorities =
            Authorities::open_or_create(&*store, &opened.sealer, &trust_domain, now).await;
        let authorities = Arc::new(authorities.unwrap());
        let revocations = Revocations::open(Some(&folder.path().join("revoked.txt"))).unwrap();
        let month = Duration::from_secs(30 * 24 * 3600);
        let activation = Activation::new(store.clone(), authorities.clone(), revocations, month);
        let registry = Registry::new();
        let woken = registry.clone();
        let on_desired = Arc::new(move |uid: &Uid| woken.wake(uid));
        let matching = Arc::new(Matching::new(store.clone(), on_desired));
        let shutdown = Shutdown::new();
        let parts = Parts {
            store: store.clone(),
            activation: activation.clone(),
            matching: matching.clone(),
            registry: registry.clone(),
            options,
            shutdown: shutdown.clone(),
        };
        let server = ServerCertificate::issue(authorities.clone(), &[], now).unwrap();
        let localhost: Address = "127.0.0.1:0".parse().unwrap();
        let nodes = Roots::try_new(&[authorities.nodes().certificate().clone()]).unwrap();
        let sync = Listener::bind(&localhost).await.unwrap();
        let sync = sync.with_tls(server_config(
            server.identity(),
            &ClientAuth::Required(nodes),
            Protocols::Http2,
        ));
        let api = Listener::bind(&localhost).await.unwrap();
        let api = api.with_tls(server_config(
            server.identity(),
            &ClientAuth::None,
            Protocols::Http2,
        ));
        let sync_address = sync.address().to_string();
        let api_address = api.address().to_string();
        let endpoints = Endpoints {
            sync: vec![sync_address.clone()],
            api: vec![api_address.clone()],
        };
        let sync_service = SyncServiceServer::new(SyncApi::new(parts.clone()));
        let activation_service =
            ActivationServiceServer::new(ActivationApi::new(activation, endpoints.clone()));
        let readiness = Readiness::new();
        for (listener, grpc) in [
            (sync, Grpc::new().add_service(sync_service)),
            (api, Grpc::new().add_service(activation_service)),
        ] {
            let router = grpc.into_router(&readiness, &shutdown);
            let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
            shutdown.spawn("listener", OnCancel::Wait, serving);
        }
        let (caught_up, is_caught_up) = oneshot::channel();
        let running = matching.clone();
        let draining = shutdown.clone();
        let run = async move { running.run(draining, caught_up).await };
        shutdown.spawn("matching", OnCancel::Wait, run);
        is_caught_up.await.unwrap();
        Self {
            operations: Operations::new(&parts, endpoints),
            status: Reader::new(store.clone(), matching, registry),
            server_roots: Roots::try_new(&[authorities.servers().certificate().clone()]).unwrap(),
            store,
            parts,
            sync_address,
            api_address,
            folder,
            shutdown,
        }
    }

    pub(crate) async fn stop(&self) {
        self.shutdown.drain(PATIENCE).await;
    }

    /// Stops, and starts on the same store and folder.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await;
        let (store, folder) = (self.store.clone(), self.folder.clone());
        Self::start_on(store, folder, options()).await
    }

    /// Creates or revises a resource, as the API does.
    pub(crate) async fn put(&self, message: impl Into<Message>) -> Stored {
        let stored = stored(&*self.store, message.into()).await;
        let commit = Commit {
            preconditions: Vec::new(),
            writes: vec![Write::Put(Box::new(stored.clone()))],
        };
        self.store.commit(commit).await.unwrap();
        stored
    }

    pub(crate) async fn node(&self, node: &str, labels: &[(&str, &str)]) -> Uid {
        let message = pb::Node {
            name: node.to_owned(),
            labels: map(labels),
            ..pb::Node::default()
        };
        let uid = self.put(message).await.uid;
        self.matched(node).await;
        uid
    }

    /// Waits until the node has a document.
    pub(crate) async fn matched(&self, node: &str) {
        eventually("the node has a document", async || {
            let stored = self.store.get(&key(Kind::Node, node)).await.unwrap()?;
            let placement = self.parts.matching.placement(&namespace(), &name(node));
            let key = crate::matching::desired_key(&namespace(), &stored.uid);
            self.store.record(&key).await.unwrap()?;
            placement.map(|_| ())
        })
        .await;
    }

    pub(crate) async fn delete(&self, key: Key) {
        let mut writes = Vec::new();
        if key.kind == Kind::Node {
            let uid = self.store.get(&key).await.unwrap().unwrap().uid;
            writes = crate::operations::decommission(&key.namespace, &key.name, &uid, true);
        }
        writes.push(Write::Delete(key));
        let commit = Commit {
            preconditions: Vec::new(),
            writes,
        };
        self.store.commit(commit).await.unwrap();
    }

    pub(crate) async fn token(&self, node: &str) -> String {
        let (namespace, node) = (namespace(), name(node));
        let made = self
            .operations
            .create_join_token(&namespace, &node, None)
            .await;
        made.unwrap().token
    }

    /// Activates a device as a node, over the wire.
    pub(crate) async fn join(&self, node: &str) -> Device {
        let key = KeyPair::generate();
        let request = SigningRequest::create(&key, node).unwrap();
        let identity = self
            .activate(&self.token(node).await, &request)
            .await
            .unwrap();
        Device { key, identity }
    }

    pub(crate) async fn activate(
        &self,
        token: &str,
        request: &[u8],
    ) -> Result<wire::NodeIdentity, tonic::Status> {
        let request = wire::ActivateRequest {
            token: token.to_owned(),
            certificate_request: request.to_vec().into(),
            ..wire::ActivateRequest::default()
        };
        let answer = self.activation_client().activate(request).await?;
        Ok(answer.into_inner().identity.unwrap())
    }

    pub(crate) fn activation_client(&self) -> ActivationServiceClient<Channel> {
        let tls = Target::tls(self.server_roots.clone(), None);
        let address = format!("https://{}", self.api_address);
        let target = Target::encrypted(&address, None, tls).unwrap();
        ActivationServiceClient::new(connect_lazy(&target, &ConnectOptions::default()))
    }

    pub(crate) fn channel(&self, identity: Identity) -> Channel {
        let tls = Target::tls(self.server_roots.clone(), Some(identity));
        let address = format!("https://{}", self.sync_address);
        let target = Target::encrypted(&address, None, tls).unwrap();
        connect_lazy(&target, &ConnectOptions::default())
    }

    /// Opens a stream and sends Hello.
    pub(crate) async fn edge(&self, device: &Device, hello: wire::Hello) -> Edge {
        self.try_edge(device, hello).await.unwrap()
    }

    pub(crate) async fn try_edge(
        &self,
        device: &Device,
        hello: wire::Hello,
    ) -> Result<Edge, tonic::Status> {
        Edge::open(self.channel(device.tls()), hello).await
    }

    pub(crate) async fn node_status(&self, node: &str) -> pb::NodeStatus {
        let stored = self
            .store
            .get(&key(Kind::Node, node))
            .await
            .unwrap()
            .unwrap();
        self.status
            .node(&namespace(), &name(node), &stored.uid)
            .await
            .unwrap()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

async fn stored(store: &dyn Store, message: Message) -> Stored {
    let mut message = message;
    message.set_namespace(&namespace());
    let key = Key {
        namespace: namespace(),
        kind: message.kind(),
        name: name(message.name()),
    };
    let resource = Resource::try_new(message).unwrap().for_new_revision();
    let before = store.get(&key).await.unwrap();
    let now = SystemTime::now();
    let body = resource.encode();
    Stored {
        uid: before
            .as_ref()
            .map_or_else(Uid::random, |before| before.uid.clone()),
        revision: before
            .as_ref()
            .map_or(Revision::FIRST, |before| before.revision.next().unwrap()),
        digest: Digest::of(&body),
        labels: resource.selectable_labels(),
        references: resource.references(),
        author: "test".to_owned(),
        create_time: before.map_or(now, |before| before.create_time),
        update_time: now,
        body,
        key,
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A configuration with one key.
pub(crate) fn configuration(name: &str, text: &str) -> pb::Configuration {
    pb::Configuration {
        name: name.to_owned(),
        data: map(&[("text", text)]),
        ..pb::Configuration::default()
    }
}

/// A process application on `site = demo` that mounts a configuration.
pub(crate) fn application(name: &str, configuration: &str) -> pb::Application {
    let source = pb::volume::Source::Config(pb::ResourceRef {
        name: configuration.to_owned(),
    });
    pb::Application {
        name: name.to_owned(),
        r#type: pb::ApplicationType::Process.into(),
        selector: "site = demo".to_owned(),
        services: vec![pb::Service {
            name: name.to_owned(),
            program: Some(pb::Program {
                configuration: String::new(),
                entry: vec!["sleep".to_owned(), "60".to_owned()],
            }),
            volume_mounts: vec![pb::VolumeMount {
                name: "settings".to_owned(),
                mount_path: "/etc/settings".to_owned(),
                ..pb::VolumeMount::default()
            }],
            ..pb::Service::default()
        }],
        volumes: vec![pb::Volume {
            name: "settings".to_owned(),
            source: Some(source),
            ..pb::Volume::default()
        }],
        ..pb::Application::default()
    }
}
