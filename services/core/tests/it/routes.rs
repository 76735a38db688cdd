//! The route table reaches the function service, whatever that has been through.

use std::path::Path;

use baetyl_pki::Credentials;
use baetyl_proto::function::v1::route_service_server::{RouteService, RouteServiceServer};
use baetyl_proto::function::v1::{SetRoutesRequest, SetRoutesResponse};
use baetyl_service_kit::fault::{self, Code, Fault};
use baetyl_service_kit::serve::{Address, Grpc, Listener, Peer, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::cloud::{Cloud, PATIENCE, soon};
use crate::edge::{Place, Wish};

#[derive(Debug, thiserror::Error)]
#[error("the table is older than the one in force")]
struct Stale;

impl Fault for Stale {
    fn code(&self) -> Code {
        Code::FailedPrecondition
    }

    fn reason(&self) -> &'static str {
        "STALE_ROUTES"
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("generation", "41".to_owned())]
    }
}

/// Takes tables from generation 42 on.
struct Function {
    tables: mpsc::Sender<SetRoutesRequest>,
}

#[tonic::async_trait]
impl RouteService for Function {
    async fn set_routes(
        &self,
        request: Request<SetRoutesRequest>,
    ) -> Result<Response<SetRoutesResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        assert!(peer.unwrap().certificate().is_some(), "core shows its own");
        let table = request.into_inner();
        let generation = table.generation;
        if generation < 42 {
            return Err(fault::status(&Stale));
        }
        self.tables.send(table).await.ok();
        Ok(Response::new(SetRoutesResponse { generation }))
    }
}

async fn start(
    listener: Listener,
    local: &Path,
    shutdown: &Shutdown,
) -> mpsc::Receiver<SetRoutesRequest> {
    let file = local.join("function").join("credentials.pem");
    let credentials = Credentials::load(&file).unwrap();
    let key = credentials.key().to_private_key_der();
    let shown = Identity::try_new((credentials.chain().to_vec(), key)).unwrap();
    let ca = std::fs::read(local.join("ca.pem")).unwrap();
    let roots = Roots::try_new(&baetyl_pki::pem::certs(&ca).unwrap()).unwrap();
    let tls = server_config(&shown, &ClientAuth::Required(roots), Protocols::Http2);
    let (tables, received) = mpsc::channel(8);
    let router = Grpc::new()
        .add_service(RouteServiceServer::new(Function { tables }))
        .descriptors(baetyl_proto::DESCRIPTOR)
        .into_router(&Readiness::new(), shutdown);
    let options = ServeOptions::default();
    let serving = serve(listener.with_tls(tls), router, options, shutdown.clone());
    shutdown.spawn("function", OnCancel::Abort, serving);
    received
}

#[tokio::test]
async fn when_a_function_application_runs_then_its_route_is_set_above_what_is_in_force() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let shutdown = Shutdown::new();
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&any).await.unwrap();
    let mut config = place.config();
    config.function_address = Some(format!("https://{}", listener.address()));
    let edge = place.start_with(config).await.unwrap();
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).function("sensors");
    wish.settle(&cloud, &mut session).await;

    let mut tables = start(listener, &edge.local, &shutdown).await;

    let table = loop {
        let table = soon("a route table", tables.recv()).await.unwrap();
        if !table.routes.is_empty() {
            break table;
        }
    };
    assert!(table.generation >= 42);
    let route = &table.routes[0];
    assert_eq!(
        (route.application.as_str(), route.service.as_str()),
        ("sensors", "sensors")
    );
    assert_eq!(route.functions, ["window"]);
    edge.stop().await.unwrap();
    shutdown.drain(PATIENCE).await;
    cloud.stop().await;
}
