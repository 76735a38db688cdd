//! Operating system processes: the driver of `process` nodes.
//!
//! Each instance runs under a shim that outlives the engine. What its program finds: a fresh
//! working folder (also `HOME`), a root folder (`BAETYL_ROOT`) with its volumes at their mount
//! paths, its certificate (`BAETYL_CERT_DIR`), its ports (`BAETYL_PORT_<NAME>`), and nothing of the
//! engine's own environment but `PATH`, `LANG` and `TZ`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use baetyl_process::cgroup::{self, ControlGroups};
use baetyl_process::logs::{LogQuery, LogRecord};
use baetyl_process::{
    Ending, Instance, InstanceId, Launcher, LogCaps, Outcome, ProcessTable, ShimCommand, Status,
    StopPolicy,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use super::{
    Driver, DriverError, Found, Kept, Launch, Observation, Preparation, ProbeCall, Refusal,
    Support, Termination,
};
use crate::reason;
use crate::spec::Protocol;

mod environment;
mod files;
mod layout;
mod prepare;
mod probe;
mod start;

use layout::Layout;

/// How long dying may take after SIGKILL.
const KILL_BOUND: Duration = Duration::from_secs(10);

/// Settings of the process driver.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The tenant of the node.
    pub namespace: String,
    /// Name of the node.
    pub node: String,
    /// Absolute path of the folder for everything that applications have.
    pub data_folder: PathBuf,
    /// Where secrets and keys lie; `None` looks for a file system in memory, and takes the data
    /// folder when there is none.
    pub secret_folder: Option<PathBuf>,
    /// How the shim is called.
    pub shim: ShimCommand,
    /// Program and first arguments of the function runtime; `--config <file>` follows.
    pub runtime_program: Vec<String>,
    /// Where function runtimes attach: `unix:/path` or `address:port`.
    pub function_attach: String,
    /// `PATH` of the programs.
    pub path: String,
    /// How much output is kept per instance.
    pub log_caps: LogCaps,
    /// Whether control groups are made where that is possible.
    pub use_cgroups: bool,
}

impl ProcessConfig {
    /// The usual settings: this program is shim and runtime, and its `PATH` is handed on.
    pub fn new(
        namespace: impl Into<String>,
        node: impl Into<String>,
        data_folder: impl Into<PathBuf>,
        function_attach: impl Into<String>,
    ) -> Self {
        const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            namespace: namespace.into(),
            node: node.into(),
            data_folder: data_folder.into(),
            secret_folder: None,
            shim: ShimCommand::current_program(),
            runtime_program: vec!["/proc/self/exe".into(), "runtime".into()],
            function_attach: function_attach.into(),
            path: std::env::var("PATH").unwrap_or_else(|_| USUAL_PATH.to_owned()),
            log_caps: LogCaps {
                max_bytes: 2 << 20,
                files: 4,
            },
            use_cgroups: true,
        }
    }
}

/// Runs instances as processes. Clones share the folders.
#[derive(Clone, Debug)]
pub struct ProcessDriver {
    config: std::sync::Arc<ProcessConfig>,
    layout: Layout,
    launcher: Launcher,
    cgroups: Option<ControlGroups>,
    tasks: TaskTracker,
}

impl ProcessDriver {
    /// Makes the folders, and finds out what the system can do. `tasks` owns small tasks that
    /// reap shims; they end with their instances, so do not wait for them. Blocking.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn new(config: ProcessConfig, tasks: TaskTracker) -> Result<Self, DriverError> {
        let layout = Layout::make(&config.data_folder, config.secret_folder.as_deref())?;
        if !layout.is_secret_in_memory() {
            tracing::warn!("no file system in memory was found; secrets lie in the data folder");
        }
        let cgroups = match config.use_cgroups.then(cgroup::detect) {
            Some(cgroup::Support::Available(groups)) => Some(groups),
            Some(cgroup::Support::Unavailable { reason }) => {
                tracing::info!(
                    detail = reason,
                    "no control groups: memory is sampled, processor limits are not kept"
                );
                None
            }
            None => None,
        };
        Ok(Self {
            launcher: Launcher::new(layout.runs(), config.shim.clone(), tasks.clone()),
            config: std::sync::Arc::new(config),
            layout,
            cgroups,
            tasks,
        })
    }

    fn instance(&self, id: &InstanceId) -> Instance {
        self.launcher.instance(id)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        let driver = self.clone();
        let done = spawn_blocking(move || action(&driver)).await;
        done.map_err(|error| DriverError::new("work with files", error))
    }
}

/// Removes what lies in memory for a data folder that is about to be removed, or was: secrets and
/// keys. No application may run. Blocking.
///
/// # Errors
/// Something is still there.
pub fn remove_secrets(data_folder: &Path) -> Result<(), DriverError> {
    layout::remove_in_memory(data_folder)
        .map_err(|error| DriverError::new("remove the secrets in memory", error))
}

/// What a status means to the engine.
fn observation(status: Result<Status, baetyl_process::Error>) -> Observation {
    match status {
        Ok(Status::Running(running)) => Observation::Running {
            pid: running.process.pid,
            started_at: running.started_at,
        },
        Ok(Status::Exited(outcome)) => Observation::Ended(termination(&outcome)),
        Ok(Status::Lost | Status::Stale) => Observation::Vanished,
        // A shim that was spawned and did not get to its lock may still do so: stopping it first
        // makes sure that it never starts its program beside the next one.
        Ok(Status::Unstarted | Status::Starting | Status::Orphaned { .. }) => Observation::Broken,
        Ok(Status::Unknown { detail }) => Observation::Unknown { detail },
        Err(error) => Observation::Unknown {
            detail: baetyl_service_kit::fault::chain(&error),
        },
    }
}

fn termination(outcome: &Outcome) -> Termination {
    let (exit_code, signal, reason, message) = match &outcome.ending {
        Ending::Exited { code } => (*code, 0, reason::EXITED, format!("exited with code {code}")),
        Ending::Signaled { signal } => (
            128 + signal,
            *signal,
            reason::SIGNALED,
            format!("ended by signal {signal}"),
        ),
        Ending::NotStarted { errno, message } => {
            let refusal = start::not_started(*errno, message);
            (127, 0, refusal.reason, refusal.message)
        }
    };
    let mut termination = Termination {
        exit_code,
        signal,
        reason: reason.to_owned(),
        message,
        finished_at: outcome.finished_at,
    };
    if outcome.out_of_memory {
        reason::OUT_OF_MEMORY.clone_into(&mut termination.reason);
        "killed by the system for want of memory".clone_into(&mut termination.message);
    }
    termination
}

#[async_trait]
impl Driver for ProcessDriver {
    fn support(&self) -> Support {
        Support {
            memory_limits: self.cgroups.is_some(),
            cpu_limits: self.cgroups.is_some(),
        }
    }

    fn is_free(&self, port: u16, protocol: Protocol) -> bool {
        // The standard library sets SO_REUSEADDR, so that a connection which lingers from the
        // instance before is no obstacle; a listener is one. What this process may not bind for
        // another reason is the program's to find out.
        let address = (Ipv4Addr::UNSPECIFIED, port);
        let bound = match protocol {
            Protocol::Tcp => TcpListener::bind(address).map(drop),
            Protocol::Udp => UdpSocket::bind(address).map(drop),
        };
        !bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    }

    async fn scan(&self) -> Result<Vec<Found>, DriverError> {
        let found = self.launcher.scan().await;
        let failed = |error: std::io::Error| DriverError::new("find the instances", error);
        let found = found.map_err(|error| DriverError::new("find the instances", error))?;
        let mut found: BTreeMap<InstanceId, Observation> = found
            .into_iter()
            .map(|found| (found.instance.id().clone(), observation(Ok(found.status))))
            .collect();
        // Folders are made before the shim's and removed after it: a killed engine may have left
        // some alone.
        let folders = self.blocking(|driver| driver.layout.instances()).await?;
        for id in folders.map_err(failed)? {
            found.entry(id).or_insert(Observation::Vanished);
        }
        let found = found.into_iter();
        Ok(found
            .map(|(id, observation)| Found { id, observation })
            .collect())
    }

    async fn prepare(&self, preparation: Preparation) -> Result<(), Refusal> {
        prepare::run(self, preparation).await
    }

    async fn start(&self, launch: Launch) -> Result<Observation, Refusal> {
        start::run(self, launch).await
    }

    async fn observe(&self, id: &InstanceId) -> Observation {
        match self.instance(id).status().await {
            Ok(Status::Starting) => Observation::Unknown {
                detail: "it is just being started".to_owned(),
            },
            status => observation(status),
        }
    }

    async fn ended(&self, id: &InstanceId) -> Observation {
        observation(self.instance(id).wait().await)
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<Observation, DriverError> {
        let policy = StopPolicy {
            grace,
            kill: KILL_BOUND,
            ..StopPolicy::default()
        };
        let stopped = self.instance(id).stop(&policy).await;
        let status =
            stopped.map_err(|error| DriverError::new(format!("stop instance {id}"), error))?;
        Ok(match observation(Ok(status)) {
            // A shim that was never started is fenced now.
            Observation::Broken => Observation::Vanished,
            other => other,
        })
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), DriverError> {
        let doing = || format!("remove instance {id}");
        let removed = self.instance(id).remove().await;
        removed.map_err(|error| DriverError::new(doing(), error))?;
        let own = id.clone();
        let removed = self
            .blocking(move |driver| {
                files::remove(&driver.layout.environment(&own))?;
                files::remove(&driver.layout.instance(&own))
            })
            .await?;
        removed.map_err(|error| DriverError::new(doing(), error))
    }

    async fn probe(&self, call: ProbeCall) -> Result<(), String> {
        probe::run(self, call).await
    }

    async fn tidy(&self, application: &str, keep: Vec<Kept>) -> Result<(), DriverError> {
        let name = application.to_owned();
        let tidied = self
            .blocking(move |driver| driver.layout.tidy(&name, &keep))
            .await?;
        tidied.map_err(|error| DriverError::new("remove old files", error))
    }

    async fn forget(&self, application: &str, remove_data: bool) -> Result<(), DriverError> {
        let name = application.to_owned();
        let forgotten = self
            .blocking(move |driver| driver.layout.forget(&name, remove_data))
            .await?;
        forgotten.map_err(|error| DriverError::new("remove the application's files", error))
    }

    async fn forget_all(&self) -> Result<(), DriverError> {
        let forgotten = self.blocking(|driver| driver.layout.forget_all()).await?;
        forgotten.map_err(|error| DriverError::new("remove all files", error))
    }

    fn logs(
        &self,
        id: &InstanceId,
        query: LogQuery,
    ) -> BoxStream<'static, Result<LogRecord, DriverError>> {
        let records = self.instance(id).logs(query);
        records
            .map(|record| record.map_err(|error| DriverError::new("read the log", error)))
            .boxed()
    }

    async fn memory(&self, ids: Vec<InstanceId>) -> BTreeMap<InstanceId, u64> {
        let sampled = self.blocking(move |driver| {
            let Ok(table) = ProcessTable::read() else {
                return BTreeMap::new();
            };
            let sample = |id: InstanceId| {
                let stats = driver.instance(&id).stats_in(&table).ok()?;
                Some((id, stats.resident_bytes))
            };
            ids.into_iter().filter_map(sample).collect()
        });
        sampled.await.unwrap_or_default()
    }
}
