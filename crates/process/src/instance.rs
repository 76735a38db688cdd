//! One started instance, whoever started it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use futures::future::join_all;
use futures::stream::BoxStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::group::{Scope, send};
use crate::logs::{self, LogQuery, LogRecord};
use crate::state::State;
use crate::wait::until_ended;
use crate::{
    Error, INSTANCE_MARKER, Outcome, ProcessId, ProcessTable, SHIM_MARKER, Signal, Stats, cgroup,
    folder, procfs,
};

/// How long a shim that holds its lock may take to record its process.
const START_BOUND: Duration = Duration::from_secs(10);
const START_PAUSE: Duration = Duration::from_millis(20);

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Launched, but its shim was not started yet. [`Instance::stop`] makes sure that
    /// it never will.
    Unstarted,
    /// The shim lives and has not recorded its process yet.
    Starting,
    /// The shim lives, and so does the program or its last output.
    Running(Running),
    /// It ended; this is known for certain.
    Exited(Outcome),
    /// The shim was killed and left these processes. They have no output and nobody
    /// will know how they end: stop the instance and launch another one.
    Orphaned {
        /// All that is left.
        processes: Vec<ProcessId>,
    },
    /// The shim was killed before it could record an outcome; nothing is left.
    Lost,
    /// The machine was started anew since; nothing is left.
    Stale,
    /// The folder cannot be read, or its state is damaged or of a later release.
    Unknown {
        /// Why, for people.
        detail: String,
    },
}

/// Identity of a running instance. It does not change when the instance is adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The program.
    pub process: ProcessId,
    /// Its shim.
    pub shim: ProcessId,
    /// When the program was started.
    pub started_at: SystemTime,
}

/// How to end an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopPolicy {
    /// Sent to the group first.
    pub signal: Signal,
    /// How long it may take before everything is killed.
    pub grace: Duration,
    /// How long dying may take after that.
    pub kill: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            signal: Signal::Term,
            grace: Duration::from_secs(10),
            kill: Duration::from_secs(10),
        }
    }
}

/// A handle: the id and the folder. All else is read from there, so handles can be
/// cloned and made anew, and two of them never disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    id: crate::InstanceId,
    folder: PathBuf,
}

impl Instance {
    pub(crate) fn new(id: crate::InstanceId, folder: PathBuf) -> Self {
        Self { id, folder }
    }

    /// Its id.
    pub fn id(&self) -> &crate::InstanceId {
        &self.id
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is doing now.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be found out.
    pub async fn status(&self) -> Result<Status, Error> {
        self.blocking(Self::observe).await
    }

    /// Waits until it has ended, also when another process launched it, and returns
    /// a status that is not `Starting` or `Running`. Cancel safe.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn wait(&self) -> Result<Status, Error> {
        loop {
            match self.settled_status().await? {
                Status::Running(running) => until_ended(running.shim).await,
                status => return Ok(status),
            }
        }
    }

    /// Sends a signal to the program's group.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when there is none (any more).
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.blocking(move |instance| {
            let scope = instance.scope()?;
            let was_sent = scope
                .signal_group(signal)
                .map_err(Error::io("signal", &instance.folder))?;
            if was_sent {
                Ok(())
            } else {
                Err(Error::NotRunning)
            }
        })
        .await
    }

    /// Ends it: signal, grace, SIGKILL for the group and everything else that belongs
    /// to it, whatever session or group it moved to. Returns the status afterwards, which
    /// is never `Starting`, `Running` or `Orphaned`. Stopping twice is fine.
    ///
    /// # Cancel safety
    /// When dropped, the steps taken so far stay; call it again.
    ///
    /// # Errors
    /// [`Error::StillRunning`] when processes outlive SIGKILL by the given time;
    /// otherwise as [`Self::status`].
    pub async fn stop(&self, policy: &StopPolicy) -> Result<Status, Error> {
        let policy = *policy;
        match self.settled_status().await? {
            Status::Running(_) => {
                // Gone meanwhile is what was wanted.
                match self.signal(policy.signal).await {
                    Ok(()) | Err(Error::NotRunning) => {}
                    Err(error) => return Err(error),
                }
                self.wait_or_kill(&policy).await?;
            }
            Status::Orphaned { processes } => {
                self.blocking(move |instance| {
                    for process in processes {
                        send(process, policy.signal)
                            .map_err(Error::io("signal", &instance.folder))?;
                    }
                    Ok(())
                })
                .await?;
                self.wait_or_kill(&policy).await?;
            }
            Status::Unstarted => self.blocking(Self::fence).await?,
            Status::Exited(_)
            | Status::Lost
            | Status::Stale
            | Status::Starting
            | Status::Unknown { .. } => {}
        }
        self.kill_all(policy.kill).await?;
        if let Some(status) = self.wait_for(policy.kill).await {
            return status;
        }
        // A shim without anything to watch is stuck: stopped, or on a dead disk.
        self.kill_shim(policy.kill).await?;
        self.wait_for(policy.kill)
            .await
            .unwrap_or(Err(Error::StillRunning))
    }

    /// Removes the folder, with logs and control group, of an instance that has ended.
    ///
    /// # Errors
    /// [`Error::StillRunning`] when it has not; [`Error::Io`] when removing fails.
    pub async fn remove(&self) -> Result<(), Error> {
        self.blocking(|instance| {
            if !instance.folder.exists() {
                return Ok(());
            }
            match instance.observe()? {
                Status::Starting | Status::Running(_) | Status::Orphaned { .. } => {
                    return Err(Error::StillRunning);
                }
                Status::Unstarted => instance.fence()?,
                Status::Unknown { .. } => {
                    instance.fence()?;
                    let table =
                        ProcessTable::read().map_err(Error::io("read", Path::new("/proc")))?;
                    if !instance.scope()?.members(&table).is_empty() {
                        return Err(Error::StillRunning);
                    }
                }
                Status::Exited(_) | Status::Lost | Status::Stale => {}
            }
            if let Ok(Some(State {
                cgroup: Some(group),
                ..
            })) = State::read(&instance.folder)
            {
                // Absent after a restart of the machine.
                let _ = fs::remove_dir(group);
            }
            fs::remove_dir_all(&instance.folder).map_err(Error::io("remove", &instance.folder))
        })
        .await
    }

    /// What its processes use; all zero when there are none.
    ///
    /// # Errors
    /// [`Error::Io`] when `/proc` cannot be read, else as [`Self::status`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.blocking(|instance| {
            let table = ProcessTable::read().map_err(Error::io("read", Path::new("/proc")))?;
            instance.stats_in(&table)
        })
        .await
    }

    /// As [`Self::stats`], from a table that many instances share. Blocking.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn stats_in(&self, table: &ProcessTable) -> Result<Stats, Error> {
        let scope = self.scope()?;
        let mut stats = scope.stats(table);
        if let Some((bytes, microseconds)) = scope.cgroup.as_deref().and_then(cgroup::usage) {
            stats.resident_bytes = bytes;
            stats.cpu_time = Duration::from_micros(microseconds);
        }
        Ok(stats)
    }

    /// Its captured output, see [`logs::read`].
    pub fn logs(&self, query: LogQuery) -> BoxStream<'static, Result<LogRecord, Error>> {
        logs::read(&self.folder, query)
    }

    /// The status once a shim that was just starting has recorded its process.
    pub(crate) async fn settled_status(&self) -> Result<Status, Error> {
        let settle = async {
            loop {
                match self.status().await? {
                    Status::Starting => tokio::time::sleep(START_PAUSE).await,
                    status => return Ok(status),
                }
            }
        };
        match timeout(START_BOUND, settle).await {
            Ok(status) => status,
            Err(_) => Ok(Status::Starting),
        }
    }

    async fn wait_or_kill(&self, policy: &StopPolicy) -> Result<(), Error> {
        if self.wait_for(policy.grace).await.is_none() {
            self.kill_all(policy.kill).await?;
        }
        Ok(())
    }

    /// The status after everything has ended; `None` when that takes too long.
    async fn wait_for(&self, bound: Duration) -> Option<Result<Status, Error>> {
        let ended = async {
            loop {
                match self.wait().await? {
                    Status::Orphaned { processes } => {
                        join_all(processes.into_iter().map(until_ended)).await;
                    }
                    // A shim that does not get on is as good as running.
                    Status::Starting => {}
                    status => return Ok(status),
                }
            }
        };
        timeout(bound, ended).await.ok()
    }

    async fn kill_all(&self, bound: Duration) -> Result<(), Error> {
        self.blocking(move |instance| {
            let left = instance
                .scope()?
                .kill_all(bound)
                .map_err(Error::io("kill the processes of", &instance.folder))?;
            if left.is_empty() {
                Ok(())
            } else {
                Err(Error::StillRunning)
            }
        })
        .await
    }

    async fn kill_shim(&self, bound: Duration) -> Result<(), Error> {
        self.blocking(move |instance| {
            let marker = (SHIM_MARKER, instance.id.to_string());
            Scope {
                marker,
                leader: None,
                shim: None,
                cgroup: None,
            }
            .kill_all(bound)
            .map_err(Error::io("kill the shim of", &instance.folder))?;
            Ok(())
        })
        .await
    }

    /// The lock is looked at first: a state read after the shim was gone is final.
    fn observe(&self) -> Result<Status, Error> {
        let folder = self.folder.as_path();
        let has_shim =
            folder::is_locked(folder).map_err(Error::io("look at the lock of", folder))?;
        let state = match State::read(folder) {
            Ok(state) => state,
            Err(Error::UnusableState { detail, .. }) => return Ok(Status::Unknown { detail }),
            Err(error) => return Err(error),
        };
        let boot_id = procfs::boot_id().map_err(Error::io("read the boot id for", folder))?;
        match &state {
            Some(State {
                outcome: Some(outcome),
                ..
            }) => {
                return Ok(Status::Exited(outcome.clone()));
            }
            Some(state) if state.boot_id != boot_id => return Ok(Status::Stale),
            Some(state) if has_shim => {
                return Ok(Status::Running(Running {
                    process: state.process,
                    shim: state.shim,
                    started_at: state.started_at,
                }));
            }
            None if has_shim => return Ok(Status::Starting),
            Some(_) | None => {}
        }
        let table = ProcessTable::read().map_err(Error::io("read", Path::new("/proc")))?;
        let processes = self.scope_of(state.as_ref()).members(&table);
        if !processes.is_empty() {
            return Ok(Status::Orphaned { processes });
        }
        if state.is_none() && folder::spec_file(folder).exists() {
            return Ok(Status::Unstarted);
        }
        Ok(Status::Lost)
    }

    /// Makes sure that a shim which was spawned but did not get to its lock yet will find
    /// nothing to start.
    fn fence(&self) -> Result<(), Error> {
        let lock = folder::try_lock(&self.folder).map_err(Error::io("lock", &self.folder))?;
        if lock.is_none() {
            return Err(Error::StillRunning);
        }
        let path = folder::spec_file(&self.folder);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Without a usable state the marker alone tells what belongs.
    fn scope(&self) -> Result<Scope, Error> {
        match State::read(&self.folder) {
            Ok(state) => Ok(self.scope_of(state.as_ref())),
            Err(Error::UnusableState { .. }) => Ok(self.scope_of(None)),
            Err(error) => Err(error),
        }
    }

    fn scope_of(&self, state: Option<&State>) -> Scope {
        // After a restart of the machine, others can have the same number, and on a
        // device that always starts alike even the same start time.
        let boot_id = procfs::boot_id().ok();
        let state = state.filter(|state| Some(&state.boot_id) == boot_id.as_ref());
        Scope {
            marker: (INSTANCE_MARKER, self.id.to_string()),
            leader: state.map(|state| state.process),
            shim: state.map(|state| state.shim),
            cgroup: state.and_then(|state| state.cgroup.clone()),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let instance = self.clone();
        spawn_blocking(move || action(&instance))
            .await
            .unwrap_or_else(|error| {
                Err(Error::io("work on", &self.folder)(io::Error::other(error)))
            })
    }
}
