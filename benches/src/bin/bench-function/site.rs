//! The servers of one run: started, introduced to each other, and called.

use std::path::Path as FilePath;

use anyhow::{Result, ensure};
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_proto::function::v1::route_service_client::RouteServiceClient;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{
    RegisterAddressRequest, Route, RuntimeInstance, ServedFunction, SetRoutesRequest,
};
use baetyl_service_kit::serve::{ConnectOptions, MAX_MESSAGE_BYTES, Target, connect};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::child::Role;
use crate::load::{self, Shape, with};
use crate::path::{Cpu, Path, REVISION, SLOTS, Slice};
use crate::{Lengths, keys};

/// Service that is registered by address.
const BY_ADDRESS: &str = "dialed";

/// How long a registration holds: longer than any run.
const LEASE_SECONDS: i64 = 60 * 60;

const LOADED: Shape = Shape {
    connections: 8,
    streams: 16,
};

const ALONE: Shape = Shape {
    connections: 1,
    streams: 1,
};

/// A proxy with its runtime.
#[derive(Debug)]
struct Proxied {
    proxy: Role,
    runtime: Role,
}

/// All servers with TLS, or all without.
#[derive(Debug)]
pub(crate) struct Site {
    /// Whether connections are under TLS.
    pub(crate) tls: bool,
    direct: Role,
    dialed: Role,
    tcp: Proxied,
    unix: Proxied,
    bearer: MetadataValue<Ascii>,
    /// Connections to `direct` by TCP and Unix socket, then to the two proxies.
    channels: [Vec<Channel>; 4],
}

impl Site {
    /// Starts every server and connects to each.
    pub(crate) async fn start(
        folder: &FilePath,
        keys: &FilePath,
        tls: bool,
        threads: usize,
    ) -> Result<Self> {
        let folder = folder.join(if tls { "tls" } else { "clear" });
        let mut args = vec!["--keys".to_owned(), keys.display().to_string()];
        if tls {
            args.push("--tls".to_owned());
        }
        let bearer: MetadataValue<Ascii> = keys::bearer(keys)?.parse()?;
        let direct = Role::start("direct", &folder.join("direct"), &args)?;
        let dialed = Role::start("address", &folder.join("address"), &args)?;
        let site = Start {
            keys,
            folder: &folder,
            args: &args,
            tls,
            threads,
            bearer: &bearer,
        };
        let tcp = site.proxied("tcp").await?;
        let unix = site.proxied("unix").await?;
        let mut channels = [const { Vec::new() }; 4];
        let places = [
            &direct.addresses[..],
            &[tcp.proxy.address().to_owned()],
            &[unix.proxy.address().to_owned()],
        ]
        .concat();
        ensure!(
            places.len() == channels.len(),
            "a server says too few addresses: {places:?}"
        );
        for (channels, place) in channels.iter_mut().zip(&places) {
            for _ in 0..LOADED.connections {
                channels.push(site.channel(place).await?);
            }
        }
        let registered = register(channels[2][0].clone(), &bearer, dialed.address());
        registered.await?;
        Ok(Self {
            tls,
            direct,
            dialed,
            tcp,
            unix,
            bearer,
            channels,
        })
    }

    /// One turn of a path.
    pub(crate) async fn slice(
        &self,
        path: Path,
        payload: usize,
        lengths: Lengths,
    ) -> Result<Slice> {
        let channels = match path {
            Path::Direct | Path::DirectStream => &self.channels[0],
            Path::DirectUnix => &self.channels[1],
            Path::Attached | Path::ByAddress | Path::AttachedStream => &self.channels[2],
            Path::AttachedUnix => &self.channels[3],
        };
        let clients: Vec<_> = channels.iter().cloned().map(client).collect();
        let call = load::Call {
            service: if path == Path::ByAddress {
                BY_ADDRESS
            } else {
                keys::SERVICE
            },
            payload: load::payload(payload),
            asked: path.asked(),
            bearer: self.bearer.clone(),
        };
        let read = || self.cpu(path);
        let (loaded, before, after) = load::drive(
            &clients,
            &call,
            LOADED,
            (lengths.warm, lengths.loaded),
            read,
        )
        .await?;
        let (alone, ..) =
            load::drive(&clients, &call, ALONE, (lengths.warm, lengths.alone), read).await?;
        let cpu = Cpu {
            caller: after.caller.saturating_sub(before.caller),
            proxy: after.proxy.saturating_sub(before.proxy),
            server: after.server.saturating_sub(before.server),
        };
        Ok(Slice { loaded, cpu, alone })
    }

    /// Time on processors so far of those that a path leads through.
    fn cpu(&self, path: Path) -> Result<Cpu> {
        let (proxy, server) = match path {
            Path::Direct | Path::DirectUnix | Path::DirectStream => (None, &self.direct),
            Path::Attached | Path::AttachedStream => (Some(&self.tcp.proxy), &self.tcp.runtime),
            Path::AttachedUnix => (Some(&self.unix.proxy), &self.unix.runtime),
            Path::ByAddress => (Some(&self.tcp.proxy), &self.dialed),
        };
        Ok(Cpu {
            caller: baetyl_benches::cpu_time(std::process::id())?,
            proxy: proxy.map(Role::cpu).transpose()?.unwrap_or_default(),
            server: server.cpu()?,
        })
    }
}

/// What is known while a site starts.
struct Start<'a> {
    keys: &'a FilePath,
    folder: &'a FilePath,
    args: &'a [String],
    tls: bool,
    threads: usize,
    bearer: &'a MetadataValue<Ascii>,
}

impl Start<'_> {
    /// Starts a proxy, gives it its routes, and starts a runtime that attaches to it.
    async fn proxied(&self, kind: &str) -> Result<Proxied> {
        let mut args = self.args.to_vec();
        if kind == "unix" {
            args.push("--unix".to_owned());
        }
        let threads = ["--threads".to_owned(), self.threads.to_string()];
        let folder = self.folder.join(kind);
        let proxy = Role::start(
            "proxy",
            &folder.join("proxy"),
            &[&args[..], &threads].concat(),
        )?;
        ensure!(
            proxy.addresses.len() == 2,
            "the proxy says {:?}",
            proxy.addresses
        );
        set_routes(self.channel(proxy.address()).await?, self.bearer).await?;
        args.extend(["--to".to_owned(), proxy.addresses[1].clone()]);
        let runtime = Role::start("runtime", &folder.join("runtime"), &args)?;
        Ok(Proxied { proxy, runtime })
    }

    async fn channel(&self, place: &str) -> Result<Channel> {
        let tls = if self.tls {
            Some(Target::tls(keys::roots(self.keys)?, None))
        } else {
            None
        };
        Ok(connect(&keys::target(place, tls)?, &ConnectOptions::default()).await?)
    }
}

fn client(channel: Channel) -> FunctionServiceClient<Channel> {
    FunctionServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

async fn set_routes(channel: Channel, bearer: &MetadataValue<Ascii>) -> Result<()> {
    let route = Route {
        application: keys::APPLICATION.to_owned(),
        service: keys::SERVICE.to_owned(),
        active_revision: REVISION,
        functions: vec![keys::FUNCTION.to_owned()],
        timeout: Some(prost_types::Duration {
            seconds: 30,
            nanos: 0,
        }),
        ..Route::default()
    };
    let request = with(
        SetRoutesRequest {
            generation: 1,
            routes: vec![route],
        },
        bearer,
    );
    RouteServiceClient::new(channel).set_routes(request).await?;
    Ok(())
}

async fn register(channel: Channel, bearer: &MetadataValue<Ascii>, address: &str) -> Result<()> {
    let wanted = RegisterAddressRequest {
        instance: Some(RuntimeInstance {
            id: "bench".to_owned(),
            incarnation: 1,
            ..RuntimeInstance::default()
        }),
        service: BY_ADDRESS.to_owned(),
        functions: vec![ServedFunction {
            name: keys::FUNCTION.to_owned(),
            idempotent: false,
        }],
        address: format!("http://{address}"),
        slots: SLOTS,
        lease_duration: Some(prost_types::Duration {
            seconds: LEASE_SECONDS,
            nanos: 0,
        }),
        ..RegisterAddressRequest::default()
    };
    RuntimeServiceClient::new(channel)
        .register_address(with(wanted, bearer))
        .await?;
    Ok(())
}
