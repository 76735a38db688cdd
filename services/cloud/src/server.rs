//! The composition root: binds first, opens what is kept, then serves until draining ends it.
//!
//! What lies in the data folder:
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the process that works here |
//! | `master.key` | the key that wraps the data key, unless it is configured elsewhere |
//! | `data.key` | the wrapped data key |
//! | `cloud.db` | the store |
//! | `revoked.txt` | revoked certificates; never restored from a backup |
//! | `ca.pem` | the certificate that clients trust |
//! | `admin.token` | the first bearer token, mode 0600 |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::Uid;
use baetyl_pki::{FileError, SealError, files};
use baetyl_proto::DESCRIPTOR;
use baetyl_proto::sync::v1::activation_service_server::ActivationServiceServer;
use baetyl_proto::sync::v1::sync_service_server::SyncServiceServer;
use baetyl_service_kit::config::ConfigError;
use baetyl_service_kit::fault;
use baetyl_service_kit::serve::{
    Address, Grpc, Listener, MAX_MESSAGE_BYTES, Protocol, ServeOptions, serve,
};
use baetyl_service_kit::shutdown::{Drained, OnCancel, Shutdown};
use baetyl_service_kit::telemetry::{Condition, Readiness, admin};
use baetyl_service_kit::tls::{self, ClientAuth, Protocols, TlsError, server_config};
use tokio::sync::oneshot;

use crate::activation::{Activation, ActivationApi, Endpoints};
use crate::authority::{AuthorityError, ServerCertificate};
use crate::config::Config;
use crate::error::Error;
use crate::matching::Matching;
use crate::operations::Operations;
use crate::status::Reader;
use crate::store::StoreError;
use crate::sync::{MAX_FRAME_BYTES, Parts, Registry, SyncApi};

mod housekeeping;
mod open;
mod services;
#[cfg(test)]
mod tests;

use open::{Folder, Opened};

/// Room for the frame around the largest message of a node.
const FRAME_SLACK: usize = 64 * 1024;

/// Why the control plane does not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address is taken, or may not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which one.
        address: Address,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder cannot be made or used.
    #[error("the data folder {} cannot be used", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process works in the data folder.
    #[error("another process works in {}", .0.display())]
    Locked(PathBuf),
    /// The keys cannot be opened.
    #[error("the keys of the data folder cannot be opened")]
    Seal(#[from] SealError),
    /// A file of the data folder cannot be read or written.
    #[error("a file of the data folder cannot be used")]
    File(#[from] FileError),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// The authorities cannot be opened.
    #[error("the authorities cannot be opened")]
    Authority(#[from] AuthorityError),
    /// The first token or namespace cannot be made.
    #[error("the first token or namespace cannot be made")]
    First(#[source] Error),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Tls(#[from] TlsError),
    /// A part failed while serving.
    #[error("a part of the control plane failed: {0}")]
    Failed(String),
}

/// Where the control plane listens; with the ports that the system chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The API.
    pub api: Address,
    /// The sync listener.
    pub sync: Address,
    /// Metrics and probes.
    pub admin: Option<Address>,
}

struct Listeners {
    api: Listener,
    sync: Listener,
    admin: Option<Listener>,
}

/// A control plane that is bound and opened, and does not serve yet.
pub struct Server {
    config: Config,
    listeners: Listeners,
    addresses: Addresses,
    opened: Opened,
    certificate: ServerCertificate,
    folder: Folder,
    metrics: prometheus::Registry,
    readiness: Readiness,
    // Made with the server: nobody finds it ready before it serves.
    serving: Condition,
    matching: Condition,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds every listener, opens or makes the data folder, the keys, the store, the authorities,
    /// the namespace `default` and the first token. `metrics` is what `/metrics` shows.
    ///
    /// # Errors
    /// [`ServerError`] says which of these failed; nothing serves then.
    pub async fn bind(config: Config, metrics: prometheus::Registry) -> Result<Self, ServerError> {
        config.validate()?;
        let listeners = Listeners {
            api: bound(&config.listen).await?,
            sync: bound(&config.sync_listen).await?,
            admin: match &config.admin_listen {
                Some(address) => Some(bound(address).await?),
                None => None,
            },
        };
        let folder = Folder::open(&config.data_folder)?;
        let opened = Opened::open(&config, SystemTime::now()).await?;
        let authorities = Arc::clone(&opened.authorities);
        let now = SystemTime::now();
        let certificate = ServerCertificate::issue(authorities, &hosts(&config), now)?;
        let addresses = Addresses {
            api: listeners.api.address().clone(),
            sync: listeners.sync.address().clone(),
            admin: listeners.admin.as_ref().map(|one| one.address().clone()),
        };
        let readiness = Readiness::new();
        Ok(Self {
            config,
            listeners,
            addresses,
            opened,
            certificate,
            folder,
            metrics,
            serving: readiness.condition("serving"),
            matching: readiness.condition("matching"),
            readiness,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The text of the first token when it was made just now; it also lies in `admin.token`.
    pub fn first_token(&self) -> Option<&str> {
        self.opened.first_token.as_ref().map(|text| text.as_str())
    }

    /// The certificate that clients trust (PEM); it also lies in `ca.pem`.
    pub fn authority_pem(&self) -> String {
        let certificate = self.opened.authorities.servers().certificate();
        baetyl_pki::pem::encode_certs(std::slice::from_ref(certificate))
    }

    /// The certificate of the listeners, replaced in place while it serves: what a gateway in the
    /// same process shows.
    pub fn identity(&self) -> &tls::Identity {
        self.certificate.identity()
    }

    /// Whether it can do its work; ready soon after [`Server::run`] began.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until draining begins, then ends in order: not ready, Goodbye to every node, calls
    /// in flight, the store.
    ///
    /// # Errors
    /// A part could not start, or failed and stopped the whole.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ServerError> {
        let part = shutdown.child();
        let drain_timeout = self.config.drain_timeout.0;
        let store = self.opened.durable.clone();
        let started = self.start(&part);
        let Ok((folder, serving)) = started else {
            part.abort();
            return started.map(|_| ());
        };
        serving.ready();
        part.draining().await;
        serving.not_ready("draining");
        let drained = part.drain(drain_timeout).await;
        if let Drained::Aborted(tasks) = drained {
            tracing::warn!(tasks = ?tasks, "tasks were dropped");
        }
        if let Some(store) = store {
            store.close().await;
        }
        drop(folder);
        match part.failure() {
            Some(failure) => Err(ServerError::Failed(failure)),
            None => Ok(()),
        }
    }

    fn start(self, part: &Shutdown) -> Result<(Folder, Condition), ServerError> {
        let Self {
            config,
            listeners,
            addresses,
            opened,
            certificate,
            folder,
            metrics,
            readiness,
            serving,
            matching,
        } = self;
        let endpoints = endpoints(&config, &addresses);
        let parts = parts(&config, &opened, part);
        start_matching(&parts, matching, part);
        housekeeping::start(&parts, part);

        let identity = certificate.identity().clone();
        part.spawn(
            "server certificate",
            OnCancel::Wait,
            certificate.keep(part.clone()),
        );

        let nodes = opened.authorities.nodes().certificate().clone();
        let mutual = ClientAuth::Required(tls::Roots::try_new(&[nodes])?);
        let sync = SyncServiceServer::new(SyncApi::new(parts.clone()))
            .max_decoding_message_size(MAX_FRAME_BYTES + FRAME_SLACK)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let sync = Grpc::new().add_service(sync).descriptors(DESCRIPTOR);
        let tls = server_config(&identity, &mutual, Protocols::Http2);
        spawn_grpc("sync", listeners.sync.with_tls(tls), sync, &readiness, part);

        let activation = ActivationApi::new(parts.activation.clone(), endpoints.clone());
        let operations = Operations::new(&parts, endpoints);
        let registry = parts.registry.clone();
        let status = Reader::new(parts.store.clone(), parts.matching.clone(), registry);
        let api = Grpc::new().add_service(ActivationServiceServer::new(activation));
        let api = services::add(api, &parts, operations, status);
        let api = api.descriptors(DESCRIPTOR);
        let listener = if config.insecure {
            tracing::warn!(
                address = %addresses.api,
                "the api is served without tls, tokens travel readable"
            );
            listeners.api
        } else {
            let tls = server_config(&identity, &ClientAuth::None, Protocols::Http2);
            listeners.api.with_tls(tls)
        };
        spawn_grpc("api", listener, api, &readiness, part);

        if let Some(listener) = listeners.admin {
            let router = admin::router(metrics, readiness);
            let options = ServeOptions {
                protocol: Protocol::Auto,
                ..ServeOptions::default()
            };
            let serving = serve(listener, router, options, part.clone());
            part.spawn("admin", OnCancel::Wait, serving);
        }
        Ok((folder, serving))
    }
}

async fn bound(address: &Address) -> Result<Listener, ServerError> {
    Listener::bind(address)
        .await
        .map_err(|source| ServerError::Bind {
            address: address.clone(),
            source,
        })
}

fn parts(config: &Config, opened: &Opened, part: &Shutdown) -> Parts {
    let registry = Registry::new();
    let woken = registry.clone();
    let on_desired = Arc::new(move |uid: &Uid| woken.wake(uid));
    Parts {
        store: Arc::clone(&opened.store),
        activation: Activation::new(
            Arc::clone(&opened.store),
            Arc::clone(&opened.authorities),
            opened.revocations.clone(),
            config.certificate_lifetime.0,
        ),
        matching: Arc::new(Matching::new(Arc::clone(&opened.store), on_desired)),
        registry,
        options: config.sync.options(),
        shutdown: part.clone(),
    }
}

fn start_matching(parts: &Parts, condition: Condition, part: &Shutdown) {
    let (caught_up, is_caught_up) = oneshot::channel();
    let matching = Arc::clone(&parts.matching);
    let draining = part.clone();
    let run = async move {
        let following = matching.run(draining, caught_up);
        let telling = async {
            // It never tells when it is drained before it caught up.
            if is_caught_up.await.is_ok() {
                condition.ready();
            }
        };
        tokio::join!(following, telling);
    };
    part.spawn("matching", OnCancel::Wait, run);
}

fn spawn_grpc(
    name: &'static str,
    listener: Listener,
    grpc: Grpc,
    readiness: &Readiness,
    part: &Shutdown,
) {
    let router = grpc.into_router(readiness, part);
    let serving = serve(listener, router, ServeOptions::default(), part.clone());
    part.spawn(name, OnCancel::Wait, serving);
}

/// The names that the server certificate carries beside the loopback ones.
fn hosts(config: &Config) -> Vec<String> {
    let mut hosts = config.names.clone();
    for address in [&config.listen, &config.sync_listen] {
        if let Address::Tcp(address) = address
            && !address.ip().is_unspecified()
        {
            hosts.push(address.ip().to_string());
        }
    }
    for address in config.api_addresses.iter().chain(&config.sync_addresses) {
        let host = address.rsplit_once(':').map(|(host, _)| host);
        hosts.extend(host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    }
    hosts
}

/// What devices are told about where to come.
fn endpoints(config: &Config, addresses: &Addresses) -> Endpoints {
    let reached = |named: &[String], address: &Address| {
        if !named.is_empty() {
            return named.to_vec();
        }
        let Address::Tcp(address) = address else {
            return Vec::new();
        };
        let port = address.port();
        if config.names.is_empty() && !address.ip().is_unspecified() {
            return vec![address.to_string()];
        }
        let names = match config.names.is_empty() {
            true => vec!["localhost".to_owned()],
            false => config.names.clone(),
        };
        let with_port = |name: String| match name.contains(':') {
            true => format!("[{name}]:{port}"),
            false => format!("{name}:{port}"),
        };
        names.into_iter().map(with_port).collect()
    };
    Endpoints {
        sync: reached(&config.sync_addresses, &addresses.sync),
        api: reached(&config.api_addresses, &addresses.api),
    }
}

/// Writes the first token where only its owner may read it; a failure is told and not fatal, the
/// token was returned, too.
fn keep_token(path: &std::path::Path, text: &str) {
    if let Err(error) = files::write_private(path, text.as_bytes()) {
        let error = fault::chain(&error);
        tracing::error!(error, "the first token was not written to the data folder");
    }
}
