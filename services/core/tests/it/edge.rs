//! Core in a folder of its own, with an engine whose instances are in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use baetyl_core::{Config, CoreError, Dependencies, Ended, Server};
use baetyl_engine::memory::MemoryDriver;
use baetyl_model::{Digest, Uid};
use baetyl_proto::node::v1::log_service_client::LogServiceClient;
use baetyl_proto::node::v1::node_service_client::NodeServiceClient;
use baetyl_proto::node::v1::{GetNodeStatusRequest, LocalNodeStatus};
use baetyl_proto::resource::v1 as resource;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{Desired, DesiredApplication, DesiredDocument, Fence, InputRef};
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::serve::{Address, ConnectOptions, Target, connect};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::tls::{Identity, Roots};
use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::cloud::{Cloud, Session, soon};

/// The folder of a node, over several lives of its core.
pub(crate) struct Place {
    folder: TempDir,
    /// Outlives each core, as processes do.
    pub(crate) driver: MemoryDriver,
}

/// A running core.
pub(crate) struct Edge {
    pub(crate) address: Address,
    pub(crate) local: PathBuf,
    shutdown: Shutdown,
    running: JoinHandle<Result<Ended, CoreError>>,
}

impl Place {
    /// A folder whose node is activated at the cloud.
    pub(crate) fn activated(cloud: &Cloud) -> Self {
        let place = Self::empty();
        cloud.activate(&place.config().identity_folder(), 100_000);
        place
    }

    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            driver: MemoryDriver::default(),
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            data_folder: self.folder.path().join("data"),
            listen: Address::Tcp(([127, 0, 0, 1], 0).into()),
            reconnect_cap: HumanDuration::from_millis(20),
            ..Config::default()
        }
    }

    pub(crate) async fn start(&self) -> Edge {
        self.start_with(self.config()).await.unwrap()
    }

    pub(crate) async fn start_with(&self, config: Config) -> Result<Edge, CoreError> {
        let dependencies = Dependencies {
            driver: Some(Arc::new(self.driver.clone())),
            ..Dependencies::default()
        };
        let server = Server::bind(config, dependencies).await?;
        let address = server.address().clone();
        let ca = server.local().ca();
        let local = ca.parent().unwrap().to_owned();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(server.run(shutdown.clone()));
        Ok(Edge {
            address,
            local,
            shutdown,
            running,
        })
    }
}

pub(crate) type Local = InterceptedService<Channel, Bearer>;

/// Shows a token with each call.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) Option<String>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Edge {
    /// The edge token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.local.join("edge-token")).unwrap()
    }

    pub(crate) async fn channel(&self, identity: Option<Identity>) -> Channel {
        let pem = std::fs::read(self.local.join("ca.pem")).unwrap();
        let roots = Roots::try_new(&baetyl_pki::pem::certs(&pem).unwrap()).unwrap();
        let uri = format!("https://{}", self.address);
        let tls = Target::tls(roots, identity);
        let target = Target::encrypted(&uri, Some("localhost"), tls).unwrap();
        connect(&target, &ConnectOptions::default()).await.unwrap()
    }

    pub(crate) async fn node(&self) -> NodeServiceClient<Local> {
        let bearer = Bearer(Some(self.token()));
        NodeServiceClient::with_interceptor(self.channel(None).await, bearer)
    }

    pub(crate) async fn logs(&self) -> LogServiceClient<Local> {
        let bearer = Bearer(Some(self.token()));
        LogServiceClient::with_interceptor(self.channel(None).await, bearer)
    }

    pub(crate) async fn status(&self) -> LocalNodeStatus {
        let request = GetNodeStatusRequest {};
        let response = self.node().await.get_node_status(request).await.unwrap();
        response.into_inner().status.unwrap()
    }

    /// Ends core in good order.
    pub(crate) async fn stop(self) -> Result<Ended, CoreError> {
        self.shutdown.begin();
        self.ended().await
    }

    /// Waits until core ends by itself.
    pub(crate) async fn ended(self) -> Result<Ended, CoreError> {
        let ended = soon("the end of core", self.running).await;
        ended.expect("core does not panic")
    }
}

/// A desired state in the making.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) uid: Uid,
    pub(crate) fence: Fence,
    applications: BTreeMap<String, DesiredApplication>,
    pub(crate) bodies: Vec<Bytes>,
    properties: BTreeMap<String, prost_types::Value>,
}

impl Wish {
    pub(crate) fn new(cloud: &Cloud, generation: u64) -> Self {
        Self {
            uid: cloud.uid.clone(),
            fence: Fence {
                epoch: 1,
                generation,
            },
            applications: BTreeMap::new(),
            bodies: Vec::new(),
            properties: BTreeMap::new(),
        }
    }

    /// Adds an application with a configuration of the given text.
    pub(crate) fn application(mut self, name: &str, text: &str) -> Self {
        let configuration = resource::Configuration {
            name: "input".into(),
            namespace: "default".into(),
            uid: Uid::random().to_string(),
            data: BTreeMap::from([("text".to_owned(), text.to_owned())]),
            ..resource::Configuration::default()
        };
        let volume = resource::Volume {
            name: "input".into(),
            source: Some(resource::volume::Source::Config(resource::ResourceRef {
                name: "input".into(),
            })),
            on_change: resource::OnChange::Reload.into(),
        };
        let service = resource::Service {
            name: "main".into(),
            program: Some(resource::Program {
                configuration: String::new(),
                entry: vec!["sleep".into(), "60".into()],
            }),
            ..resource::Service::default()
        };
        let application = resource::Application {
            name: name.into(),
            namespace: "default".into(),
            uid: Uid::random().to_string(),
            r#type: resource::ApplicationType::Process.into(),
            workload: resource::Workload::Deployment.into(),
            selector: "site = demo".into(),
            replicas: Some(1),
            services: vec![service],
            volumes: vec![volume],
            ..resource::Application::default()
        };
        self.add(&application, &configuration);
        self
    }

    /// Adds a function application with one service of the same name.
    pub(crate) fn function(mut self, name: &str) -> Self {
        let configuration = resource::Configuration {
            name: "code".into(),
            namespace: "default".into(),
            uid: Uid::random().to_string(),
            data: BTreeMap::from([("window.py".to_owned(), "def handler(): pass".to_owned())]),
            ..resource::Configuration::default()
        };
        let service = resource::Service {
            name: name.into(),
            runtime: "python3".into(),
            functions: vec![resource::FunctionSpec {
                name: "window".into(),
                handler: "window.handler".into(),
            }],
            code: Some(resource::Code {
                configuration: "code".into(),
            }),
            concurrency: 1,
            ..resource::Service::default()
        };
        let application = resource::Application {
            name: name.into(),
            namespace: "default".into(),
            uid: Uid::random().to_string(),
            r#type: resource::ApplicationType::Function.into(),
            workload: resource::Workload::Deployment.into(),
            selector: "site = demo".into(),
            replicas: Some(1),
            services: vec![service],
            ..resource::Application::default()
        };
        self.add(&application, &configuration);
        self
    }

    fn add(&mut self, application: &resource::Application, input: &resource::Configuration) {
        let configuration = self.body(input.encode_to_vec());
        let digest = self.body(application.encode_to_vec());
        let item = DesiredApplication {
            name: application.name.clone(),
            revision: 1,
            template_digest: digest.clone(),
            digest,
            inputs: vec![InputRef {
                kind: "configuration".into(),
                name: input.name.clone(),
                revision: 1,
                digest: configuration,
            }],
            features: Vec::new(),
            retry: 0,
            uid: application.uid.clone(),
        };
        self.applications.insert(application.name.clone(), item);
    }

    pub(crate) fn property(mut self, key: &str, text: &str) -> Self {
        let kind = Some(prost_types::value::Kind::StringValue(text.into()));
        let value = prost_types::Value { kind };
        self.properties.insert(key.into(), value);
        self
    }

    fn body(&mut self, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        self.bodies.push(bytes.into());
        digest
    }

    pub(crate) fn encoded(&self) -> Bytes {
        let document = DesiredDocument {
            node_uid: self.uid.to_string(),
            fence: Some(self.fence),
            applications: self.applications.values().cloned().collect(),
            properties: self.properties.clone(),
            core: None,
        };
        document.encode_to_vec().into()
    }

    /// Sends it in pages, without offering its bodies.
    pub(crate) async fn send(&self, session: &Session) {
        let document = self.encoded();
        let digest = Digest::of(&document).to_string();
        let pages = document.chunks(100).count();
        for (index, page) in document.chunks(100).enumerate() {
            session
                .send(Down::Desired(Desired {
                    fence: Some(self.fence),
                    digest: digest.clone(),
                    data: Bytes::copy_from_slice(page),
                    total_bytes: document.len() as u64,
                    end: index + 1 == pages,
                    traceparent: String::new(),
                }))
                .await;
        }
    }

    /// Offers its bodies, sends it, and waits until the node accepted it.
    pub(crate) async fn settle(&self, cloud: &Cloud, session: &mut Session) {
        cloud.offer_bodies(&self.bodies);
        self.send(session).await;
        assert_eq!(session.accepted().await, self.fence);
    }
}
