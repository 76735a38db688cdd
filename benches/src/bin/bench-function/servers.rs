//! The roles that listen: a server without a proxy, the proxy, and a server by address.

use std::path::Path;
use std::pin::Pin;

use anyhow::Result;
use baetyl_function::{Config, Security, Server};
use baetyl_proto::faas::Message;
use baetyl_proto::faas::function_server::{Function, FunctionServer};
use baetyl_proto::function::v1::function_service_server::{FunctionService, FunctionServiceServer};
use baetyl_proto::function::v1::{
    InvokeRequest, InvokeResponse, InvokeStreamRequest, InvokeStreamResponse, ListFunctionsRequest,
    ListFunctionsResponse,
};
use baetyl_service_kit::serve::{Address, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, OnError, Shutdown};
use baetyl_service_kit::telemetry::{self, TelemetryConfig};
use baetyl_service_kit::tls::{ClientAuth, Protocols, server_config};
use futures::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::path::VALUES;
use crate::{RoleArgs, child, keys};

/// Answers with what it gets.
#[derive(Clone, Copy, Debug)]
struct Echo;

#[tonic::async_trait]
impl FunctionService for Echo {
    type InvokeStreamStream =
        Pin<Box<dyn Stream<Item = Result<InvokeStreamResponse, Status>> + Send + 'static>>;

    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let payload = request.into_inner().payload;
        Ok(Response::new(InvokeResponse {
            payload,
            ..InvokeResponse::default()
        }))
    }

    async fn invoke_stream(
        &self,
        request: Request<InvokeStreamRequest>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        let payload = request.into_inner().payload;
        let value = InvokeStreamResponse {
            payload,
            ..InvokeStreamResponse::default()
        };
        let values = std::iter::repeat_n(Ok(value), VALUES);
        Ok(Response::new(Box::pin(futures::stream::iter(values))))
    }

    async fn list_functions(
        &self,
        _: Request<ListFunctionsRequest>,
    ) -> Result<Response<ListFunctionsResponse>, Status> {
        Ok(Response::new(ListFunctionsResponse::default()))
    }
}

#[tonic::async_trait]
impl Function for Echo {
    async fn call(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

/// Serves the functions without a proxy, over TCP and over a Unix socket.
pub(crate) async fn direct(args: &RoleArgs) -> Result<()> {
    let routes = Routes::new(FunctionServiceServer::new(Echo));
    let addresses = [tcp(), Address::unix(args.folder.join("direct.sock"))?];
    listen(args, addresses.as_slice(), routes, args.tls).await
}

/// Serves `faas.Function`, which is dialed without TLS, always.
pub(crate) async fn address(args: &RoleArgs) -> Result<()> {
    listen(
        args,
        &[tcp()],
        Routes::new(FunctionServer::new(Echo)),
        false,
    )
    .await
}

async fn listen(args: &RoleArgs, addresses: &[Address], routes: Routes, tls: bool) -> Result<()> {
    let shutdown = Shutdown::new();
    let router = routes.prepare().into_axum_router();
    let mut bound = Vec::new();
    for address in addresses {
        let mut listener = Listener::bind(address).await?;
        if tls {
            let identity = keys::identity(&args.keys, "server.pem")?;
            let config = server_config(&identity, &ClientAuth::None, Protocols::Http2);
            listener = listener.with_tls(config);
        }
        bound.push(listener.address().to_string());
        let serving = serve(
            listener,
            router.clone(),
            ServeOptions::default(),
            shutdown.clone(),
        );
        shutdown.spawn("listener", OnCancel::Wait, serving);
    }
    child::ready(&bound).await
}

/// Serves the function service as `baetyl function` does, its log and its metrics too. Its
/// addresses are that of callers, then that of runtimes.
pub(crate) async fn proxy(args: &RoleArgs) -> Result<()> {
    let telemetry = TelemetryConfig {
        service_name: "baetyl-function".to_owned(),
        ..TelemetryConfig::default()
    };
    let telemetry = telemetry::init(&telemetry)?;
    let shutdown = Shutdown::new();
    let security = if args.tls {
        let identity = keys::identity(&args.keys, "server.pem")?;
        Security::Tls {
            identity,
            roots: keys::roots(&args.keys)?,
        }
    } else {
        Security::Insecure
    };
    let config = config(args, &args.folder)?;
    let server = Server::bind(config, security)
        .await?
        .with_metrics(telemetry.registry().clone());
    // The socket of this node first, then TCP.
    let attach: Vec<String> = server.attach_addresses().map(Address::to_string).collect();
    let runtimes = if args.unix {
        attach.first()
    } else {
        attach.last()
    };
    let addresses = [
        server.invoke_address().to_string(),
        runtimes.cloned().unwrap_or_default(),
    ];
    let serving = server.run(shutdown.clone());
    shutdown.spawn_fallible("function service", OnCancel::Wait, OnError::Stop, serving);
    child::ready(&addresses).await
}

fn config(args: &RoleArgs, folder: &Path) -> Result<Config> {
    let listen = if args.unix {
        Address::unix(folder.join("invoke.sock"))?
    } else {
        tcp()
    };
    Ok(Config {
        listen,
        attach_remote: (!args.unix).then(tcp),
        data_folder: folder.to_owned(),
        edge_token_file: Some(args.keys.join("token")),
        ..Config::default()
    })
}

/// Loopback, on a port that the kernel chooses.
fn tcp() -> Address {
    Address::Tcp(([127, 0, 0, 1], 0).into())
}
