//! A function service on sockets of its own, and clients for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_function::app::proxy::Proxy;
use baetyl_function::{Config, Security, Server};
use baetyl_pki::{Authority, Credentials, Name, Profile, TrustDomain, Validity};
use baetyl_proto::faas::function_client::FunctionClient;
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_proto::function::v1::route_service_client::RouteServiceClient;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{InvokeRequest, InvokeResponse, Route, SetRoutesRequest};
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::Problem;
use baetyl_service_kit::serve::{Address, ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::shutdown::{Drained, OnCancel, Shutdown};
use baetyl_service_kit::tls::{Identity, Roots};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

/// Longest wait for anything that should happen. It ends a hang and decides nothing.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// How long a runtime may be silent, and calls wait for one, where a test is not about that.
pub(crate) const EVER: HumanDuration = HumanDuration::from_secs(600);

/// Waits for what should happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(BOUND, what).await.expect("it happens in time")
}

/// Waits until a level is reached, looking often.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while !is_so() {
            looks.tick().await;
        }
    })
    .await;
}

/// Asserts code and reason of what was refused.
pub(crate) fn is(problem: &Problem, code: Code, reason: &str) {
    assert_eq!(
        (problem.code, problem.reason.as_str()),
        (code, reason),
        "{problem:?}"
    );
}

/// Who a client shows itself as.
pub(crate) enum As<'a> {
    Nobody,
    Service(&'a str, &'a str),
    System(&'a str),
}

pub(crate) struct Node {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) authority: Option<Authority>,
    shutdown: Shutdown,
    invoke: Address,
    attach: Address,
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn validity() -> Validity {
    Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    }
}

pub(crate) fn authority() -> Authority {
    let domain: TrustDomain = "test.baetyl".parse().expect("a trust domain");
    Authority::create("node demo", &domain, validity()).expect("an authority")
}

pub(crate) fn identity(authority: &Authority, profile: &Profile) -> Identity {
    let credentials = Credentials::issue(authority, profile, validity()).expect("credentials");
    let chain = credentials.chain().to_vec();
    Identity::try_new((chain, credentials.key().to_private_key_der())).expect("an identity")
}

pub(crate) fn roots(authority: &Authority) -> Roots {
    Roots::try_new(&[authority.certificate().clone()]).expect("roots")
}

pub(crate) fn profile(who: &As<'_>) -> Option<Profile> {
    let (namespace, node) = (name("default"), name("demo"));
    match who {
        As::Nobody => None,
        As::Service(application, service) => Some(Profile::workload(
            namespace,
            node,
            name(application),
            name(service),
        )),
        As::System(service) => Some(Profile::edge_system(
            namespace,
            node,
            name(service),
            Vec::new(),
        )),
    }
}

impl Node {
    /// A node without TLS and token.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        Self::start_in(folder, None, change).await
    }

    pub(crate) async fn start_in(
        folder: Arc<TempDir>,
        authority: Option<Authority>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            data_folder: folder.path().join("function"),
            runtime_wait: EVER,
            lease_duration: EVER,
            ..Config::default()
        };
        change(&mut config);
        let security = match &authority {
            Some(authority) => Security::Tls {
                identity: identity(
                    authority,
                    &profile(&As::System("function")).expect("a profile"),
                ),
                roots: roots(authority),
            },
            None => Security::Insecure,
        };
        let server = Server::bind(config, security).await.expect("it starts");
        let shutdown = Shutdown::new();
        let node = Self {
            folder,
            proxy: server.proxy().clone(),
            authority,
            shutdown: shutdown.clone(),
            invoke: server.invoke_address().clone(),
            attach: server
                .attach_addresses()
                .next()
                .expect("an address")
                .clone(),
        };
        let running = server.run(shutdown.clone());
        let named = async { running.await.expect("it runs") };
        shutdown.spawn("function", OnCancel::Wait, named);
        node
    }

    /// Begins the end, and goes on.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.begin();
    }

    /// Ends the node in order; nothing is left that has to be dropped.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        let drained = self.shutdown.drain(BOUND).await;
        assert_eq!(drained, Drained::Clean);
        self.folder
    }

    fn channel(&self, address: &Address, who: &As<'_>) -> Channel {
        let Some(authority) = &self.authority else {
            let plain = match address {
                Address::Tcp(address) => format!("http://{address}"),
                unix => unix.to_string(),
            };
            let target = Target::plain(&plain).expect("an address");
            return connect_lazy(&target, &ConnectOptions::default());
        };
        self.channel_trusting(
            authority,
            address,
            profile(who).map(|each| identity(authority, &each)),
        )
    }

    fn channel_trusting(
        &self,
        authority: &Authority,
        address: &Address,
        identity: Option<Identity>,
    ) -> Channel {
        let url = match address {
            Address::Tcp(address) => format!("https://{address}"),
            unix => unix.to_string(),
        };
        let tls = Target::tls(roots(authority), identity);
        let target = Target::encrypted(&url, Some("localhost"), tls).expect("an address");
        connect_lazy(&target, &ConnectOptions::default())
    }

    /// A channel to the attach listener of a client with a certificate of somebody else's.
    pub(crate) fn foreign_channel(&self) -> Channel {
        let ours = self.authority.as_ref().expect("TLS");
        let foreign = identity(
            &authority(),
            &profile(&As::Service("sensors", "sensors")).expect("one"),
        );
        self.channel_trusting(ours, &self.attach, Some(foreign))
    }

    pub(crate) fn invoke_channel(&self, who: &As<'_>) -> Channel {
        self.channel(&self.invoke, who)
    }

    pub(crate) fn attach_channel(&self, who: &As<'_>) -> Channel {
        self.channel(&self.attach, who)
    }

    pub(crate) fn functions(&self) -> FunctionServiceClient<Channel> {
        FunctionServiceClient::new(self.invoke_channel(&As::Nobody))
            .max_decoding_message_size(8 << 20)
    }

    pub(crate) fn faas(&self) -> FunctionClient<Channel> {
        FunctionClient::new(self.invoke_channel(&As::Nobody))
    }

    pub(crate) fn runtimes(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.invoke_channel(&As::Nobody))
    }

    pub(crate) async fn set_routes(
        &self,
        generation: u64,
        routes: Vec<Route>,
    ) -> Result<u64, Problem> {
        let mut client = RouteServiceClient::new(self.invoke_channel(&As::System("core")));
        let request = SetRoutesRequest { generation, routes };
        match soon(client.set_routes(request)).await {
            Ok(response) => Ok(response.into_inner().generation),
            Err(status) => Err(Problem::from_status(&status)),
        }
    }

    /// Routes `sensors.sensors` with the function `window`, revision 1.
    pub(crate) async fn route(&self) {
        self.set_routes(1, vec![sensors_route()])
            .await
            .expect("the table is taken");
    }

    /// Invokes `sensors/window`.
    pub(crate) async fn invoke(&self, payload: &'static str) -> Result<InvokeResponse, Problem> {
        self.invoke_with(sensors_call(payload)).await
    }

    pub(crate) async fn invoke_with(
        &self,
        request: InvokeRequest,
    ) -> Result<InvokeResponse, Problem> {
        match self.functions().invoke(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(Problem::from_status(&status)),
        }
    }
}

pub(crate) fn sensors_route() -> Route {
    Route {
        application: "sensors".to_owned(),
        service: "sensors".to_owned(),
        active_revision: 1,
        functions: vec!["window".to_owned(), "other".to_owned()],
        timeout: Some(prost_types::Duration {
            seconds: 300,
            nanos: 0,
        }),
        ..Route::default()
    }
}

pub(crate) fn sensors_call(payload: &'static str) -> InvokeRequest {
    InvokeRequest {
        service: "sensors".to_owned(),
        function: "window".to_owned(),
        payload: Bytes::from_static(payload.as_bytes()),
        ..InvokeRequest::default()
    }
}
