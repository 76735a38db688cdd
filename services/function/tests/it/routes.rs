//! The route table: set, refused, kept.

use std::sync::Arc;

use baetyl_proto::function::v1::{Function, ListFunctionsRequest, Route};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::Code;

use crate::node::{Node, sensors_route, soon};
use crate::runtime::Runtime;

async fn listed(node: &Node, service: &str) -> Vec<Function> {
    let request = ListFunctionsRequest {
        service: service.to_owned(),
    };
    let response = soon(node.functions().list_functions(request))
        .await
        .expect("a list");
    response.into_inner().functions
}

#[tokio::test]
async fn when_a_table_is_older_then_it_is_refused_and_nothing_changes() {
    let node = Node::start().await;
    assert_eq!(node.set_routes(5, vec![sensors_route()]).await, Ok(5));
    assert_eq!(node.set_routes(5, vec![sensors_route()]).await, Ok(5));

    let stale = node
        .set_routes(4, Vec::new())
        .await
        .expect_err("it is older");

    assert_eq!(
        (stale.code, stale.reason.as_str()),
        (Code::FailedPrecondition, "STALE_ROUTES")
    );
    assert_eq!(stale.metadata["generation"], "5");
    assert_eq!(listed(&node, "").await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn when_a_table_is_wrong_then_all_faults_are_named_and_nothing_changes() {
    let node = Node::start().await;
    node.route().await;
    let wrong = Route {
        service: "Sensors".to_owned(),
        functions: vec![String::new()],
        timeout: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        ..Route::default()
    };

    let problem = node
        .set_routes(2, vec![wrong])
        .await
        .expect_err("it is wrong");

    let fields: Vec<_> = problem
        .violations
        .iter()
        .map(|each| each.field.as_str())
        .collect();
    let expected = [
        "routes[0].application",
        "routes[0].service",
        "routes[0].functions[0]",
        "routes[0].timeout",
    ];
    assert_eq!(fields, expected);
    assert_eq!(listed(&node, "sensors").await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn when_the_service_starts_again_then_its_routes_are_in_force_without_core() {
    let node = Node::start().await;
    node.set_routes(7, vec![sensors_route()])
        .await
        .expect("taken");
    let folder = node.stop().await;

    let node = Node::start_in(folder, None, |_| {}).await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let (answer, ()) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        runtime.answer(&call, "done").await;
    });

    assert!(answer.is_ok());
    let stale = node
        .set_routes(6, Vec::new())
        .await
        .expect_err("7 is in force");
    assert_eq!(stale.reason, "STALE_ROUTES");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_stored_table_is_broken_then_the_service_starts_without_routes() {
    let node = Node::start().await;
    node.route().await;
    let folder = node.stop().await;
    let file = folder.path().join("function/routes.json");
    assert!(file.exists());
    std::fs::write(file, "{").expect("written");

    let node = Node::start_in(folder, None, |_| {}).await;

    assert!(listed(&node, "").await.is_empty());
    node.route().await;
    assert_eq!(listed(&node, "").await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn when_functions_are_listed_then_what_serves_them_is_there() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 3).await;

    let (answer, functions) = tokio::join!(node.invoke("rows"), async {
        let call = runtime.call().await;
        let functions = listed(&node, "sensors.sensors").await;
        runtime.answer(&call, "").await;
        functions
    });

    assert!(answer.is_ok());
    let function = |name: &str, active_calls| Function {
        application: "sensors".to_owned(),
        service: "sensors".to_owned(),
        name: name.to_owned(),
        revision: 1,
        ready_endpoints: 1,
        slots: 3,
        active_calls,
    };
    assert_eq!(functions, [function("other", 0), function("window", 1)]);
    assert!(listed(&node, "nothing").await.is_empty());
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_route_goes_then_its_runtimes_are_sent_away() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;

    node.set_routes(2, Vec::new()).await.expect("taken");

    assert_eq!(runtime.go_away().await.reason, "NOT_ROUTED");
    let problem = node.invoke("rows").await.expect_err("there is no route");
    assert_eq!(problem.reason, "FUNCTION_NOT_FOUND");
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_the_service_listens_on_a_socket_then_it_answers_there() {
    let folder = Arc::new(tempfile::TempDir::new().expect("a folder"));
    let socket = format!("unix:{}", folder.path().join("invoke.sock").display());
    let node = Node::start_in(folder, None, |config| {
        config.listen = socket.parse().expect("an address");
    })
    .await;

    node.route().await;

    assert_eq!(listed(&node, "").await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn when_probes_are_configured_then_they_answer() {
    let folder = Arc::new(tempfile::TempDir::new().expect("a folder"));
    let socket = folder.path().join("admin.sock");
    let node = Node::start_in(folder, None, |config| {
        config.admin = Some(
            format!("unix:{}", socket.display())
                .parse()
                .expect("an address"),
        );
    })
    .await;
    // What is answered here is answered after the service began to serve.
    node.route().await;

    let mut stream = soon(UnixStream::connect(&socket))
        .await
        .expect("it listens");
    let request = b"GET /readyz HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
    soon(stream.write_all(request)).await.expect("written");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer))
        .await
        .expect("read");

    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    node.stop().await;
}
