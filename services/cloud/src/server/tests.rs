//! The whole control plane over real sockets.

use std::path::Path;

use baetyl_pki::{KeyPair, SigningRequest};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::apply_service_client::ApplyServiceClient;
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::cloud::v1::node_service_client::NodeServiceClient;
use baetyl_proto::resource::v1 as resource;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_client::ActivationServiceClient;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::{Code, Problem};
use baetyl_service_kit::serve::{Address, ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::tls::Roots;
use tonic::transport::Channel;

use super::{Server, ServerError};
use crate::config::{Config, StoreConfig, StoreKind};
use crate::testing::{Device, Edge, Held, application, configuration, eventually, map};

fn config(folder: &Path) -> Config {
    let any: Address = "127.0.0.1:0".parse().unwrap();
    Config {
        data_folder: folder.join("data"),
        listen: any.clone(),
        sync_listen: any.clone(),
        admin_listen: Some(any),
        drain_timeout: HumanDuration::from_secs(20),
        ..Config::default()
    }
}

/// A client of the API with a token.
struct Client {
    channel: Channel,
    token: String,
}

impl Client {
    fn connect(server: &Server, token: &str) -> Self {
        let pem = server.authority_pem();
        let roots = baetyl_pki::pem::certs(pem.as_bytes()).unwrap();
        let roots = Roots::try_new(&roots).unwrap();
        let address = format!("https://{}", server.addresses().api);
        let target = Target::encrypted(&address, None, Target::tls(roots, None)).unwrap();
        Self {
            channel: connect_lazy(&target, &ConnectOptions::default()),
            token: token.to_owned(),
        }
    }

    fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let header = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone())
    }

    async fn apply(&self, resources: Vec<Resource>, validate_only: bool) -> pb::ApplyResponse {
        let document = |one| pb::Document {
            resource: Some(one),
        };
        let request = pb::ApplyRequest {
            documents: resources.into_iter().map(document).collect(),
            validate_only,
            ..pb::ApplyRequest::default()
        };
        let mut client = ApplyServiceClient::new(self.channel.clone());
        client.apply(self.ask(request)).await.unwrap().into_inner()
    }

    async fn status(&self, name: &str) -> resource::NodeStatus {
        let request = pb::GetNodeRequest {
            name: name.to_owned(),
            ..pb::GetNodeRequest::default()
        };
        let answer = self.nodes().get_node(self.ask(request)).await.unwrap();
        answer.into_inner().node.unwrap().status.unwrap()
    }

    async fn join(&self, name: &str) -> Device {
        let request = pb::CreateJoinTokenRequest {
            name: name.to_owned(),
            ..pb::CreateJoinTokenRequest::default()
        };
        let made = self
            .nodes()
            .create_join_token(self.ask(request))
            .await
            .unwrap();
        let key = KeyPair::generate();
        let request = wire::ActivateRequest {
            token: made.into_inner().token,
            certificate_request: SigningRequest::create(&key, name).unwrap().into(),
            ..wire::ActivateRequest::default()
        };
        let mut client = ActivationServiceClient::new(self.channel.clone());
        let answer = client.activate(request).await.unwrap();
        let identity = answer.into_inner().identity.unwrap();
        Device { key, identity }
    }
}

async fn bind(config: &Config) -> Result<Server, ServerError> {
    Server::bind(config.clone(), prometheus::Registry::new()).await
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn when_started_first_then_everything_is_made_and_the_second_start_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());

    let first = bind(&config).await.unwrap();
    let token = first.first_token().unwrap().to_owned();
    let pem = first.authority_pem();
    let data = &config.data_folder;
    assert_eq!(
        std::fs::read_to_string(data.join("admin.token")).unwrap(),
        token
    );
    assert_eq!(std::fs::read_to_string(data.join("ca.pem")).unwrap(), pem);
    for private in ["admin.token", "master.key", "data.key", "cloud.db"] {
        assert_eq!(mode(&data.join(private)), 0o600, "{private}");
    }
    assert_eq!(mode(data), 0o700);
    let shutdown = Shutdown::new();
    shutdown.begin();
    first.run(shutdown).await.unwrap();

    let second = bind(&config).await.unwrap();
    assert_eq!(second.first_token(), None);
    assert_eq!(second.authority_pem(), pem);
}

#[tokio::test]
async fn when_the_folder_is_in_use_then_the_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let _first = bind(&config).await.unwrap();

    let refused = bind(&config).await;

    assert!(matches!(refused, Err(ServerError::Locked(_))));
}

#[tokio::test]
async fn when_a_port_is_taken_then_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        sync_listen: Address::Tcp(taken.local_addr().unwrap()),
        ..config(folder.path())
    };

    let refused = bind(&config).await;

    assert!(matches!(refused, Err(ServerError::Bind { .. })));
    assert!(!config.data_folder.exists());
}

#[tokio::test]
async fn when_the_key_file_is_gone_then_it_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    drop(bind(&config).await.unwrap());
    std::fs::remove_file(config.data_folder.join("master.key")).unwrap();

    let refused = bind(&config).await;

    assert!(matches!(refused, Err(ServerError::Seal(_))));
}

#[tokio::test]
async fn when_it_serves_then_the_api_answers_behind_its_certificate_until_it_drains() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        store: StoreConfig {
            kind: StoreKind::Memory,
            ..StoreConfig::default()
        },
        ..config(folder.path())
    };
    let server = bind(&config).await.unwrap();
    let readiness = server.readiness();
    let client = Client::connect(&server, "bt_none");
    let shutdown = Shutdown::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    readiness.ready().await;

    let mut activation = ActivationServiceClient::new(client.channel.clone());
    let request = wire::ActivateRequest::default();
    let refused = activation.activate(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(Problem::from_status(&refused).reason, "TOKEN_INVALID");
    let request = client.ask(pb::GetNodeRequest::default());
    let refused = client.nodes().get_node(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    drop((activation, client));

    shutdown.begin();
    running.await.unwrap().unwrap();
    assert!(!readiness.state().is_ready());
}

async fn open(address: &str, device: &Device, hello: wire::Hello) -> Edge {
    let authorities = device.identity.authorities.iter();
    let authorities: Vec<_> = authorities.map(|der| der.to_vec().into()).collect();
    let roots = Roots::try_new(&authorities).unwrap();
    let tls = Target::tls(roots, Some(device.tls()));
    let target = Target::encrypted(&format!("https://{address}"), None, tls).unwrap();
    let channel = connect_lazy(&target, &ConnectOptions::default());
    let mut edge = Edge::open(channel, hello).await.unwrap();
    edge.welcome().await;
    edge
}

fn declared(threshold: &str) -> Vec<Resource> {
    let node = resource::Node {
        name: "demo".to_owned(),
        labels: map(&[("site", "demo")]),
        ..resource::Node::default()
    };
    vec![
        Resource::Node(node),
        Resource::Configuration(configuration("thresholds", threshold)),
        Resource::Application(application("watcher", "thresholds")),
    ]
}

#[tokio::test]
async fn when_documents_are_applied_then_they_reach_the_node_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let server = bind(&config).await.unwrap();
    let token = server.first_token().unwrap().to_owned();
    let client = Client::connect(&server, &token);
    let shutdown = Shutdown::new();
    let running = tokio::spawn(server.run(shutdown.clone()));

    client.apply(declared("30"), false).await;
    let device = client.join("demo").await;
    let mut edge = open(&device.identity.sync_addresses[0], &device, device.hello()).await;
    let held = edge.desired_where(|held| held.names() == ["watcher"]).await;
    let preview = client.apply(declared("31"), true).await;
    assert_eq!(preview.affected_nodes, ["demo"]);
    client.apply(declared("31"), false).await;
    let next = edge.desired().await;
    assert_eq!(next.input("watcher").revision, 2);
    assert_eq!(next.fence.generation, held.fence.generation + 1);
    let status = client.status("demo").await;
    assert_eq!(status.readiness(), resource::Readiness::Online);
    assert_eq!(status.desired_generation, next.fence.generation);

    shutdown.begin();
    assert_eq!(edge.goodbye().await.reason, "SHUTDOWN");
    drop((edge, client));
    running.await.unwrap().unwrap();

    let server = bind(&config).await.unwrap();
    let client = Client::connect(&server, &token);
    let address = server.addresses().sync.to_string();
    let shutdown = Shutdown::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    let status = client.status("demo").await;
    assert_eq!(status.readiness(), resource::Readiness::Offline);
    let mut edge = open(&address, &device, device.holding(&next)).await;
    let request = pb::DeleteNodeRequest {
        name: "demo".to_owned(),
        remove_data: true,
        ..pb::DeleteNodeRequest::default()
    };
    client
        .nodes()
        .delete_node(client.ask(request))
        .await
        .unwrap();
    match edge.next().await {
        Some(Frame::Decommission(frame)) => assert!(frame.remove_data),
        other => panic!("Decommission was expected, not {other:?}"),
    }
    drop((edge, client));
    shutdown.begin();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn when_a_configuration_is_committed_then_the_durable_store_tells_the_node_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let server = bind(&config).await.unwrap();
    let client = Client::connect(&server, server.first_token().unwrap());
    let shutdown = Shutdown::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    client.apply(declared("0"), false).await;
    let device = client.join("demo").await;
    let mut edge = open(&device.identity.sync_addresses[0], &device, device.hello()).await;
    let mut last: Held = edge.desired_where(|held| held.names() == ["watcher"]).await;

    for round in 1..=20_u64 {
        client.apply(declared(&round.to_string()), false).await;
        let held = edge.desired().await;
        assert_eq!(held.input("watcher").revision, round + 1);
        assert!(held.fence.generation > last.fence.generation);
        last = held;
    }

    let converged = wire::Converged {
        fence: Some(last.fence),
    };
    edge.send(Up::Converged(converged)).await;
    eventually("the node has converged", async || {
        let status = client.status("demo").await;
        (status.converged_generation == last.fence.generation).then_some(())
    })
    .await;
    drop((edge, client));
    shutdown.begin();
    running.await.unwrap().unwrap();
}
