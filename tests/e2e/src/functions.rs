//! What a node has for functions beside its engine: an authority of its own, and the function
//! service, which runs in this process.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use baetyl_engine::kube::settings::FunctionSettings;
use baetyl_engine::{CertificateIssuer, DependencyError, EngineHandle, Routes, ServiceCredentials};
use baetyl_function::{Config, Security, Server};
use baetyl_pki::{Authority, Credentials, Profile, ServerName, Validity, pem};
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_proto::function::v1::route_service_client::RouteServiceClient;
use baetyl_proto::function::v1::{InvokeRequest, SetRoutesRequest};
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::Problem;
use baetyl_service_kit::serve::{Address, ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::shutdown::{OnCancel, OnError, Shutdown};
use baetyl_service_kit::tls::{Identity, Roots};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How long certificates are good for.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long a call may take on a slow, busy cluster. It decides no test.
const CALL_PATIENCE: Duration = Duration::from_secs(120);

/// Name of the node in certificates.
const NODE: &str = "edge";

/// The function service of a node and its authority; ends when it is dropped.
pub struct Functions {
    authority: Arc<Authority>,
    settings: FunctionSettings,
    channel: Channel,
    /// Counts route tables; over all engines that the node had.
    generation: AtomicU64,
    shutdown: Shutdown,
    _folder: TempDir,
}

impl Functions {
    /// Starts them. Runtimes of the image reach this process at `host`.
    ///
    /// # Errors
    /// They do not start.
    pub async fn start(host: &str, image: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Arc::new(authority()?);
        let name = ServerName::try_from(host.to_owned())?;
        let own = system(&authority, "function", vec![name])?;
        let is_near = host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let attach = if is_near { "127.0.0.1:0" } else { "0.0.0.0:0" };
        let config = Config {
            listen: "127.0.0.1:0".parse()?,
            attach_remote: Some(attach.parse()?),
            data_folder: folder.path().join("function"),
            // How fast a cluster is decides no test.
            runtime_wait: HumanDuration(CALL_PATIENCE),
            ..Config::default()
        };
        let roots = Roots::try_new(&[authority.certificate().clone()])?;
        let security = Security::Tls {
            identity: own,
            roots: roots.clone(),
        };
        let server = Server::bind(config, security).await?;
        let port = server.attach_addresses().find_map(port);
        let port = port.context("no port to attach at")?;
        let invoke = server.invoke_address().to_string();
        let core = system(&authority, "core", Vec::new())?;
        let tls = Target::tls(roots, Some(core));
        let target = Target::encrypted(&format!("https://{invoke}"), Some("localhost"), tls)?;
        let shutdown = Shutdown::new();
        let running = server.run(shutdown.clone());
        shutdown.spawn_fallible("function", OnCancel::Wait, OnError::Stop, running);
        Ok(Self {
            settings: FunctionSettings {
                runtime_image: image.to_owned(),
                attach_address: format!("{host}:{port}"),
            },
            channel: connect_lazy(&target, &ConnectOptions::default()),
            generation: AtomicU64::new(0),
            authority,
            shutdown,
            _folder: folder,
        })
    }

    /// What the installation says of them.
    #[must_use]
    pub fn settings(&self) -> &FunctionSettings {
        &self.settings
    }

    /// Certifies workloads, as core does.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        Issuer {
            authority: self.authority.clone(),
            trusted: self.authority.clone(),
        }
    }

    /// Certifies workloads by an authority that nobody knows; they trust the right one.
    ///
    /// # Errors
    /// There is no such authority.
    pub fn impostor(&self) -> Result<Issuer> {
        Ok(Issuer {
            authority: Arc::new(authority()?),
            trusted: self.authority.clone(),
        })
    }

    /// Sets the routes of an engine whenever they change, as core does, until it ends.
    pub async fn follow(self: Arc<Self>, engine: EngineHandle) {
        let mut routes = engine.routes();
        loop {
            let table = routes.borrow_and_update().clone();
            if let Some(table) = table {
                let set = self.set(&table).await;
                set.expect("the function service of this process takes every table");
            }
            if routes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn set(&self, table: &Routes) -> Result<(), tonic::Status> {
        let request = SetRoutesRequest {
            generation: self.generation.fetch_add(1, Ordering::SeqCst) + 1,
            routes: table.clone(),
        };
        let mut client = RouteServiceClient::new(self.channel.clone());
        client.set_routes(request).await?;
        Ok(())
    }

    /// Calls the first function of a service; returns what it answers as text.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn call(&self, service: &str, payload: &str) -> Result<String, Problem> {
        call(self.channel.clone(), service, payload).await
    }

    /// Calls a service again and again from now on, two calls at a time.
    #[must_use]
    pub fn call_steadily(&self, service: &str) -> Caller {
        let mut callers = JoinSet::new();
        let shutdown = Shutdown::new();
        for _ in 0..2 {
            let (channel, service) = (self.channel.clone(), service.to_owned());
            let shutdown = shutdown.clone();
            callers.spawn(async move {
                let mut called = Called::default();
                while !shutdown.is_draining() {
                    match call(channel.clone(), &service, "{}").await {
                        Ok(answer) => called.answers.push(answer),
                        Err(problem) => called.failures.push(problem),
                    }
                    // A pause, so that the callers leave something of the machine to others.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                called
            });
        }
        Caller { callers, shutdown }
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

async fn call(channel: Channel, service: &str, payload: &str) -> Result<String, Problem> {
    let mut request = tonic::Request::new(InvokeRequest {
        service: service.to_owned(),
        payload: payload.to_owned().into(),
        ..InvokeRequest::default()
    });
    request.set_timeout(CALL_PATIENCE);
    let mut client = FunctionServiceClient::new(channel);
    let answer = client.invoke(request).await;
    let answer = answer.map_err(|status| Problem::from_status(&status))?;
    let payload = answer.into_inner().payload;
    Ok(String::from_utf8_lossy(&payload).into_owned())
}

/// Somebody who calls all the time.
pub struct Caller {
    callers: JoinSet<Called>,
    shutdown: Shutdown,
}

/// What came of the calls of a [`Caller`].
#[derive(Debug, Default)]
pub struct Called {
    /// The answers; of each of the two callers in their order.
    pub answers: Vec<String>,
    /// What was not answered.
    pub failures: Vec<Problem>,
}

impl Caller {
    /// Ends; calls that were made are waited for.
    pub async fn end(self) -> Called {
        self.shutdown.begin();
        let mut all = Called::default();
        for called in self.callers.join_all().await {
            all.answers.extend(called.answers);
            all.failures.extend(called.failures);
        }
        all
    }
}

/// Certifies workloads.
#[derive(Clone, Debug)]
pub struct Issuer {
    authority: Arc<Authority>,
    /// Whom workloads are told to trust.
    trusted: Arc<Authority>,
}

#[async_trait]
impl CertificateIssuer for Issuer {
    async fn issue(
        &self,
        application: &str,
        service: &str,
    ) -> Result<ServiceCredentials, DependencyError> {
        let issued = self.workload(application, service);
        let issued = issued.map_err(|error| DependencyError::new("issue a certificate", error))?;
        Ok(ServiceCredentials {
            chain_pem: pem::encode_certs(issued.chain()),
            key_pem: issued.key().to_pem().to_string(),
            ca_pem: pem::encode_certs(std::slice::from_ref(self.trusted.certificate())),
            not_after: issued.identity().not_after,
        })
    }
}

impl Issuer {
    fn workload(&self, application: &str, service: &str) -> Result<Credentials, baetyl_pki::Error> {
        let profile = Profile::workload(
            "default".parse()?,
            NODE.parse()?,
            application.parse()?,
            service.parse()?,
        );
        Credentials::issue(&self.authority, &profile, validity())
    }
}

fn validity() -> Validity {
    Validity {
        now: SystemTime::now(),
        lifetime: LIFETIME,
    }
}

fn authority() -> Result<Authority> {
    let domain = "e2e.baetyl".parse()?;
    Ok(Authority::create("node edge", &domain, validity())?)
}

/// The identity of a part of the platform.
fn system(
    authority: &Authority,
    service: &str,
    hosts: Vec<ServerName<'static>>,
) -> Result<Identity> {
    let profile = Profile::edge_system("default".parse()?, NODE.parse()?, service.parse()?, hosts);
    let issued = Credentials::issue(authority, &profile, validity())?;
    let key = issued.key().to_private_key_der();
    Ok(Identity::try_new((issued.chain().to_vec(), key))?)
}

fn port(address: &Address) -> Option<u16> {
    address.to_string().rsplit_once(':')?.1.parse().ok()
}
