//! Servers of `faas.Function` that are registered by address, and callers of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_function::StaticAddress;
use baetyl_proto::faas::Message;
use baetyl_proto::faas::function_server::{Function, FunctionServer};
use baetyl_proto::function::v1::{
    DeregisterRequest, InvokeRequest, MetadataEntry, RegisterAddressRequest,
    RegisterAddressResponse, RuntimeInstance, ServedFunction,
};
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::Problem;
use baetyl_service_kit::serve::{Address, Grpc, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status};

use crate::node::{BOUND, Node, sensors_call, soon, until};
use crate::runtime::Runtime;

/// A server as the predecessor's runtimes are: answers with the message that it got.
struct Server {
    address: String,
    shutdown: Shutdown,
    dropped: mpsc::Receiver<()>,
}

struct Echo {
    dropped: mpsc::Sender<()>,
}

/// Tells when a call was dropped.
struct Guard(Option<mpsc::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            sender.try_send(()).ok();
        }
    }
}

#[tonic::async_trait]
impl Function for Echo {
    async fn call(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let has_deadline = request.metadata().contains_key("grpc-timeout");
        let mut message = request.into_inner();
        match &message.payload[..] {
            b"raise" => return Err(Status::unknown("Exception calling application: no")),
            b"refuse" => return Err(Status::invalid_argument("no rows")),
            b"busy" => return Err(Status::resource_exhausted("busy")),
            b"hang" => {
                let _guard = Guard(Some(self.dropped.clone()));
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        message
            .metadata
            .insert("deadline".to_owned(), has_deadline.to_string());
        Ok(Response::new(message))
    }
}

impl Server {
    async fn start(address: &str) -> Self {
        let shutdown = Shutdown::new();
        let listener = Listener::bind(&address.parse().expect("an address"))
            .await
            .expect("bound");
        let address = match listener.address() {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(path) => format!("unix://{}", path.display()),
        };
        let (sender, dropped) = mpsc::channel(8);
        let router = Grpc::new()
            .add_service(
                FunctionServer::new(Echo { dropped: sender }).max_decoding_message_size(8 << 20),
            )
            .into_router(&Readiness::new(), &shutdown);
        let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
        shutdown.spawn("echo", OnCancel::Wait, serving);
        Self {
            address,
            shutdown,
            dropped,
        }
    }

    async fn stop(self) {
        self.shutdown.abort();
        self.shutdown.drain(BOUND).await;
    }
}

fn registration(address: &str) -> RegisterAddressRequest {
    RegisterAddressRequest {
        instance: Some(RuntimeInstance {
            id: "server".to_owned(),
            incarnation: 1,
            ..RuntimeInstance::default()
        }),
        service: "sensors".to_owned(),
        functions: vec![ServedFunction {
            name: "window".to_owned(),
            idempotent: false,
        }],
        address: address.to_owned(),
        lease_duration: Some(lease(300)),
        ..RegisterAddressRequest::default()
    }
}

fn lease(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn register(
    node: &Node,
    request: RegisterAddressRequest,
) -> Result<RegisterAddressResponse, Problem> {
    match soon(node.runtimes().register_address(request)).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => Err(Problem::from_status(&status)),
    }
}

#[tokio::test]
async fn when_a_server_is_registered_then_calls_reach_it_with_the_names_it_knows() {
    let node = Node::start().await;
    let server = Server::start("127.0.0.1:0").await;
    let unsaid = RegisterAddressRequest {
        lease_duration: None,
        ..registration(&server.address)
    };
    let short = register(&node, unsaid).await.expect("taken");
    let long = register(&node, registration(&server.address))
        .await
        .expect("renewed");
    let request = InvokeRequest {
        metadata: BTreeMap::from([("unit".to_owned(), "celsius".to_owned())]),
        payload: Bytes::from(vec![7; 300_000]),
        ..sensors_call("")
    };

    let answer = soon(node.invoke_with(request)).await.expect("it went well");

    assert_eq!(answer.payload.len(), 300_000);
    // What it merely sent back is not the function's metadata.
    let own = BTreeMap::from([("deadline".to_owned(), "true".to_owned())]);
    assert_eq!(answer.metadata, own);
    assert_eq!(short.lease_duration, Some(lease(10)));
    assert_eq!(long.lease_duration, Some(lease(300)));
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_a_server_listens_on_a_socket_then_calls_reach_it() {
    let node = Node::start().await;
    let socket = format!("unix:{}", node.folder.path().join("echo.sock").display());
    let server = Server::start(&socket).await;
    register(&node, registration(&server.address))
        .await
        .expect("taken");

    let answer = soon(node.invoke("rows")).await.expect("it went well");

    assert_eq!(answer.payload, "rows");
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn every_error_of_a_server_has_its_status() {
    let node = Node::start().await;
    let server = Server::start("127.0.0.1:0").await;
    register(&node, registration(&server.address))
        .await
        .expect("taken");

    for (payload, code, reason, message) in [
        (
            "raise",
            Code::Unknown,
            "FUNCTION_RAISED",
            "the function raised an error: Exception calling application: no",
        ),
        (
            "refuse",
            Code::Unknown,
            "FUNCTION_RAISED",
            "the function raised INVALID_ARGUMENT: no rows",
        ),
        (
            "busy",
            Code::ResourceExhausted,
            "OVERLOADED",
            "service sensors has no room for another call",
        ),
    ] {
        let problem = soon(node.invoke(payload)).await.expect_err("it fails");
        assert_eq!(
            (problem.code, problem.reason.as_str()),
            (code, reason),
            "{problem:?}"
        );
        assert_eq!(problem.message, message);
    }
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_the_caller_goes_away_then_the_server_sees_it() {
    let node = Node::start().await;
    let mut server = Server::start("127.0.0.1:0").await;
    register(&node, registration(&server.address))
        .await
        .expect("taken");
    let mut one_slot = registration(&server.address);
    one_slot.slots = 1;
    one_slot.instance.as_mut().expect("an instance").incarnation = 2;
    register(&node, one_slot).await.expect("taken");

    {
        let mut hanging = std::pin::pin!(node.invoke("hang"));
        soon(async {
            while listed_active(&node).await == 0 {
                let polled = futures::poll!(hanging.as_mut());
                assert!(polled.is_pending());
            }
        })
        .await;
    }

    soon(server.dropped.recv())
        .await
        .expect("the call was dropped");
    let answer = soon(node.invoke("rows"))
        .await
        .expect("the slot is free again");
    assert_eq!(answer.payload, "rows");
    node.stop().await;
    server.stop().await;
}

async fn listed_active(node: &Node) -> u32 {
    let request = baetyl_proto::function::v1::ListFunctionsRequest::default();
    let response = soon(node.functions().list_functions(request))
        .await
        .expect("a list");
    response
        .into_inner()
        .functions
        .iter()
        .map(|each| each.active_calls)
        .sum()
}

#[tokio::test]
async fn when_nobody_listens_at_the_address_then_the_caller_learns_it_or_another_server_answers() {
    let node =
        Node::start_with(|config| config.runtime_wait = HumanDuration::from_millis(50)).await;
    // Held, so that nobody else is given the port, and never listened on.
    let gone = tokio::net::TcpSocket::new_v4().expect("a socket");
    gone.bind(([127, 0, 0, 1], 0).into()).expect("bound");
    let address = gone.local_addr().expect("its address");
    register(&node, registration(&format!("http://{address}")))
        .await
        .expect("taken");

    let alone = soon(node.invoke("rows"))
        .await
        .expect_err("nobody is there");
    let server = Server::start("127.0.0.1:0").await;
    let mut other = registration(&server.address);
    other.instance.as_mut().expect("an instance").id = "other".to_owned();
    register(&node, other).await.expect("taken");
    for _ in 0..5 {
        let answer = soon(node.invoke("rows"))
            .await
            .expect("the other one answers");
        assert_eq!(answer.payload, "rows");
    }

    assert_eq!(alone.code, Code::Unavailable);
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_a_lease_is_given_back_or_not_renewed_then_the_route_goes() {
    let node = Node::start().await;
    let server = Server::start("127.0.0.1:0").await;
    let first = register(&node, registration(&server.address))
        .await
        .expect("taken");
    let renewed = register(&node, registration(&server.address))
        .await
        .expect("renewed");
    assert_eq!(first, renewed);
    assert!(soon(node.invoke("rows")).await.is_ok());

    let given_back = DeregisterRequest {
        lease_id: first.lease_id,
    };
    soon(node.runtimes().deregister(given_back.clone()))
        .await
        .expect("it is there");
    until(|| node.proxy.services(None).is_empty()).await;
    let unknown = soon(node.runtimes().deregister(given_back))
        .await
        .expect_err("it is gone");
    assert_eq!(Problem::from_status(&unknown).reason, "LEASE_NOT_FOUND");

    let mut short = registration(&server.address);
    short.lease_duration = Some(lease(1));
    let again = register(&node, short).await.expect("taken");
    assert!(again.epoch > first.epoch);
    until(|| node.proxy.services(None).is_empty()).await;
    let problem = node.invoke("rows").await.expect_err("the lease is over");
    assert_eq!(problem.reason, "FUNCTION_NOT_FOUND");
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_a_registration_is_wrong_or_late_then_it_is_refused() {
    let node = Node::start().await;
    let server = Server::start("127.0.0.1:0").await;
    let mut wrong = registration("http://10.0.0.7:80");
    wrong.instance = None;
    wrong.service = String::new();
    wrong.slots = 2000;
    wrong.lease_duration = Some(prost_types::Duration::default());
    let problem = register(&node, wrong).await.expect_err("it is wrong");
    let fields: Vec<_> = problem
        .violations
        .iter()
        .map(|each| each.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "instance.id",
            "service",
            "address",
            "slots",
            "lease_duration"
        ]
    );

    let mut later = registration(&server.address);
    later.instance.as_mut().expect("an instance").incarnation = 2;
    register(&node, later).await.expect("taken");
    let late = register(&node, registration(&server.address))
        .await
        .expect_err("it is late");

    assert_eq!(
        (late.code, late.reason.as_str()),
        (Code::FailedPrecondition, "SUPERSEDED")
    );
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_an_address_is_configured_then_it_is_there_from_the_start() {
    let server = Server::start("127.0.0.1:0").await;
    let address = server.address.clone();
    let node = Node::start_with(|config| {
        config.addresses = vec![StaticAddress {
            service: "sensors".to_owned(),
            address,
            ..StaticAddress::default()
        }];
    })
    .await;
    until(|| !node.proxy.services(None).is_empty()).await;

    let answer = soon(node.invoke_with(InvokeRequest {
        function: "anything".to_owned(),
        ..sensors_call("rows")
    }))
    .await;

    assert_eq!(answer.expect("it went well").payload, "rows");
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn when_a_caller_of_the_predecessor_calls_then_it_is_answered_as_before() {
    let node = Node::start().await;
    node.route().await;
    let mut runtime = Runtime::attach(&node, "one", 1).await;
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let metadata = BTreeMap::from([
        entry("serviceName", "sensors"),
        entry("functionName", "other"),
        entry("invokeId", "their-id"),
        entry("unit", "celsius"),
    ]);
    let message = Message {
        id: 9,
        metadata: metadata.clone(),
        payload: Bytes::from_static(b"rows"),
    };
    let mut client = node.faas();

    let (answer, ()) = tokio::join!(client.call(message), async {
        let call = runtime.call().await;
        assert_eq!(
            (call.function_id, call.invocation_id.as_str()),
            (1, "their-id")
        );
        let unit = MetadataEntry {
            key: "unit".to_owned(),
            value: "celsius".to_owned(),
        };
        assert_eq!(call.metadata, [unit]);
        runtime.answer(&call, "mean").await;
    });

    let answer = answer.expect("it went well").into_inner();
    assert_eq!(
        (answer.id, answer.payload),
        (9, Bytes::from_static(b"mean"))
    );
    assert_eq!(answer.metadata, metadata);
    let nothing = soon(node.faas().call(Message::default()))
        .await
        .expect_err("no service is named");
    assert_eq!(nothing.code(), Code::InvalidArgument);
    drop(runtime);
    node.stop().await;
}

#[tokio::test]
async fn when_a_routed_service_is_also_registered_then_both_get_calls() {
    let node = Node::start().await;
    node.route().await;
    let server = Server::start("127.0.0.1:0").await;
    register(&node, registration(&server.address))
        .await
        .expect("taken");

    let answer = soon(node.invoke("rows")).await.expect("the server answers");
    let mut runtime = Runtime::attach(&node, "one", 1000).await;
    let node = Arc::new(node);
    let (by_runtime, ()) = tokio::join!(
        async {
            for _ in 0..100 {
                let answer = soon(node.invoke("rows"))
                    .await
                    .expect("one of them answers");
                if answer.payload == "runtime" {
                    return true;
                }
            }
            false
        },
        async {
            let call = runtime.call().await;
            runtime.answer(&call, "runtime").await;
        }
    );

    assert_eq!(answer.payload, "rows");
    assert!(by_runtime);
    drop(runtime);
    Arc::into_inner(node)
        .expect("nobody else has it")
        .stop()
        .await;
    server.stop().await;
}
