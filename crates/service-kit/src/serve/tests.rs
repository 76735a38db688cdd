//! The health service is what is served: it is the smallest real one at hand.

use std::convert::Infallible;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;
use crate::shutdown::{Drained, OnCancel, Shutdown};
use crate::telemetry::Readiness;
use crate::tls::tests::Authority;
use crate::tls::{ClientAuth, Protocols, Roots, server_config};

const DEADLINE: Duration = Duration::from_secs(180);

/// A server on a port of the kernel's choice, drained explicitly at the end of a test.
struct Running {
    shutdown: Shutdown,
    readiness: Readiness,
    address: Address,
}

impl Running {
    async fn start(address: &str, tls: Option<std::sync::Arc<rustls::ServerConfig>>) -> Self {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new();
        let router = Grpc::new().into_router(&readiness, &shutdown);
        let router = router
            .route("/peer", get(peer))
            .route("/panic", get(panics));
        let options = ServeOptions {
            protocol: Protocol::Auto,
            ..ServeOptions::default()
        };
        Self::start_router(address, tls, router, options, (shutdown, readiness)).await
    }

    async fn start_router(
        address: &str,
        tls: Option<std::sync::Arc<rustls::ServerConfig>>,
        router: Router,
        options: ServeOptions,
        (shutdown, readiness): (Shutdown, Readiness),
    ) -> Self {
        let mut listener = Listener::bind(&address.parse().unwrap()).await.unwrap();
        if let Some(config) = tls {
            listener = listener.with_tls(config);
        }
        let address = listener.address().clone();
        let serving = serve(listener, router, options, shutdown.clone());
        shutdown.spawn("serve", OnCancel::Wait, serving);
        Self {
            shutdown,
            readiness,
            address,
        }
    }

    fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => panic!("not over TCP"),
        }
    }

    fn encrypted(&self, roots: &Roots, identity: Option<&crate::tls::Identity>) -> Channel {
        let tls = Target::tls(roots.clone(), identity.cloned());
        let (address, name) = match &self.address {
            Address::Tcp(address) => (format!("https://localhost:{}", address.port()), None),
            Address::Unix(_) => (self.address.to_string(), Some("localhost")),
        };
        let target = Target::encrypted(&address, name, tls).unwrap();
        connect_lazy(&target, &ConnectOptions::default())
    }

    async fn stop(self) {
        assert_eq!(self.shutdown.drain(DEADLINE).await, Drained::Clean);
    }
}

async fn peer(Extension(peer): Extension<Peer>) -> String {
    format!("{} {}", peer.is_encrypted, peer.certificates.len())
}

async fn panics() -> String {
    panic!("expected by the test")
}

async fn check(channel: Channel) -> Result<ServingStatus, tonic::Status> {
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest::default();
    let answer: HealthCheckResponse = client.check(request).await?.into_inner();
    Ok(answer.status())
}

/// A plain HTTP/2 request through a channel.
async fn get_text(channel: &Channel, path: &str) -> String {
    let request = http::Request::get(path)
        .body(tonic::body::Body::empty())
        .unwrap();
    let response = tower::ServiceExt::oneshot(channel.clone(), request)
        .await
        .unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn mutual(authority: &Authority) -> std::sync::Arc<rustls::ServerConfig> {
    let identity = authority.identity("localhost");
    let auth = ClientAuth::Required(authority.roots());
    server_config(&identity, &auth, Protocols::Http2)
}

#[tokio::test]
async fn given_mutual_tls_when_a_certificate_is_shown_then_the_handler_sees_it() {
    let authority = Authority::new();
    let server = Running::start("127.0.0.1:0", Some(mutual(&authority))).await;
    let client = authority.identity("client");
    let channel = server.encrypted(&authority.roots(), Some(&client));

    assert_eq!(
        check(channel.clone()).await.unwrap(),
        ServingStatus::Serving
    );
    assert_eq!(get_text(&channel, "/peer").await, "true 1");

    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn given_mutual_tls_when_no_certificate_or_a_foreign_one_is_shown_then_others_go_on() {
    let authority = Authority::new();
    let server = Running::start("127.0.0.1:0", Some(mutual(&authority))).await;
    let roots = authority.roots();
    let foreign = Authority::new().identity("client");

    let without = check(server.encrypted(&roots, None)).await.unwrap_err();
    let refused = check(server.encrypted(&roots, Some(&foreign)))
        .await
        .unwrap_err();
    let good = authority.identity("client");
    let accepted = check(server.encrypted(&roots, Some(&good))).await;

    assert_ne!(without.code(), Code::Ok);
    assert_ne!(refused.code(), Code::Ok);
    assert_eq!(accepted.unwrap(), ServingStatus::Serving);
    server.stop().await;
}

#[tokio::test]
async fn given_optional_certificates_when_none_is_shown_then_the_peer_has_none() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let auth = ClientAuth::Optional(authority.roots());
    let config = server_config(&identity, &auth, Protocols::Http2);
    let server = Running::start("127.0.0.1:0", Some(config)).await;

    let channel = server.encrypted(&authority.roots(), None);

    assert_eq!(get_text(&channel, "/peer").await, "true 0");
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn when_identity_and_roots_are_replaced_while_serving_then_new_connections_see_the_new() {
    let old = Authority::new();
    let new = Authority::new();
    let identity = old.identity("localhost");
    let trusted = old.roots();
    let auth = ClientAuth::Required(trusted.clone());
    let config = server_config(&identity, &auth, Protocols::Http2);
    let server = Running::start("127.0.0.1:0", Some(config)).await;
    let standing = server.encrypted(&old.roots(), Some(&old.identity("client")));
    check(standing.clone()).await.unwrap();

    identity.replace(new.chain("localhost")).unwrap();
    trusted.replace(&new.certificates()).unwrap();

    check(standing)
        .await
        .expect("a standing connection goes on");
    let with_old = server.encrypted(&new.roots(), Some(&old.identity("client")));
    check(with_old)
        .await
        .expect_err("the old authority is no longer trusted");
    let with_new = server.encrypted(&new.roots(), Some(&new.identity("client")));
    assert_eq!(check(with_new).await.unwrap(), ServingStatus::Serving);
    server.stop().await;
}

#[tokio::test]
async fn when_clients_renew_their_certificate_then_the_next_connection_shows_it() {
    let authority = Authority::new();
    let server = Running::start("127.0.0.1:0", Some(mutual(&authority))).await;
    let client = Authority::new().identity("client");
    let channel = server.encrypted(&authority.roots(), Some(&client));
    check(channel.clone())
        .await
        .expect_err("a foreign certificate");

    client.replace(authority.chain("client")).unwrap();

    // The channel connects anew after a broken connection; a call may still meet the broken one.
    let mut answer = check(channel.clone()).await;
    for _ in 0..10 {
        if answer.is_ok() {
            break;
        }
        answer = check(channel.clone()).await;
    }
    assert_eq!(answer.unwrap(), ServingStatus::Serving);
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn given_peers_that_never_shake_hands_when_another_comes_then_it_is_served() {
    let authority = Authority::new();
    let server = Running::start("127.0.0.1:0", Some(mutual(&authority))).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(
            TcpStream::connect(("127.0.0.1", server.port()))
                .await
                .unwrap(),
        );
    }
    let mut garbage = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut refusal = Vec::new();
    garbage.read_to_end(&mut refusal).await.ok();

    let client = authority.identity("client");
    let answer = check(server.encrypted(&authority.roots(), Some(&client))).await;

    assert_eq!(answer.unwrap(), ServingStatus::Serving);
    server.stop().await;
    drop(silent);
}

#[tokio::test]
async fn when_served_over_a_unix_socket_with_tls_then_certificates_count_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kit.sock");
    let address = format!("unix:{}", path.display());
    let authority = Authority::new();
    let server = Running::start(&address, Some(mutual(&authority))).await;
    let client = authority.identity("client");
    let channel = server.encrypted(&authority.roots(), Some(&client));

    check(server.encrypted(&authority.roots(), None))
        .await
        .expect_err("no certificate");
    assert_eq!(
        check(channel.clone()).await.unwrap(),
        ServingStatus::Serving
    );
    assert_eq!(get_text(&channel, "/peer").await, "true 1");
    drop(channel);
    server.stop().await;
    assert!(!path.exists(), "the socket's file went with the listener");
}

#[tokio::test]
async fn when_a_dead_process_left_its_socket_then_it_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kit.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = Address::unix(&path).unwrap();

    let live = Listener::bind(&address)
        .await
        .expect("the stale file is replaced");
    let second = Listener::bind(&address).await;

    assert!(second.is_err());
    assert_eq!(mode(&path), 0o600);
    drop(live);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn when_plain_then_http1_and_http2_are_spoken_and_a_panic_stays_alone() {
    let server = Running::start("127.0.0.1:0", None).await;
    let target = Target::plain(&format!("http://127.0.0.1:{}", server.port())).unwrap();
    let channel = connect(&target, &ConnectOptions::default()).await.unwrap();
    assert_eq!(get_text(&channel, "/peer").await, "false 0");
    drop(channel);
    let mut broken = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    broken
        .write_all(b"GET /panic HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        broken.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "a panic ends its connection"
    );

    let mut raw = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    raw.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();

    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("false 0"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn when_readiness_changes_then_health_follows_and_draining_ends_its_streams() {
    let server = Running::start("127.0.0.1:0", None).await;
    let target = Target::plain(&format!("http://127.0.0.1:{}", server.port())).unwrap();
    let mut client = HealthClient::new(connect_lazy(&target, &ConnectOptions::default()));
    let watching = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut statuses = watching.into_inner();
    let condition = server.readiness.condition("store");

    while statuses.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    condition.ready();
    while statuses.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    // The client keeps its stream: draining is clean only when the server ends it.
    server.stop().await;

    while let Ok(Some(last)) = statuses.message().await {
        assert_eq!(last.status(), ServingStatus::NotServing);
    }
}

/// A service whose handlers do not answer.
#[derive(Clone)]
struct Broken;

impl tonic::server::NamedService for Broken {
    const NAME: &'static str = "kit.v1.Broken";
}

impl tower::Service<http::Request<tonic::body::Body>> for Broken {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path().ends_with("/Panic") {
                panic!("expected by the test");
            }
            assert!(request.extensions().get::<Deadline>().is_some());
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn when_a_handler_panics_or_is_too_slow_then_the_caller_gets_a_status() {
    let shutdown = Shutdown::new();
    let router = Grpc::new()
        .add_service(Broken)
        .into_router(&Readiness::new(), &shutdown);

    for (method, code) in [("Panic", Code::Internal), ("Wait", Code::DeadlineExceeded)] {
        let request = http::Request::post(format!("/kit.v1.Broken/{method}"))
            .header("grpc-timeout", "1m")
            .body(axum::body::Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(router.clone(), request)
            .await
            .unwrap();
        let expected = (code as i32).to_string();
        assert_eq!(
            response.headers()["grpc-status"],
            expected.as_str(),
            "{method}"
        );
    }
    shutdown.drain(DEADLINE).await;
}

#[tokio::test]
async fn when_reflection_is_asked_in_both_versions_then_services_are_listed() {
    use tonic_reflection::pb::v1::ServerReflectionRequest as Request;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::{v1alpha, v1alpha::server_reflection_client as alpha_client};

    let server = Running::start("127.0.0.1:0", None).await;
    let target = Target::plain(&format!("http://127.0.0.1:{}", server.port())).unwrap();
    let channel = connect_lazy(&target, &ConnectOptions::default());
    let ask = Request {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answer = client
        .server_reflection_info(futures::stream::iter([ask]))
        .await
        .unwrap();
    let listed = format!("{:?}", answer.into_inner().message().await.unwrap());
    assert!(listed.contains("grpc.health.v1.Health"), "{listed}");

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = alpha_client::ServerReflectionClient::new(channel);
    let answer = client
        .server_reflection_info(futures::stream::iter([ask]))
        .await
        .unwrap();
    let listed = format!("{:?}", answer.into_inner().message().await.unwrap());
    assert!(listed.contains("grpc.health.v1.Health"), "{listed}");
    drop(client);
    server.stop().await;
}

#[test]
fn when_an_address_is_read_then_it_prints_the_same_or_is_refused() {
    for text in ["127.0.0.1:9004", "[::1]:0", "unix:/run/kit.sock"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    let too_long = format!("unix:/{}", "x".repeat(99));
    for text in ["", "localhost", "localhost:1", "unix:", too_long.as_str()] {
        assert!(text.parse::<Address>().is_err(), "{text:?}");
    }
}

#[test]
fn when_a_target_contradicts_itself_then_it_is_refused() {
    let tls = || Target::tls(Authority::new().roots(), None);

    for address in [
        "localhost:1",
        "ftp://x",
        "http://x/path",
        "https://x:1",
        "unix:",
    ] {
        assert!(Target::plain(address).is_err(), "{address}");
    }
    for address in ["http://x:1", "unix:/run/kit.sock", "https://"] {
        assert!(
            Target::encrypted(address, None, tls()).is_err(),
            "{address}"
        );
    }
    assert!(Target::encrypted("https://[::1]:1", None, tls()).is_ok());
}
