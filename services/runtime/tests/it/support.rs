//! A function service that does what a test says, and a host attached to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use baetyl_pki::{Authority, Credentials, Profile, Validity, files, pem};
use baetyl_process::ShimCommand;
use baetyl_proto::function::v1::proxy_frame::Kind as ProxyKind;
use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, Call, CallResult, Cancel, Chunk, Credit, DeregisterRequest,
    DeregisterResponse, GoAway, MetadataEntry, ProxyFrame, ProxyWelcome, RegisterAddressRequest,
    RegisterAddressResponse, RuntimeHello,
};
use baetyl_runtime::{Error, LineSink, Options, RuntimeConfig, RuntimeFunction, Stream};
use baetyl_service_kit::serve::{Address, Grpc, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Far beyond what any step needs; reaching it is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

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
        timeout_ms: 120_000,
        stop_grace_ms: 30_000,
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
        .into_router(&Readiness::new(), service)
        .unwrap();
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
        let stream = Attached {
            from: request.into_inner(),
            to: Some(to),
            waiting: Vec::new(),
            slots: 0,
            running: 0,
            results: BTreeMap::new(),
            chunks: BTreeMap::new(),
            seen: Vec::new(),
            auto_credit: true,
        };
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

/// One stream, as the function service has it. Checks on the way that no call has two results,
/// and that slots are what they can be.
pub(crate) struct Attached {
    from: Streaming<AttachRequest>,
    to: Option<mpsc::Sender<Result<AttachResponse, Status>>>,
    waiting: Vec<Kind>,
    /// Slots that the host offers.
    pub(crate) slots: i64,
    /// Calls without result.
    pub(crate) running: i64,
    pub(crate) results: BTreeMap<u64, CallResult>,
    /// Values and, at the end, the beginning of the next one, by call.
    pub(crate) chunks: BTreeMap<u64, Vec<(Bytes, bool)>>,
    /// Every frame that came, by name.
    pub(crate) seen: Vec<&'static str>,
    /// Whether chunks are credited as they come.
    pub(crate) auto_credit: bool,
}

impl Attached {
    async fn next(&mut self) -> Option<Kind> {
        while self.waiting.is_empty() {
            let message = soon("a message of the host", self.from.message()).await;
            let frames = message.ok().flatten()?.frames;
            self.waiting = frames
                .into_iter()
                .rev()
                .filter_map(|frame| frame.kind)
                .collect();
        }
        self.waiting.pop()
    }

    pub(crate) async fn hello(&mut self) -> RuntimeHello {
        let Some(Kind::Hello(hello)) = self.next().await else {
            panic!("the first frame is Hello");
        };
        self.slots = i64::from(hello.slots);
        hello
    }

    pub(crate) async fn welcome(&mut self, functions: u32, window: u32) {
        self.send(ProxyKind::Welcome(ProxyWelcome {
            protocol_version: 1,
            lease_id: "lease".into(),
            epoch: 1,
            function_ids: (0..functions).collect(),
            call_window_bytes: window,
            ..ProxyWelcome::default()
        }))
        .await;
    }

    pub(crate) async fn send(&self, kind: ProxyKind) {
        let frames = vec![ProxyFrame { kind: Some(kind) }];
        let to = self.to.as_ref().unwrap();
        to.send(Ok(AttachResponse { frames })).await.unwrap();
    }

    pub(crate) async fn start(&mut self, call: Call) {
        self.running += 1;
        self.send(ProxyKind::Call(call)).await;
    }

    pub(crate) async fn cancel(&self, call_id: u64) {
        let reason = "CALL_CANCELLED".to_owned();
        self.send(ProxyKind::Cancel(Cancel { call_id, reason }))
            .await;
    }

    pub(crate) async fn credit(&self, call_id: u64, bytes: u32) {
        self.send(ProxyKind::Credit(Credit { call_id, bytes }))
            .await;
    }

    pub(crate) async fn chunk(&self, call_id: u64, data: Bytes, end: bool) {
        self.send(ProxyKind::Chunk(Chunk { call_id, data, end }))
            .await;
    }

    pub(crate) async fn go_away(&mut self, reason: &str) {
        let farewell = GoAway {
            reason: reason.into(),
            ..GoAway::default()
        };
        self.send(ProxyKind::GoAway(farewell)).await;
        self.to = None;
    }

    /// Takes the next frame; false at the end of the stream.
    pub(crate) async fn step(&mut self) -> bool {
        let Some(kind) = self.next().await else {
            return false;
        };
        self.seen.push(name(&kind));
        match kind {
            Kind::Ready(ready) => self.slots += i64::from(ready.slots_delta),
            Kind::Result(result) => {
                self.running -= 1;
                let before = self.results.insert(result.call_id, result);
                assert!(before.is_none(), "a call has one result");
            }
            Kind::Chunk(chunk) => {
                let bytes = u32::try_from(chunk.data.len()).unwrap();
                let chunks = self.chunks.entry(chunk.call_id).or_default();
                chunks.push((chunk.data, chunk.end));
                if self.auto_credit {
                    self.credit(chunk.call_id, bytes).await;
                }
            }
            Kind::Ping(ping) => {
                let pong = baetyl_proto::function::v1::Pong {
                    nonce: ping.nonce,
                    active_calls: 0,
                };
                self.send(ProxyKind::Pong(pong)).await;
            }
            _ => {}
        }
        true
    }

    /// Waits for the result of a call.
    pub(crate) async fn result(&mut self, call_id: u64) -> CallResult {
        while !self.results.contains_key(&call_id) {
            assert!(self.step().await, "the stream ended before the result");
        }
        self.results[&call_id].clone()
    }

    /// Waits until all workers are there again.
    pub(crate) async fn until_slots(&mut self, slots: i64) {
        while self.slots != slots {
            assert!(self.step().await, "the stream ended");
        }
    }

    /// Runs a call to its end.
    pub(crate) async fn run(&mut self, call: Call) -> CallResult {
        let call_id = call.call_id;
        self.start(call).await;
        self.result(call_id).await
    }

    /// The values that a call streamed.
    pub(crate) fn values(&self, call_id: u64) -> Vec<Bytes> {
        let mut values = Vec::new();
        let mut partial = Vec::new();
        for (data, end) in self.chunks.get(&call_id).into_iter().flatten() {
            partial.extend_from_slice(data);
            if *end {
                values.push(std::mem::take(&mut partial).into());
            }
        }
        values
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Hello(_) => "hello",
        Kind::Ready(_) => "ready",
        Kind::Result(_) => "result",
        Kind::Chunk(_) => "chunk",
        Kind::Credit(_) => "credit",
        Kind::Pong(_) => "pong",
        Kind::Drain(_) => "drain",
        Kind::Logs(_) => "logs",
        Kind::Ping(_) => "ping",
        Kind::Started(_) => "started",
    }
}

/// A call of function number `function` with a deadline far away.
pub(crate) fn call(call_id: u64, function: u32, payload: &[u8]) -> Call {
    Call {
        call_id,
        function_id: function,
        timeout_us: 100_000_000,
        attempt: 1,
        payload: Bytes::copy_from_slice(payload),
        invocation_id: format!("inv-{call_id}"),
        metadata: vec![MetadataEntry {
            key: "who".into(),
            value: "test".into(),
        }],
        ..Call::default()
    }
}

pub(crate) fn stream_call(call_id: u64, function: u32, payload: &[u8]) -> Call {
    Call {
        stream_response: true,
        ..call(call_id, function, payload)
    }
}

pub(crate) fn reason(result: &CallResult) -> &str {
    result
        .failure
        .as_ref()
        .map_or("", |failure| failure.reason.as_str())
}
