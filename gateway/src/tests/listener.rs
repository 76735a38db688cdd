//! The gateway over a socket, in front of a server over another.

use std::sync::Arc;
use std::time::Duration;

use baetyl_proto::function::v1::function_service_server::FunctionServiceServer;
use baetyl_service_kit::config::ByteSize;
use baetyl_service_kit::serve::{
    Address, ConnectOptions, Listener, ServeOptions, Target, connect_lazy, serve,
};
use baetyl_service_kit::shutdown::{Drained, OnCancel, Shutdown};
use baetyl_service_kit::tls::{Identity, Roots, client_config};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::service::Routes as Services;

use super::fake::Functions;
use crate::{Backend, Backends, BindError, Config, Face, Server};

/// Ends a hang, and decides nothing.
const BOUND: Duration = Duration::from_secs(180);

fn any_port() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

fn certificate() -> (Identity, Roots) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let roots = Roots::try_new(std::slice::from_ref(&certificate)).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (
        Identity::try_new((vec![certificate], key.into())).unwrap(),
        roots,
    )
}

/// Serves the functions and tells where.
async fn functions(shutdown: &Shutdown) -> Backend {
    let listener = Listener::bind(&any_port()).await.unwrap();
    let target = Target::plain(&format!("http://{}", listener.address())).unwrap();
    let services = Services::new(FunctionServiceServer::new(Functions)).prepare();
    let serving = serve(
        listener,
        services.into_axum_router(),
        ServeOptions::default(),
        shutdown.clone(),
    );
    shutdown.spawn("functions", OnCancel::Wait, serving);
    Backend::new(connect_lazy(&target, &ConnectOptions::default()))
}

async fn edge(shutdown: &Shutdown) -> Backends {
    let function = functions(shutdown).await;
    Backends::Edge {
        core: function.clone(),
        function,
    }
}

#[tokio::test]
async fn when_curl_comes_over_tls_then_the_function_answers_through_both_sockets() {
    let shutdown = Shutdown::new();
    let (identity, roots) = certificate();
    let config = Config {
        listen: Some(any_port()),
        ..Config::default()
    };
    let backends = edge(&shutdown).await;
    let server = Server::bind(config, backends, Some(&identity))
        .await
        .unwrap();
    assert_eq!(server.face(), Face::Edge);
    let address = server.address().to_string();
    shutdown.spawn("gateway", OnCancel::Wait, server.run(shutdown.clone()));

    let mut tls = (*client_config(&roots, None)).clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(&address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await
        .unwrap();
    let request = "POST /v1/functions/sensors/window:invoke HTTP/1.1\r\nhost: localhost\r\n\
                   content-length: 11\r\nconnection: close\r\n\r\n{\"rows\": 3}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An end without a farewell is how some servers close.
    let _ = stream.read_to_end(&mut answer).await;

    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("{\"rows\": 3}"), "{answer}");
    assert_eq!(shutdown.drain(BOUND).await, Drained::Clean);
}

#[tokio::test]
async fn when_the_address_is_taken_then_the_gateway_says_so() {
    let shutdown = Shutdown::new();
    let taken = Listener::bind(&any_port()).await.unwrap();
    let config = Config {
        listen: Some(taken.address().clone()),
        ..Config::default()
    };

    let error = Server::bind(config, edge(&shutdown).await, None)
        .await
        .unwrap_err();

    assert!(matches!(error, BindError::Listen { .. }), "{error}");
    shutdown.drain(BOUND).await;
}

#[tokio::test]
async fn when_the_configuration_is_wrong_then_all_of_it_is_told() {
    let shutdown = Shutdown::new();
    let config = Config {
        max_body: ByteSize(0),
        max_streams: 0,
        cors_origins: vec!["example.org".to_owned()],
        ..Config::default()
    };

    let error = Server::bind(config, edge(&shutdown).await, None)
        .await
        .unwrap_err();

    let violations = baetyl_service_kit::fault::Fault::violations(&error);
    let fields: Vec<_> = violations.iter().map(|each| each.field.as_str()).collect();
    assert_eq!(fields, ["max_body", "max_streams", "cors_origins[0]"]);
    shutdown.drain(BOUND).await;
}

#[test]
fn when_nothing_is_configured_then_the_defaults_are_right() {
    let config = Config::default();

    assert!(config.violations().is_empty());
    assert_eq!(config.address(Face::Cloud).to_string(), "127.0.0.1:9080");
    assert_eq!(config.address(Face::Edge).to_string(), "127.0.0.1:9081");
}
