//! Who may do what, with TLS on every socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_proto::function::v1::route_service_client::RouteServiceClient;
use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{
    AttachRequest, ListFunctionsRequest, RegisterAddressRequest, RuntimeInstance, SetRoutesRequest,
};
use baetyl_service_kit::fault::Problem;
use tempfile::TempDir;
use tonic::{Code, Request, Status};

use crate::node::{As, Node, authority, soon};
use crate::runtime::{Runtime, hello};

const TOKEN: &str = "the-edge-token";

fn token_file(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permitted");
    path
}

/// A node with TLS and an edge token.
async fn guarded(may_token_attach: bool) -> Node {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let token = token_file(&folder);
    Node::start_in(folder, Some(authority()), |config| {
        config.edge_token_file = Some(token);
        config.allow_token_attach = may_token_attach;
    })
    .await
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("visible");
    request.metadata_mut().insert("authorization", value);
    request
}

fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let problem = Problem::from_status(&result.expect_err("it is refused"));
    (problem.code, problem.reason)
}

#[tokio::test]
async fn a_runtime_attaches_for_the_service_in_its_certificate_only() {
    let node = guarded(false).await;
    node.route().await;

    let own = Runtime::attach_with(&node, hello("one", 1)).await;
    let channel = node.attach_channel(&As::Service("sensors", "other"));
    let other = Runtime::attach_over(channel, FromRuntime::Hello(hello("two", 1)), None).await;
    let core = node.attach_channel(&As::System("core"));
    let core = Runtime::attach_over(core, FromRuntime::Hello(hello("three", 1)), None).await;

    assert!(own.is_ok());
    assert_eq!(
        other.err().expect("it is refused").reason,
        "PERMISSION_DENIED"
    );
    assert_eq!(
        core.err().expect("it is refused").reason,
        "PERMISSION_DENIED"
    );
    assert_eq!(node.proxy.tally().refused_runtimes.value(), 2);
    drop(own);
    node.stop().await;
}

#[tokio::test]
async fn without_a_certificate_of_this_node_nobody_reaches_the_runtimes_listener() {
    let node = guarded(false).await;
    node.route().await;
    let empty = || tokio_stream::empty::<AttachRequest>();

    let nobody = RuntimeServiceClient::new(node.attach_channel(&As::Nobody))
        .attach(empty())
        .await;
    let foreign = RuntimeServiceClient::new(node.foreign_channel())
        .attach(empty())
        .await;

    assert!(nobody.is_err());
    assert!(foreign.is_err());
    node.stop().await;
}

#[tokio::test]
async fn the_edge_token_attaches_only_where_that_is_allowed() {
    for is_allowed in [false, true] {
        let node = guarded(is_allowed).await;
        node.route().await;

        let channel = node.invoke_channel(&As::Nobody);
        let first = FromRuntime::Hello(hello("one", 1));
        let attached = Runtime::attach_over(channel, first, Some(TOKEN)).await;

        assert_eq!(attached.is_ok(), is_allowed);
        if let Err(away) = &attached {
            assert_eq!(away.reason, "PERMISSION_DENIED");
        }
        drop(attached);
        node.stop().await;
    }
}

#[tokio::test]
async fn functions_are_invoked_with_any_credential_of_this_node() {
    let node = guarded(false).await;
    node.route().await;
    let list = ListFunctionsRequest::default;
    let mut nobody = FunctionServiceClient::new(node.invoke_channel(&As::Nobody));
    let gateway = node.invoke_channel(&As::System("gateway"));
    let mut gateway = FunctionServiceClient::new(gateway);

    let missing = reason(soon(nobody.list_functions(list())).await);
    let wrong = reason(soon(nobody.list_functions(with_token(list(), "guess"))).await);
    let by_token = soon(nobody.list_functions(with_token(list(), TOKEN))).await;
    let by_certificate = soon(gateway.list_functions(list())).await;

    assert_eq!(
        missing,
        (Code::Unauthenticated, "CREDENTIALS_MISSING".to_owned())
    );
    assert_eq!(wrong, (Code::Unauthenticated, "TOKEN_INVALID".to_owned()));
    assert!(by_token.is_ok());
    assert!(by_certificate.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn routes_are_set_by_core_and_the_owner_only() {
    let node = guarded(false).await;
    let table = SetRoutesRequest::default;
    let runtime = node.invoke_channel(&As::Service("sensors", "sensors"));
    let mut runtime = RouteServiceClient::new(runtime);
    let mut owner = RouteServiceClient::new(node.invoke_channel(&As::Nobody));

    let by_runtime = reason(soon(runtime.set_routes(table())).await);
    let by_nobody = reason(soon(owner.set_routes(table())).await);
    let by_owner = soon(owner.set_routes(with_token(table(), TOKEN))).await;

    assert_eq!(
        by_runtime,
        (Code::PermissionDenied, "PERMISSION_DENIED".to_owned())
    );
    assert_eq!(by_nobody.0, Code::Unauthenticated);
    assert!(by_owner.is_ok());
    // Core is who routes in all the other tests.
    node.route().await;
    node.stop().await;
}

#[tokio::test]
async fn a_service_registers_only_itself_by_address() {
    let node = guarded(false).await;
    let registration = |service: &str| RegisterAddressRequest {
        instance: Some(RuntimeInstance {
            id: "server".to_owned(),
            ..RuntimeInstance::default()
        }),
        service: service.to_owned(),
        address: "http://127.0.0.1:1".to_owned(),
        ..RegisterAddressRequest::default()
    };
    let channel = node.invoke_channel(&As::Service("sensors", "sensors"));
    let mut client = RuntimeServiceClient::new(channel);

    let own = soon(client.register_address(registration("sensors"))).await;
    let other = reason(soon(client.register_address(registration("other"))).await);

    assert!(own.is_ok());
    assert_eq!(
        other,
        (Code::PermissionDenied, "PERMISSION_DENIED".to_owned())
    );
    node.stop().await;
}
