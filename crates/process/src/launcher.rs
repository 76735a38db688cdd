//! Starts instances through the shim, and finds those of earlier launchers.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use crate::state::{SpecFile, State};
use crate::wait::until_ended;
use crate::{
    Ending, Error, Instance, InstanceId, ProcessId, SHIM_MARKER, ShimCommand, Spec, Status, folder,
};

/// How long a shim may take until its program runs; loaded devices are slow.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(60);

/// Starts instances, each in a folder of its own below one root.
#[derive(Debug, Clone)]
pub struct Launcher {
    root: PathBuf,
    shim: ShimCommand,
    tasks: TaskTracker,
}

/// An instance that was there already.
#[derive(Debug, Clone)]
pub struct Found {
    /// To go on with: watching, stopping, removing.
    pub instance: Instance,
    /// What it was doing when it was found.
    pub status: Status,
}

impl Launcher {
    /// A launcher with folders below `root`, an absolute path. `tasks` owns a small task
    /// per launched instance that takes the shim's exit status, so that no zombie stays;
    /// these tasks end with their instances, so do not wait for them at shutdown.
    pub fn new(root: impl Into<PathBuf>, shim: ShimCommand, tasks: TaskTracker) -> Self {
        Self {
            root: root.into(),
            shim,
            tasks,
        }
    }

    /// The instance of this id, started or not.
    pub fn instance(&self, id: &InstanceId) -> Instance {
        Instance::new(id.clone(), self.root.join(id.as_str()))
    }

    /// Starts an instance; returns when its program was executed.
    ///
    /// The caller makes `id` durable before it calls, so that it knows afterwards
    /// whose the instance is that [`Self::scan`] finds.
    ///
    /// # Cancel safety
    /// When dropped, the launch goes on; [`Self::instance`] and [`Self::scan`] find it.
    ///
    /// # Errors
    /// [`Error::InvalidSpec`] and [`Error::AlreadyExists`] before anything was done;
    /// [`Error::ProgramNotStarted`] with the operating system's reason, the folder with
    /// the same outcome staying for [`Instance::remove`]; [`Error::ShimFailed`] and
    /// [`Error::Io`] for the rest, after which [`Instance::stop`] and
    /// [`Instance::remove`] clear up whatever was reached.
    pub async fn launch(&self, id: &InstanceId, spec: Spec) -> Result<Instance, Error> {
        spec.validate()?;
        let instance = self.instance(id);
        let launch = Launch {
            folder: instance.folder().to_owned(),
            id: id.clone(),
            shim: self.shim.clone(),
            tasks: self.tasks.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        spawn_blocking(move || launch.run(spec))
            .await
            .map_err(|error| Error::ShimFailed(error.to_string()))??;
        Ok(instance)
    }

    /// Finds every instance below the root, in the order of their ids.
    ///
    /// Waits a short while for shims that are just starting. Folders that are no
    /// instance ids are left alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the root cannot be listed. An instance whose state cannot
    /// be read is found with [`Status::Unknown`]: unknown is not absent.
    pub async fn scan(&self) -> Result<Vec<Found>, Error> {
        let root = self.root.clone();
        let ids = spawn_blocking(move || list(&root))
            .await
            .map_err(|error| Error::ShimFailed(error.to_string()))??;
        let mut found = Vec::new();
        for id in ids {
            let instance = self.instance(&id);
            let status = match instance.settled_status().await {
                Ok(status) => status,
                Err(error) => Status::Unknown {
                    detail: error.to_string(),
                },
            };
            found.push(Found { instance, status });
        }
        Ok(found)
    }
}

fn list(root: &Path) -> Result<Vec<InstanceId>, Error> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", root)(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", root))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        ids.extend(
            entry
                .file_name()
                .to_str()
                .and_then(|name| InstanceId::parse(name).ok()),
        );
    }
    ids.sort_unstable();
    Ok(ids)
}

/// One launch, on a thread that may block.
struct Launch {
    folder: PathBuf,
    id: InstanceId,
    shim: ShimCommand,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
}

impl Launch {
    fn run(self, spec: Spec) -> Result<(), Error> {
        self.make_folder()?;
        self.write_spec(spec)?;
        let log_path = folder::shim_log(&self.folder);
        let shim_log = File::create(&log_path).map_err(Error::io("create", &log_path))?;
        let mut shim = self
            .shim
            .command()
            .arg(&self.folder)
            .env(SHIM_MARKER, self.id.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(shim_log)
            .spawn()
            .map_err(Error::io("start the shim", &self.shim.program))?;
        let ready = shim.stdout.take();
        let deadline = Instant::now() + LAUNCH_DEADLINE;
        let in_time = ready.is_some_and(|ready| wait_for_end(ready, deadline));
        if !in_time {
            // Fails only when it is gone already.
            let _ = shim.kill();
        }
        self.tasks.spawn_on(reap(shim), &self.runtime);
        if !in_time {
            return Err(Error::ShimFailed("it took too long".to_owned()));
        }
        self.read_result()
    }

    fn make_folder(&self) -> Result<(), Error> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        if let Some(root) = self.folder.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(root)
                .map_err(Error::io("make", root))?;
        }
        builder
            .create(&self.folder)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists(self.folder.clone()),
                _ => Error::io("make", &self.folder)(error),
            })
    }

    fn write_spec(&self, spec: Spec) -> Result<(), Error> {
        let path = folder::spec_file(&self.folder);
        let failed = || Error::io("write", &path);
        let body = serde_json::to_vec(&SpecFile::new(self.id.clone(), spec))
            .map_err(|error| failed()(error.into()))?;
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&body))
            .map_err(failed())
    }

    fn read_result(&self) -> Result<(), Error> {
        match State::read(&self.folder)? {
            Some(State {
                outcome: Some(outcome),
                ..
            }) => match outcome.ending {
                Ending::NotStarted { errno, message } => {
                    Err(Error::ProgramNotStarted { errno, message })
                }
                Ending::Exited { .. } | Ending::Signaled { .. } => Ok(()),
            },
            Some(State { outcome: None, .. }) => Ok(()),
            None => Err(Error::ShimFailed(self.complaint())),
        }
    }

    fn complaint(&self) -> String {
        let text = fs::read_to_string(folder::shim_log(&self.folder)).unwrap_or_default();
        match text.trim() {
            "" => "it ended without a word".to_owned(),
            text => text.chars().take(500).collect(),
        }
    }
}

/// Whether the other end was closed before the deadline.
fn wait_for_end(mut ready: ChildStdout, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut descriptors = [PollFd::from_borrowed_fd(ready.as_fd(), PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return false,
        }
        if !ready.read(&mut [0; 64]).is_ok_and(|count| count > 0) {
            return true;
        }
    }
}

/// Takes the exit status of a child when it has one.
async fn reap(mut child: Child) {
    if let Some(id) = ProcessId::of(child.id()) {
        until_ended(id).await;
    }
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!(
            pid = child.id(),
            code = status.code(),
            signal = status.signal(),
            "shim ended with an error"
        ),
        Err(error) => tracing::warn!(pid = child.id(), error = %error, "shim was not reaped"),
    }
}
