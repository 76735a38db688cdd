//! Short-lived processes that are tied to the one that spawned them.
//!
//! Executed, limited, marked and killed by the same code as instances, but without
//! shim and folder: output comes to the parent, and dropping the handle kills the
//! worker with all its descendants. When the parent itself is killed, its workers end
//! because their socket closes, or, if the parent was an instance, because its shim
//! kills what it left behind.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, io};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exec::Pending;
use crate::group::Scope;
use crate::logs::Lines;
use crate::wait::until_ended;
use crate::{
    Ending, Error, INSTANCE_MARKER, InstanceId, ProcessId, ProcessTable, Program, ShimCommand,
    Signal, Stats, WORKER_MARKER,
};

/// How long leftovers are killed; what then remains is stuck in the kernel.
const KILL_BOUND: Duration = Duration::from_secs(5);

/// Read at once from an output.
const CHUNK: usize = 16 << 10;

/// What to spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSpec {
    /// Marks its processes; never used twice.
    pub id: InstanceId,
    /// What to run. Paths of sockets go into its arguments or environment.
    pub program: Program,
}

/// One line of output, or a piece of at most 16 KiB of a longer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLine {
    /// Without line feed; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// The line goes on in the next piece.
    pub is_partial: bool,
}

/// Lines of one output; ends when every process that holds it has closed it.
pub type WorkerLines = BoxStream<'static, io::Result<WorkerLine>>;

/// A running worker. Dropping it kills the worker and its descendants.
pub struct Worker {
    process: ProcessId,
    scope: Scope,
    // Never locked: a mutex makes the worker shareable, which streams alone are not.
    stdout: Mutex<Option<WorkerLines>>,
    stderr: Mutex<Option<WorkerLines>>,
    ended: watch::Receiver<Option<Ending>>,
    stop: CancellationToken,
}

/// Spawns a worker; returns when its program was executed.
///
/// `tasks` owns a task per worker that kills and reaps it; wait for the tracker at
/// shutdown to be sure that no worker is left.
///
/// # Cancel safety
/// When dropped, the worker is killed.
///
/// # Errors
/// [`Error::InvalidSpec`], [`Error::ProgramNotStarted`], [`Error::Io`] when the process
/// could not be made, or [`Error::NotRunning`] when it cannot be found in `/proc`.
pub async fn spawn(
    shim: &ShimCommand,
    spec: WorkerSpec,
    tasks: &TaskTracker,
) -> Result<Worker, Error> {
    spec.program.validate()?;
    let (shim, tasks, runtime) = (shim.clone(), tasks.clone(), Handle::current());
    // The handle is made where the process is, so that one never exists without the other.
    spawn_blocking(move || start(&shim, spec, &tasks, &runtime))
        .await
        .unwrap_or_else(|error| Err(Error::ShimFailed(error.to_string())))
}

fn start(
    shim: &ShimCommand,
    spec: WorkerSpec,
    tasks: &TaskTracker,
    runtime: &Handle,
) -> Result<Worker, Error> {
    let WorkerSpec { id, mut program } = spec;
    let failed = Error::io("start a worker by", &shim.program);
    let mut markers = vec![(WORKER_MARKER, id.as_str())];
    // A worker of an instance belongs to that instance as well.
    let instance = env::var(INSTANCE_MARKER).ok();
    markers.extend(
        instance
            .as_deref()
            .map(|instance| (INSTANCE_MARKER, instance)),
    );
    program.env.extend(
        markers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into())),
    );

    let released = Pending::spawn(shim, &markers).and_then(|pending| pending.release(&program));
    let mut child = released
        .map_err(failed)?
        .map_err(|error| Error::ProgramNotStarted {
            errno: error.errno,
            message: error.message,
        })?;

    let Some(process) = ProcessId::of(child.id()) else {
        // An unreaped child always has an entry, so there is no /proc to rely on.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::NotRunning);
    };
    let stop = CancellationToken::new();
    let (sender, ended) = watch::channel(None);
    let outputs = (child.stdout.take(), child.stderr.take());
    let scope = Scope {
        marker: (WORKER_MARKER, id.to_string()),
        leader: Some(process),
        shim: None,
        cgroup: program.cgroup,
    };
    tasks.spawn_on(
        supervise(child, process, scope.clone(), stop.clone(), sender),
        runtime,
    );
    let mut worker = Worker {
        process,
        scope,
        stdout: Mutex::default(),
        stderr: Mutex::default(),
        ended,
        stop,
    };
    let _entered = runtime.enter();
    let failed = || Error::io("read the output of", &shim.program);
    let stdout = outputs.0.map(|pipe| lines(pipe.into())).transpose();
    worker.stdout = Mutex::new(stdout.map_err(failed())?);
    let stderr = outputs.1.map(|pipe| lines(pipe.into())).transpose();
    worker.stderr = Mutex::new(stderr.map_err(failed())?);
    Ok(worker)
}

impl Worker {
    /// Its process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Lines of standard output, once. They must be read: a worker whose pipe is full
    /// waits, and one whose stream was dropped gets SIGPIPE.
    pub fn take_stdout(&mut self) -> Option<WorkerLines> {
        take(&mut self.stdout)
    }

    /// Lines of standard error, once; see [`Self::take_stdout`].
    pub fn take_stderr(&mut self) -> Option<WorkerLines> {
        take(&mut self.stderr)
    }

    /// Kills the worker and its descendants, and waits for its end.
    pub async fn kill(&self) -> Ending {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until it has ended and what it left behind is killed. Cancel safe.
    pub async fn wait(&self) -> Ending {
        let mut ended = self.ended.clone();
        // Without its task, at the end of the runtime, it was killed.
        let killed = Ending::Signaled {
            signal: Signal::Kill.to_os().as_raw(),
        };
        ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ending| ending.clone())
            .unwrap_or(killed)
    }

    /// What it and its descendants use. Blocking.
    ///
    /// # Errors
    /// [`Error::Io`] when `/proc` cannot be read.
    pub fn stats(&self) -> Result<Stats, Error> {
        let table = ProcessTable::read().map_err(Error::io("read", Path::new("/proc")))?;
        Ok(self.stats_in(&table))
    }

    /// As [`Self::stats`], from a table that many workers share. Blocking.
    pub fn stats_in(&self, table: &ProcessTable) -> Stats {
        self.scope.stats(table)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
        if self.ended.borrow().is_none() {
            // At once, in case the runtime ends before the task gets to it. The task
            // takes care of what has left the group.
            let _ = self.scope.signal_group(Signal::Kill);
        }
    }
}

async fn supervise(
    mut child: Child,
    process: ProcessId,
    scope: Scope,
    stop: CancellationToken,
    ended: watch::Sender<Option<Ending>>,
) {
    tokio::select! {
        () = until_ended(process) => {}
        () = stop.cancelled() => {}
    }
    // Before it is reaped: until then nobody else can have its number and group.
    match spawn_blocking(move || scope.kill_all(KILL_BOUND)).await {
        Ok(Ok(left)) if left.is_empty() => {}
        Ok(Ok(left)) => {
            tracing::warn!(
                pid = process.pid,
                processes = left.len(),
                "processes outlive their worker"
            );
        }
        Ok(Err(error)) => {
            tracing::warn!(pid = process.pid, error = %error, "leftovers of a worker were not killed");
        }
        // The runtime is ending.
        Err(_) => return,
    }
    until_ended(process).await;
    let ending = match child.wait() {
        Ok(status) => ending(status),
        Err(error) => Ending::NotStarted {
            errno: error.raw_os_error().unwrap_or(0),
            message: format!("exit status was lost: {error}"),
        },
    };
    ended.send_replace(Some(ending));
}

fn take(lines: &mut Mutex<Option<WorkerLines>>) -> Option<WorkerLines> {
    lines
        .get_mut()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited { code },
        (None, signal) => Ending::Signaled {
            signal: signal.unwrap_or(0),
        },
    }
}

fn lines(pipe: OwnedFd) -> io::Result<WorkerLines> {
    struct Source {
        pipe: pipe::Receiver,
        lines: Lines,
        chunk: Vec<u8>,
    }
    let source = Source {
        pipe: pipe::Receiver::from_owned_fd(pipe)?,
        lines: Lines::default(),
        chunk: vec![0; CHUNK],
    };
    let batches = stream::unfold(Some(source), |source| async {
        let mut source = source?;
        let mut found = Vec::new();
        let mut give = |text: &[u8], is_partial| {
            let text = String::from_utf8_lossy(text).into_owned();
            found.push(Ok(WorkerLine { text, is_partial }));
        };
        match source.pipe.read(&mut source.chunk).await {
            Ok(0) => {
                source.lines.finish(give);
                Some((stream::iter(found), None))
            }
            Ok(count) => {
                source.lines.push(&source.chunk[..count], &mut give);
                Some((stream::iter(found), Some(source)))
            }
            Err(error) => Some((stream::iter(vec![Err(error)]), None)),
        }
    });
    Ok(batches.flatten().boxed())
}
