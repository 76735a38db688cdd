//! The system as separate processes that can be killed one by one.

mod process;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baetyl_engine::driver::process::remove_secrets;
use baetyl_pki::pem;
use baetyl_proto::node::v1::node_service_client::NodeServiceClient;
use baetyl_proto::node::v1::{GetNodeStatusRequest, LocalNodeStatus};
use baetyl_service_kit::serve::{ConnectOptions, Target, connect, connect_lazy};
use baetyl_service_kit::tls::{Identity, Roots};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::program::{Output, program, run};
use crate::{instances, ports, wait};
use process::Process;

/// How long core may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Where the node has its data.
const NODE_FOLDER: &str = "n";

/// An edge node: core as a process of its own.
#[derive(Debug)]
pub struct Node {
    core: Process,
    data: PathBuf,
    port: u16,
}

/// A cluster that is a node.
#[derive(Clone, Copy)]
struct Cluster<'a> {
    kubeconfig: &'a Path,
    runtime_image: Option<&'a str>,
}

/// A control plane and one node, each a process of its own.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    cloud: Process,
    sync: u16,
    admin: u16,
    /// The node `demo`.
    pub node: Node,
    /// The function service of a node that is a cluster.
    function: Option<Process>,
    /// The port at which functions are invoked.
    functions_at: Option<u16>,
}

/// Ports of the function service.
#[derive(Clone, Copy)]
struct Function {
    invoke: u16,
    attach: u16,
}

impl Function {
    fn process(self, folder: &Path, data: &Path) -> Process {
        let settings = [
            format!("listen=127.0.0.1:{}", self.invoke),
            format!("attach_remote=127.0.0.1:{}", self.attach),
            // How long a pod takes on a slow machine decides no test.
            "runtime_wait=60s".to_owned(),
        ];
        let args = arguments("function", data, &settings);
        Process::of_device(folder.join("function.log"), args)
    }
}

impl Site {
    /// Starts both, the node activated and online.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start() -> Result<Self> {
        Self::with(None).await
    }

    /// As [`Site::start`], with a cluster as the node: core reaches it by this kubeconfig.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn on_cluster(kubeconfig: &Path) -> Result<Self> {
        let runtime_image = None;
        Self::with(Some(Cluster {
            kubeconfig,
            runtime_image,
        }))
        .await
    }

    /// As [`Site::on_cluster`], with the function service as a process beside core. Pods of the
    /// image reach this machine by its loopback address.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn on_cluster_with_functions(kubeconfig: &Path, image: &str) -> Result<Self> {
        let runtime_image = Some(image);
        let mut site = Self::with(Some(Cluster {
            kubeconfig,
            runtime_image,
        }))
        .await?;
        let function = site
            .function
            .as_mut()
            .context("there is no function service")?;
        function.start(&[])?;
        site.introduce_functions().await?;
        Ok(site)
    }

    async fn with(cluster: Option<Cluster<'_>>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bt").tempdir_in("/tmp")?;
        let choose = ports::choose;
        let [api, sync, admin, core] = [choose()?, choose()?, choose()?, choose()?];
        let path = folder.path();
        let cloud = Process::of_cloud(
            path.join("cloud.log"),
            arguments(
                "cloud",
                &path.join("c"),
                &[
                    format!("listen=127.0.0.1:{api}"),
                    format!("sync_listen=127.0.0.1:{sync}"),
                    format!("admin_listen=127.0.0.1:{admin}"),
                ],
            ),
        );
        let data = path.join(NODE_FOLDER);
        let mut settings = vec![
            format!("listen=127.0.0.1:{core}"),
            "reconnect_cap=500ms".to_owned(),
        ];
        if let Some(cluster) = cluster {
            settings.push(format!("kube.kubeconfig={}", cluster.kubeconfig.display()));
        }
        let image = cluster.and_then(|cluster| cluster.runtime_image);
        let function = match image {
            Some(image) => {
                let [invoke, attach] = [choose()?, choose()?];
                settings.push(format!("function_address=https://127.0.0.1:{invoke}"));
                settings.push(format!("kube.runtime_image={image}"));
                settings.push(format!("kube.attach_address=127.0.0.1:{attach}"));
                Some(Function { invoke, attach })
            }
            None => {
                // Who listens where that service would be by default is not ours.
                settings.push("function_address=none".to_owned());
                None
            }
        };
        let core = Node {
            core: Process::of_device(path.join("core.log"), arguments("core", &data, &settings)),
            data: data.clone(),
            port: core,
        };
        let mut site = Self {
            function: function.map(|ports| ports.process(path, &data)),
            functions_at: function.map(|ports| ports.invoke),
            folder,
            cloud,
            sync,
            admin,
            node: core,
        };
        site.start_cloud()?;
        let mode = cluster.map_or("process", |_| "kube");
        site.introduce(api, mode).await?;
        site.node.start(&[])?;
        site.until_online().await?;
        Ok(site)
    }

    /// Writes the context, adds the node and activates it.
    async fn introduce(&self, api: u16, mode: &str) -> Result<()> {
        let token = self.folder.path().join("c/admin.token");
        let ca = self.folder.path().join("c/ca.pem");
        let look = async || Ok(token.exists() && ca.exists());
        wait::until("start of the cloud", look, |there| *there)
            .await
            .context(self.cloud.log())?;
        let address = format!("https://127.0.0.1:{api}");
        let set = ["context", "set", "site", "--cloud", &address];
        let files = [
            OsStr::new("--ca"),
            ca.as_os_str(),
            OsStr::new("--token-file"),
            token.as_os_str(),
        ];
        let set: Vec<&OsStr> = set.iter().map(OsStr::new).chain(files).collect();
        self.cli(&set).await?.ok()?;
        let look = async || Ok(self.cli(&["status"]).await?.code);
        wait::until("answer of the cloud", look, |code| *code == 0).await?;
        let added = self
            .cli(&[
                "node",
                "add",
                "demo",
                "--mode",
                mode,
                "-l",
                "site=demo",
                "-o",
                "json",
            ])
            .await?
            .ok()?;
        let token: serde_json::Value = serde_json::from_str(&added)?;
        let text = |field: &str| token[field].as_str().context("no token").map(str::to_owned);
        let line = format!("join {} --token {}", text("address")?, text("token")?);
        self.join(&line, NODE_FOLDER).await?.ok()?;
        Ok(())
    }

    /// Adds the node's function service to the context.
    async fn introduce_functions(&self) -> Result<()> {
        let local = self.node.data.join("local");
        let (ca, token) = (local.join("ca.pem"), local.join("edge-token"));
        let port = self.functions_at.context("there is no function service")?;
        let address = format!("https://127.0.0.1:{port}");
        let set: [&OsStr; 9] = [
            "context".as_ref(),
            "set".as_ref(),
            "site".as_ref(),
            "--function".as_ref(),
            address.as_ref(),
            "--edge-ca".as_ref(),
            ca.as_ref(),
            "--edge-token-file".as_ref(),
            token.as_ref(),
        ];
        self.cli(&set).await?.ok()?;
        Ok(())
    }

    /// What the function service of a node that is a cluster wrote.
    #[must_use]
    pub fn function_log(&self) -> String {
        self.function.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Runs the command that `node add` printed, with its data in a folder of the site.
    ///
    /// # Errors
    /// It cannot be started or takes too long.
    pub async fn join(&self, printed: &str, folder: &str) -> Result<Output> {
        let data = self.folder.path().join(folder).display().to_string();
        let args = printed
            .split_whitespace()
            .skip_while(|word| *word != "join");
        let args: Vec<&str> = args.chain(["--no-core", "--data", &data]).collect();
        self.cli(&args).await
    }

    /// Runs the command line against the control plane.
    ///
    /// # Errors
    /// It cannot be started or takes too long.
    pub async fn cli<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output> {
        self.cli_with(args, b"").await
    }

    /// As [`Site::cli`], with standard input.
    ///
    /// # Errors
    /// It cannot be started or takes too long.
    pub async fn cli_with<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output> {
        let config = self.folder.path().join("config.yaml");
        run(
            &program()?,
            args,
            &[("BAETYL_CONFIG", config.as_os_str())],
            input,
        )
        .await
    }

    /// Starts the control plane.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_cloud(&mut self) -> Result<()> {
        self.cloud.start(&[])
    }

    /// Ends the control plane.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop_cloud(&mut self) -> Result<()> {
        self.cloud.end(Signal::TERM).await
    }

    /// Waits until the control plane sees the node.
    ///
    /// # Errors
    /// It does not.
    pub async fn until_online(&self) -> Result<()> {
        let look = async || self.cli(&["get", "nodes"]).await;
        let online = |output: &Output| output.stdout.contains("online");
        wait::until("the node online", look, online)
            .await
            .with_context(|| format!("{}\n{}", self.cloud.log(), self.node.core.log()))?;
        Ok(())
    }

    /// The sync listener of the control plane, as who shows this identity.
    ///
    /// # Errors
    /// The authority of the control plane cannot be read.
    pub fn sync_channel(&self, identity: Identity) -> Result<Channel> {
        let ca = std::fs::read(self.folder.path().join("c/ca.pem"))?;
        let roots = Roots::try_new(&pem::certs(&ca)?)?;
        let address = format!("https://127.0.0.1:{}", self.sync);
        let target = Target::encrypted(&address, None, Target::tls(roots, Some(identity)))?;
        Ok(connect_lazy(&target, &ConnectOptions::default()))
    }

    /// The sum of one counter of the control plane over all labels; 0 while it is not there.
    ///
    /// # Errors
    /// The control plane does not answer.
    pub async fn counter(&self, name: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let lines = answer.lines().filter(|line| line.starts_with(name));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// What the control plane wrote.
    #[must_use]
    pub fn cloud_log(&self) -> String {
        self.cloud.log()
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.node
            .core
            .child
            .take()
            .map(|mut child| (child.kill().ok(), child.wait().ok()));
        for pid in instances(self.folder.path()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        // What lies in memory is found by the folder's name, so it goes before the folder.
        remove_secrets(&self.node.data.join("applications")).ok();
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
        }
    }
}

impl Node {
    /// Changes a setting of core, `key=value`, for the starts that follow.
    pub fn set(&mut self, setting: &str) {
        let more = ["--set", setting].map(OsString::from);
        self.core.args.extend(more);
    }

    /// Starts core, with more environment.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        self.core.start(environment)
    }

    /// Kills core; its applications go on.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill(&mut self) -> Result<()> {
        self.core.end(Signal::KILL).await
    }

    /// Asks core to end; its applications go on.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.core.end(Signal::TERM).await
    }

    /// Waits until core has ended by itself; says how.
    ///
    /// # Errors
    /// It goes on.
    pub async fn until_ended(&mut self) -> Result<ExitStatus> {
        let core = &mut self.core;
        let ended = wait::until("the end of core", async || core.ended(), Option::is_some);
        let ended = ended.await.with_context(|| self.core.log())?;
        self.core.child = None;
        ended.context("it has ended")
    }

    /// What core wrote, from its first start on.
    #[must_use]
    pub fn log(&self) -> String {
        self.core.log()
    }

    /// What core says of itself and its applications.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> Result<LocalNodeStatus> {
        let ca = std::fs::read(self.data.join("local/ca.pem"))?;
        let token = std::fs::read_to_string(self.data.join("local/edge-token"))?;
        let roots = Roots::try_new(&pem::certs(&ca)?)?;
        let address = format!("https://127.0.0.1:{}", self.port);
        let target = Target::encrypted(&address, Some("localhost"), Target::tls(roots, None))?;
        let channel = connect(&target, &ConnectOptions::default()).await?;
        let mut request = tonic::Request::new(GetNodeStatusRequest {});
        request.set_timeout(ANSWER_PATIENCE);
        let bearer = format!("Bearer {}", token.trim()).parse()?;
        request.metadata_mut().insert("authorization", bearer);
        let answer = NodeServiceClient::new(channel)
            .get_node_status(request)
            .await?;
        answer.into_inner().status.context("a status")
    }

    /// The status, once `good` says so.
    ///
    /// # Errors
    /// It does not become so; the message has core's log.
    pub async fn until(
        &self,
        what: &str,
        good: impl Fn(&LocalNodeStatus) -> bool,
    ) -> Result<LocalNodeStatus> {
        let status = wait::until(what, async || self.status().await, good).await;
        status.with_context(|| self.core.log())
    }
}

fn arguments(service: &str, data: &Path, settings: &[String]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![service.into(), "--data".into(), data.into()];
    for setting in settings {
        args.extend(["--set".into(), setting.into()]);
    }
    args
}
