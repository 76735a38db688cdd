//! A function service that does what a test says, and a host attached to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use baetyl_pki::{Authority, Credentials, Profile, Validity, files, pem};
use baetyl_process::ShimCommand;
use baetyl_proto::function::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, DeregisterRequest, DeregisterResponse, RegisterAddressRequest,
    RegisterAddressResponse,
};
use baetyl_runtime::{Error, LineSink, Options, RuntimeConfig, RuntimeFunction, Stream};
use baetyl_service_kit::serve::{Address, Grpc, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::attached::Attached;

/// Far beyond what any step needs; reaching it is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits until a level holds.
pub(crate) async fn until(what: &str, mut level: impl FnMut() -> bool) {
    soon(what, async {
        while !level() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn shim() -> ShimCommand {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/runtime-shim");
    assert!(
        program.exists(),
        "build it first: cargo build -p baetyl-runtime --examples"
    );
    ShimCommand {
        program,
        args: vec!["shim".into()],
    }
}

/// Keeps what user code printed.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Mutex<String>>);

impl Printed {
    pub(crate) fn has(&self, part: &str) -> bool {
        self.0.lock().unwrap().contains(part)
    }
}

impl LineSink for Printed {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> std::io::Result<()> {
        let prefix = match stream {
            Stream::Stdout => "out:",
            Stream::Stderr => "err:",
        };
        let mut text = self.0.lock().unwrap();
        for line in String::from_utf8_lossy(lines).lines() {
            text.push_str(prefix);
            text.push_str(line);
            text.push('\n');
        }
        Ok(())
    }
}

/// What a host is to run.
pub(crate) struct Plan {
    pub(crate) runtime: &'static str,
    /// Files of the code folder.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Handlers; each function has its handler's name.
    pub(crate) handlers: &'static [&'static str],
    pub(crate) workers: u32,
    pub(crate) window: u32,
}

impl Plan {
    /// One worker with the functions of one module.
    pub(crate) fn new(
        runtime: &'static str,
        files: &'static [(&'static str, &'static str)],
        handlers: &'static [&'static str],
    ) -> Self {
        Self {
            runtime,
            files,
            handlers,
            workers: 1,
            window: 256 * 1024,
        }
    }

    pub(crate) fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn window(mut self, bytes: u32) -> Self {
        self.window = bytes;
        self
    }
}

/// A host under a scripted function service.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) config: RuntimeConfig,
    pub(crate) printed: Printed,
    pub(crate) shutdown: Shutdown,
    host: Option<JoinHandle<Result<(), Error>>>,
    service: Shutdown,
    streams: mpsc::Receiver<Attached>,
    plan: Plan,
}

impl Bench {
    /// Starts the function service, and the host with the plan's functions.
    pub(crate) async fn new(plan: Plan) -> Self {
        let mut bench = Self::without_host(plan).await;
        bench.start_host();
        bench
    }

    pub(crate) async fn without_host(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["code", "work", "certs"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in plan.files {
            let path = folder.path().join("code").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let service = Shutdown::new();
        let streams = start_service(&folder, &service).await;
        let config = config(&folder, &plan);
        Self {
            folder,
            config,
            printed: Printed::default(),
            shutdown: Shutdown::new(),
            host: None,
            service,
            streams,
            plan,
        }
    }

    pub(crate) fn start_host(&mut self) {
        self.start_host_with_path(&std::env::var("PATH").unwrap());
    }

    pub(crate) fn start_host_with_path(&mut self, path: &str) {
        let options = Options {
            shim: shim(),
            environment: BTreeMap::from([("PATH".to_owned(), path.to_owned())]),
            output: Box::new(self.printed.clone()),
        };
        let host = baetyl_runtime::run(self.config.clone(), options, self.shutdown.clone());
        self.host = Some(tokio::spawn(host));
    }

    /// The next stream of the host, welcomed, with all of its slots.
    pub(crate) async fn attached(&mut self) -> Attached {
        let mut stream = soon("a stream", self.streams.recv()).await.unwrap();
        stream.hello().await;
        let functions = u32::try_from(self.plan.handlers.len()).unwrap();
        stream.welcome(functions, self.plan.window).await;
        while stream.slots < i64::from(self.plan.workers) {
            stream.step().await;
        }
        stream
    }

    /// The next stream of the host, as it came.
    pub(crate) async fn stream(&mut self) -> Attached {
        soon("a stream", self.streams.recv()).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the host returned.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        let host = self.host.take().unwrap();
        soon("the host ends", host).await.unwrap()
    }

    /// Processes of workers of this bench that are alive.
    pub(crate) fn workers_alive(&self) -> usize {
        let marker = format!("BAETYL_WORKER={}-", self.config.instance);
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| {
                let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment)
                    .split('\0')
                    .any(|variable| variable.starts_with(&marker))
            })
            .count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            host.abort();
        }
        self.service.abort();
    }
}

fn config(folder: &TempDir, plan: &Plan) -> RuntimeConfig {
    let path = |name: &str| folder.path().join(name);
    let unique = folder.path().file_name().unwrap().to_str().unwrap();
    RuntimeConfig {
        node: "demo".into(),
        namespace: "default".into(),
        application: "tests".into(),
        service: "tests".into(),
        revision: 3,
        release: "r1".into(),
        instance: unique.to_lowercase().trim_matches('.').into(),
        runtime: plan.runtime.into(),
        functions: plan
            .handlers
            .iter()
            .map(|handler| RuntimeFunction {
                name: (*handler).into(),
                handler: (*handler).into(),
            })
            .collect(),
        code_folder: path("code"),
        working_folder: path("work"),
        workers: plan.workers,
        timeout_ms: 600_000,
        stop_grace_ms: 180_000,
        attach: format!("unix:{}", path("attach.sock").display()),
        certificate_folder: path("certs"),
        ready_file: path("ready"),
        worker_environment: vec![],
        ports: BTreeMap::new(),
    }
}

async fn start_service(folder: &TempDir, service: &Shutdown) -> mpsc::Receiver<Attached> {
    let validity = Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    };
    let name = |text: &str| text.parse().unwrap();
    let authority = Authority::create("tests", &"test.baetyl".parse().unwrap(), validity).unwrap();
    let issue = |profile| Credentials::issue(&authority, &profile, validity).unwrap();
    let workload = issue(Profile::workload(
        name("default"),
        name("demo"),
        name("tests"),
        name("tests"),
    ));
    let certs = folder.path().join("certs");
    let roots = [authority.certificate().clone()];
    let chain = pem::encode_certs(workload.chain());
    files::write_public(&certs.join("tls.crt"), chain.as_bytes()).unwrap();
    files::write_private(&certs.join("tls.key"), workload.key().to_pem().as_bytes()).unwrap();
    files::write_public(&certs.join("ca.crt"), pem::encode_certs(&roots).as_bytes()).unwrap();

    let own = issue(Profile::edge_system(
        name("default"),
        name("demo"),
        name("function"),
        vec![],
    ));
    let identity = Identity::try_new((own.chain().to_vec(), own.key().to_private_key_der()));
    let clients = ClientAuth::Required(Roots::try_new(&roots).unwrap());
    let tls = server_config(&identity.unwrap(), &clients, Protocols::Http2);
    let address = Address::unix(folder.path().join("attach.sock")).unwrap();
    let listener = Listener::bind(&address).await.unwrap().with_tls(tls);
    let (sender, streams) = mpsc::channel(8);
    let router = Grpc::new()
        .add_service(RuntimeServiceServer::new(Scripted(sender)))
        .into_router(&Readiness::new(), service);
    let serving = serve(listener, router, ServeOptions::default(), service.clone());
    service.spawn("function service", OnCancel::Wait, serving);
    streams
}

struct Scripted(mpsc::Sender<Attached>);

#[tonic::async_trait]
impl RuntimeService for Scripted {
    type AttachStream =
        Pin<Box<dyn futures::Stream<Item = Result<AttachResponse, Status>> + Send + 'static>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (to, outbound) = mpsc::channel(64);
        let stream = Attached::new(request.into_inner(), to);
        self.0.send(stream).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }

    async fn register_address(
        &self,
        _: Request<RegisterAddressRequest>,
    ) -> Result<Response<RegisterAddressResponse>, Status> {
        Err(Status::unimplemented("attach only"))
    }

    async fn deregister(
        &self,
        _: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        Err(Status::unimplemented("attach only"))
    }
}
