//! `baetyl up`: the whole system in one process, over real loopback connections with TLS.
//!
//! Applications and workers are processes of their own. Ctrl-C stops them; a kill leaves them
//! running and the next `up` adopts them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baetyl_core::StopMode;
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::serve::Address;
use tokio::net::TcpSocket;

use crate::args::UpArgs;
use crate::failure::Failure;
use crate::output::{line, say};
use crate::service::host::Host;
use crate::service::local::LocalFiles;
use crate::service::{core, function, gateway};

mod data;
mod node;
mod part;
#[cfg(test)]
mod tests;

use data::UpFolder;
use part::{Part, Parts};

/// How long the node may take until it is online.
const ONLINE_PATIENCE: Duration = Duration::from_secs(30);

/// The ports of everything.
struct Ports {
    cloud: u16,
    sync: u16,
    cloud_gateway: u16,
    core: u16,
    function: u16,
    edge_gateway: u16,
    /// Holds what the kernel chose until everything listens, see [`hold`].
    _held: Vec<TcpSocket>,
}

impl Ports {
    /// `base + 4` and so on; with 0 whatever is free.
    fn choose(base: u16) -> Result<Self, Failure> {
        let mut held = Vec::new();
        let mut at = |offset: u16| {
            if base == 0 {
                let socket = hold().map_err(Failure::local)?;
                let port = socket.local_addr().map_err(Failure::local)?.port();
                held.push(socket);
                return Ok(port);
            }
            base.checked_add(offset)
                .ok_or_else(|| Failure::usage("--port-base is too high".to_owned()))
        };
        Ok(Self {
            cloud: at(4)?,
            sync: at(5)?,
            core: at(10)?,
            function: at(11)?,
            cloud_gateway: at(80)?,
            edge_gateway: at(81)?,
            _held: held,
        })
    }
}

/// A free port, bound and never listened on: as long as the socket lives nobody is given the
/// port, neither for a connection nor for port 0, but who asks for it by number may listen, since
/// all our listeners set SO_REUSEADDR.
fn hold() -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    Ok(socket)
}

fn local(port: u16) -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Runs until a signal.
pub(crate) async fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    let clock = Clock(Instant::now());
    let host = Host::start("baetyl-up", &args.log, args.otlp_endpoint.as_deref())?;
    let mut parts = Parts::default();
    let started = start(&args, &clock, &host, &mut parts).await;
    let outcome = match started {
        Ok(_data) => {
            host.shutdown.draining().await;
            say("stopping …");
            parts.end().await
        }
        Err(failure) => {
            // What runs already ends in good order; why it failed is what matters.
            parts.end().await.ok();
            Err(failure)
        }
    };
    host.finish(outcome).await
}

/// Tells what is up, and after how long.
struct Clock(Instant);

impl Clock {
    fn tell(&self, what: &str) {
        line(&format!(
            "✓ {what:40} {:.2} s",
            self.0.elapsed().as_secs_f64()
        ));
    }
}

async fn start(
    args: &UpArgs,
    clock: &Clock,
    host: &Host,
    parts: &mut Parts,
) -> Result<UpFolder, Failure> {
    let data = UpFolder::open(&args.data, args.reset).await?;
    let age = if data.is_new { "new" } else { "found" };
    clock.tell(&format!("data folder {} ({age})", args.data.display()));
    let ports = Ports::choose(args.port_base)?;

    let cloud = start_cloud(args, &data, &ports, host, parts).await?;
    clock.tell(&format!("cloud    {}", cloud.address));

    let node = node::ensure(&cloud, &data, &args.node).await?;
    let core = start_core(&data, &ports, host, parts).await?;
    let edge = start_functions(&data, &ports, parts).await?;
    clock.tell("function proxy, gateways");
    node.until_online(ONLINE_PATIENCE).await?;
    clock.tell(&format!("node {} activated, synced", args.node));

    data::write_context(&args.context_name, &data, &cloud, &core, &edge)?;
    let (seconds, name) = (clock.0.elapsed().as_secs_f64(), &args.context_name);
    line(&format!(
        "  REST     {} (cloud), {} (node)",
        cloud.gateway, edge.gateway
    ));
    line(&format!(
        "ready in {seconds:.1} s.  context {name:?} written; try:  \
         baetyl apply -f examples/sensors --wait"
    ));
    Ok(data)
}

/// Where the control plane is, and how to show oneself there.
pub(crate) struct Cloud {
    pub(crate) address: String,
    /// `host:port` of the sync listener.
    pub(crate) sync: String,
    pub(crate) gateway: String,
    pub(crate) ca: String,
    pub(crate) token: String,
}

async fn start_cloud(
    args: &UpArgs,
    data: &UpFolder,
    ports: &Ports,
    host: &Host,
    parts: &mut Parts,
) -> Result<Cloud, Failure> {
    let config = baetyl_cloud::config::Config {
        data_folder: data.cloud(),
        listen: Address::Tcp(SocketAddr::from((args.listen, ports.cloud))),
        sync_listen: Address::Tcp(SocketAddr::from((args.listen, ports.sync))),
        admin_listen: None,
        ..baetyl_cloud::config::Config::default()
    };
    let server = baetyl_cloud::server::Server::bind(config, host.metrics())
        .await
        .map_err(Failure::local)?;
    let reach = if args.listen.is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        args.listen
    };
    let address = format!("https://{}", SocketAddr::from((reach, ports.cloud)));
    let identity = server.identity().clone();
    let ca = server.authority_pem();
    let token = data.admin_token()?;
    parts.add(Part::start("cloud", |shutdown| async move {
        server.run(shutdown).await.map_err(Failure::local)
    }));
    let roots = gateway::read_roots(&data.cloud_ca(&ca)?)?;
    let backends = baetyl_gateway::Backends::Cloud {
        cloud: gateway::cloud_backend(&address, &roots)?,
    };
    let gateway = start_gateway(ports.cloud_gateway, backends, &identity, parts).await?;
    let sync = SocketAddr::from((reach, ports.sync)).to_string();
    Ok(Cloud {
        address,
        sync,
        gateway,
        ca,
        token,
    })
}

/// Address of core's local API.
async fn start_core(
    data: &UpFolder,
    ports: &Ports,
    host: &Host,
    parts: &mut Parts,
) -> Result<String, Failure> {
    let config = baetyl_core::Config {
        data_folder: data.node(),
        listen: local(ports.core),
        function_address: Some(format!("https://127.0.0.1:{}", ports.function)),
        stop_mode: StopMode::StopAll,
        drain_deadline: HumanDuration::from_secs(30),
        ..baetyl_core::Config::default()
    };
    let server = baetyl_core::Server::bind(config, core::dependencies(host))
        .await
        .map_err(|error| Failure::fault(&error))?;
    parts.add(Part::start("core", |shutdown| async move {
        let ended = server.run(shutdown).await;
        ended.map(drop).map_err(|error| Failure::fault(&error))
    }));
    Ok(format!("https://127.0.0.1:{}", ports.core))
}

/// Where functions and the node's REST are.
pub(crate) struct Edge {
    pub(crate) function: String,
    pub(crate) gateway: String,
}

async fn start_functions(
    data: &UpFolder,
    ports: &Ports,
    parts: &mut Parts,
) -> Result<Edge, Failure> {
    let tls = LocalFiles::of(&data.node(), "function").open().await?;
    let config = baetyl_function::Config {
        listen: local(ports.function),
        ..baetyl_function::Config::default()
    };
    let config = function::on_node(config, &data.node());
    let server = baetyl_function::Server::bind(config, function::security(&tls))
        .await
        .map_err(Failure::local)?;
    let files = LocalFiles::of(&data.node(), "function");
    parts.add(Part::start("function", |shutdown| async move {
        let following = files.follow(tls);
        shutdown.spawn(
            "local-files",
            baetyl_service_kit::shutdown::OnCancel::Abort,
            following,
        );
        server.run(shutdown).await.map_err(Failure::local)
    }));
    let core = format!("https://127.0.0.1:{}", ports.core);
    let function = format!("https://127.0.0.1:{}", ports.function);
    let tls = LocalFiles::of(&data.node(), "gateway").open().await?;
    let backends = gateway::edge_backends(&core, &function, &tls)?;
    let gateway = start_gateway(ports.edge_gateway, backends, &tls.identity, parts).await?;
    Ok(Edge { function, gateway })
}

async fn start_gateway(
    port: u16,
    backends: baetyl_gateway::Backends,
    identity: &baetyl_service_kit::tls::Identity,
    parts: &mut Parts,
) -> Result<String, Failure> {
    let config = baetyl_gateway::Config {
        listen: Some(local(port)),
        ..baetyl_gateway::Config::default()
    };
    let server = baetyl_gateway::Server::bind(config, backends, Some(identity))
        .await
        .map_err(|error| Failure::fault(&error))?;
    parts.add(Part::start("gateway", |shutdown| async move {
        server.run(shutdown).await;
        Ok(())
    }));
    Ok(format!("https://127.0.0.1:{port}"))
}
