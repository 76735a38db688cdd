//! A control plane on a port of its own, and the words in which the tests are written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_cloud::api::{Api, Parts};
use baetyl_cloud::auth::Tokens;
use baetyl_cloud::seam::{BoxFault, Edit, ImpactPreview, NodeOperations, NodeRef, NothingKnown};
use baetyl_cloud::store::memory::MemoryStore;
use baetyl_cloud::store::sqlite::SqliteStore;
use baetyl_cloud::store::{RecordKey, Store, Table, Write};
use baetyl_model::{Name, NamespaceName};
use baetyl_pki::Sealer;
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::cloud::v1::apply_service_client::ApplyServiceClient;
use baetyl_proto::cloud::v1::certificate_service_client::CertificateServiceClient;
use baetyl_proto::cloud::v1::configuration_service_client::ConfigurationServiceClient;
use baetyl_proto::cloud::v1::namespace_service_client::NamespaceServiceClient;
use baetyl_proto::cloud::v1::node_service_client::NodeServiceClient;
use baetyl_proto::cloud::v1::registry_service_client::RegistryServiceClient;
use baetyl_proto::cloud::v1::revision_service_client::RevisionServiceClient;
use baetyl_proto::cloud::v1::secret_service_client::SecretServiceClient;
use baetyl_proto::cloud::v1::system_service_client::SystemServiceClient;
use baetyl_proto::cloud::v1::token_service_client::TokenServiceClient;
use baetyl_proto::resource::v1 as resource;
use baetyl_service_kit::fault::Problem;
use baetyl_service_kit::serve::{
    Address, ConnectOptions, Grpc, Listener, ServeOptions, Target, connect_lazy, serve,
};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use futures::stream::BoxStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Where a store lies that can be opened again.
struct Folder {
    folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
}

/// A control plane without nodes.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shutdown: Shutdown,
    channel: Channel,
    admin: String,
    folder: Option<Folder>,
}

/// A client that sends a token.
pub(crate) type Line = InterceptedService<Channel, Bearer>;

/// Puts a token into every request.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Every client of one caller.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) namespaces: NamespaceServiceClient<Line>,
    pub(crate) nodes: NodeServiceClient<Line>,
    pub(crate) applications: ApplicationServiceClient<Line>,
    pub(crate) configurations: ConfigurationServiceClient<Line>,
    pub(crate) secrets: SecretServiceClient<Line>,
    pub(crate) certificates: CertificateServiceClient<Line>,
    pub(crate) registries: RegistryServiceClient<Line>,
    pub(crate) sets: ApplyServiceClient<Line>,
    pub(crate) revisions: RevisionServiceClient<Line>,
    pub(crate) tokens: TokenServiceClient<Line>,
    pub(crate) system: SystemServiceClient<Line>,
}

impl World {
    pub(crate) async fn in_memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()), None).await
    }

    pub(crate) async fn in_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(open(folder.path()).await);
        let folder = Folder {
            folder,
            store: store.clone(),
        };
        Self::over(store, Some(folder)).await
    }

    async fn over(store: Arc<dyn Store>, folder: Option<Folder>) -> Self {
        let first = Tokens::new(store.clone())
            .ensure_first(SystemTime::now())
            .await;
        let first = first
            .expect("the store works")
            .expect("it is the first start");
        let admin = first.secret.reveal().to_string();
        let (shutdown, channel) = serving(store.clone()).await;
        let world = Self {
            store,
            shutdown,
            channel,
            admin,
            folder,
        };
        let mut clients = world.admin();
        for name in ["default", "factory"] {
            let created = clients
                .namespaces
                .create_namespace(pb::CreateNamespaceRequest {
                    namespace: Some(resource::Namespace {
                        name: name.to_owned(),
                        ..Default::default()
                    }),
                    ..Default::default()
                });
            created.await.expect("the tenant is new");
        }
        world
    }

    /// Ends the server and starts another one over the same store, opened again if it is durable.
    pub(crate) async fn restarted(mut self) -> Self {
        self.shutdown.begin();
        self.shutdown.drain(PATIENCE).await;
        if let Some(folder) = &mut self.folder {
            folder.store.close().await;
            folder.store = Arc::new(open(folder.folder.path()).await);
            self.store = folder.store.clone();
        }
        let (shutdown, channel) = serving(self.store.clone()).await;
        Self {
            shutdown,
            channel,
            ..self
        }
    }

    /// Who may everything.
    pub(crate) fn admin(&self) -> Clients {
        self.with_token(Some(&self.admin))
    }

    pub(crate) fn with_token(&self, token: Option<&str>) -> Clients {
        let header = |token: &str| format!("Bearer {token}").parse().expect("visible");
        let bearer = Bearer(token.map(header));
        let line = || InterceptedService::new(self.channel.clone(), bearer.clone());
        Clients {
            namespaces: NamespaceServiceClient::new(line()),
            nodes: NodeServiceClient::new(line()),
            applications: ApplicationServiceClient::new(line()),
            configurations: ConfigurationServiceClient::new(line()),
            secrets: SecretServiceClient::new(line()),
            certificates: CertificateServiceClient::new(line()),
            registries: RegistryServiceClient::new(line()),
            sets: ApplyServiceClient::new(line()),
            revisions: RevisionServiceClient::new(line()),
            tokens: TokenServiceClient::new(line()),
            system: SystemServiceClient::new(line()),
        }
    }

    /// Who may what a new token may.
    pub(crate) async fn caller(&self, name: &str, namespace: &str) -> Clients {
        let mut admin = self.admin();
        let made = admin.tokens.create_token(pb::CreateTokenRequest {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            lifetime: None,
        });
        let made = made.await.expect("the token is new").into_inner();
        self.with_token(Some(&made.secret))
    }
}

async fn open(folder: &std::path::Path) -> SqliteStore {
    let wrapped_file = folder.join("wrapped");
    let wrapped = std::fs::read(&wrapped_file).ok();
    let opened = Sealer::open_or_create(&folder.join("key"), wrapped.as_deref()).expect("opens");
    if let Some(new) = opened.new_wrapped_key {
        std::fs::write(wrapped_file, new).expect("the folder can be written");
    }
    let store = SqliteStore::open(folder.join("store.db"), opened.sealer).await;
    store.expect("the store opens")
}

async fn serving(store: Arc<dyn Store>) -> (Shutdown, Channel) {
    let shutdown = Shutdown::new();
    let parts = Parts {
        store,
        nodes: Arc::new(Devices),
        status: Arc::new(NothingKnown),
        impact: Arc::new(EveryNode),
        shutdown: shutdown.clone(),
    };
    let api = Api::new(parts, SystemTime::now());
    let address: Address = "127.0.0.1:0".parse().expect("an address");
    let listener = Listener::bind(&address).await.expect("a free port");
    let target = Target::plain(&format!("http://{}", listener.address())).expect("an address");
    let grpc = api
        .add_to(Grpc::new())
        .descriptors(baetyl_proto::DESCRIPTOR);
    let router = grpc.into_router(&Readiness::new(), &shutdown);
    let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
    shutdown.spawn("api", OnCancel::Wait, serving);
    (shutdown, connect_lazy(&target, &ConnectOptions::default()))
}

/// Every change reaches the node `edge-1` of its tenant.
struct EveryNode;

#[async_trait]
impl ImpactPreview for EveryNode {
    async fn affected_nodes(
        &self,
        edits: &[Edit],
    ) -> Result<BTreeSet<(NamespaceName, Name)>, BoxFault> {
        let node = Name::parse("edge-1").expect("a name");
        let reached = edits
            .iter()
            .map(|edit| (edit.key.namespace.clone(), node.clone()));
        Ok(reached.collect())
    }
}

/// Devices that do nothing but remember that they are to be told of their end.
struct Devices;

/// The record that tells a device.
pub(crate) fn farewell(namespace: &str, uid: &str) -> RecordKey {
    RecordKey {
        namespace: namespace.to_owned(),
        table: Table::Decommission,
        key: uid.to_owned(),
    }
}

#[async_trait]
impl NodeOperations for Devices {
    async fn create_join_token(
        &self,
        node: &NodeRef,
        _lifetime: Option<Duration>,
    ) -> Result<pb::CreateJoinTokenResponse, BoxFault> {
        Ok(pb::CreateJoinTokenResponse {
            command: format!("join {}", node.name),
            ..Default::default()
        })
    }

    async fn properties(&self, _node: &NodeRef) -> Result<resource::NodeProperties, BoxFault> {
        Ok(resource::NodeProperties::default())
    }

    async fn update_properties(
        &self,
        _node: &NodeRef,
        _patch: prost_types::Struct,
    ) -> Result<resource::NodeProperties, BoxFault> {
        Ok(resource::NodeProperties::default())
    }

    async fn retry_application(
        &self,
        _node: &NodeRef,
        _application: &Name,
    ) -> Result<u64, BoxFault> {
        Ok(7)
    }

    async fn revoke(&self, _node: &NodeRef) -> Result<u32, BoxFault> {
        Ok(1)
    }

    async fn stream_logs(
        &self,
        _node: &NodeRef,
        _request: pb::StreamLogsRequest,
    ) -> Result<BoxStream<'static, Result<pb::StreamLogsResponse, BoxFault>>, BoxFault> {
        Ok(Box::pin(futures::stream::empty()))
    }

    async fn delete_writes(
        &self,
        node: &NodeRef,
        remove_data: bool,
    ) -> Result<Vec<Write>, BoxFault> {
        let key = farewell(node.namespace.as_str(), node.uid.as_str());
        Ok(vec![Write::PutRecord(
            key,
            vec![u8::from(remove_data)].into(),
        )])
    }
}

/// What a refusal says: its reason, and the field and reason of every violation, sorted.
pub(crate) fn refused<T: std::fmt::Debug>(
    outcome: Result<Response<T>, Status>,
) -> (String, Vec<(String, String)>) {
    let problem = Problem::from_status(&outcome.expect_err("it is refused"));
    let fields = problem
        .violations
        .into_iter()
        .map(|one| (one.field, one.reason));
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    (problem.reason, fields)
}

pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<Response<T>, Status>) -> String {
    refused(outcome).0
}

/// The next answer of a stream.
pub(crate) async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message.expect("the stream says something")?;
    Ok(message.expect("the stream goes on"))
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

pub(crate) fn configuration(name: &str, text: &str) -> resource::Configuration {
    resource::Configuration {
        name: name.to_owned(),
        data: labels(&[("limits.json", text)]),
        ..Default::default()
    }
}

/// A process application that reloads the configuration `limits` and reads the secret `keys`.
pub(crate) fn watcher() -> resource::Application {
    use resource::{env_var_source, volume};
    let secret = resource::KeyRef {
        name: "keys".to_owned(),
        key: "token".to_owned(),
    };
    let config = resource::ResourceRef {
        name: "limits".to_owned(),
    };
    let mut application = plain("watcher");
    application.volumes = vec![resource::Volume {
        name: "limits".to_owned(),
        source: Some(volume::Source::Config(config)),
        ..Default::default()
    }];
    application.services[0].env = vec![resource::EnvVar {
        name: "TOKEN".to_owned(),
        value_from: Some(resource::EnvVarSource {
            source: Some(env_var_source::Source::SecretKeyRef(secret)),
        }),
        ..Default::default()
    }];
    application
}

/// A process application without inputs.
pub(crate) fn plain(name: &str) -> resource::Application {
    let mut application = resource::Application {
        name: name.to_owned(),
        selector: "site = demo".to_owned(),
        services: vec![resource::Service {
            name: "main".to_owned(),
            program: Some(resource::Program {
                entry: vec!["true".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    application.set_type(resource::ApplicationType::Process);
    application
}

pub(crate) fn secret(name: &str, values: &[(&str, &str)]) -> resource::Secret {
    resource::Secret {
        name: name.to_owned(),
        string_data: labels(values),
        ..Default::default()
    }
}

pub(crate) fn node(name: &str) -> resource::Node {
    resource::Node {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// Requests with nothing but a resource.
pub(crate) fn create_configuration(one: resource::Configuration) -> pb::CreateConfigurationRequest {
    pb::CreateConfigurationRequest {
        configuration: Some(one),
        ..Default::default()
    }
}

pub(crate) fn update_configuration(one: resource::Configuration) -> pb::UpdateConfigurationRequest {
    pb::UpdateConfigurationRequest {
        configuration: Some(one),
        ..Default::default()
    }
}

pub(crate) fn create_application(one: resource::Application) -> pb::CreateApplicationRequest {
    pb::CreateApplicationRequest {
        application: Some(one),
        ..Default::default()
    }
}

pub(crate) fn get_configuration(name: &str) -> pb::GetConfigurationRequest {
    pb::GetConfigurationRequest {
        name: name.to_owned(),
        ..Default::default()
    }
}

impl Clients {
    /// Makes a configuration that is new.
    pub(crate) async fn configuration(
        &mut self,
        name: &str,
        text: &str,
    ) -> resource::Configuration {
        let made = create_configuration(configuration(name, text));
        let made = self
            .configurations
            .create_configuration(made)
            .await
            .expect("it is new");
        made.into_inner().configuration.expect("it is returned")
    }

    /// Replaces a configuration.
    pub(crate) async fn rewrite(&mut self, name: &str, text: &str) -> resource::Configuration {
        let update = update_configuration(configuration(name, text));
        let made = self
            .configurations
            .update_configuration(update)
            .await
            .expect("it exists");
        made.into_inner().configuration.expect("it is returned")
    }

    /// Makes the inputs of [`watcher`].
    pub(crate) async fn inputs(&mut self) {
        self.configuration("limits", "{}").await;
        let keys = pb::CreateSecretRequest {
            secret: Some(secret("keys", &[("token", "canary")])),
            ..Default::default()
        };
        self.secrets.create_secret(keys).await.expect("it is new");
    }

    /// Reads a configuration.
    pub(crate) async fn read(&mut self, name: &str) -> Result<resource::Configuration, Status> {
        let read = self
            .configurations
            .get_configuration(get_configuration(name))
            .await?;
        Ok(read.into_inner().configuration.expect("it is returned"))
    }
}
