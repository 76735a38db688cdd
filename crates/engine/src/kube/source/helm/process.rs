//! Runs a program that turns files into output, within bounds: time, memory, output.
//!
//! It needs no supervisor as instances do: it ends by itself within seconds and holds nothing. It
//! has a process group of its own, which is killed when it takes too long or nobody waits any more.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, prlimit, waitid,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Of what it writes to standard error, the end is kept.
const MAX_COMPLAINT_BYTES: usize = 64 << 10;

/// Read at once.
const CHUNK: usize = 64 << 10;

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// A path, or a name that is looked up in `PATH`.
    pub(super) program: String,
    pub(super) arguments: Arc<[String]>,
    /// Where it runs.
    pub(super) folder: PathBuf,
    /// All of its environment.
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) deadline: Duration,
    pub(super) max_output_bytes: usize,
    pub(super) max_memory_bytes: u64,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) output: Vec<u8>,
    /// Standard error, its end.
    pub(super) complaint: Vec<u8>,
}

/// Why it did not end by itself, or never ran.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such program.
    NotFound,
    /// It took too long.
    TooSlow,
    /// It wrote too much.
    TooMuch,
    /// The operating system refused.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A running program; killed when dropped. It is reaped here and nowhere else, so that until then
/// nobody else has its number.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // It was killed, or has ended, so that this does not take long.
        let _ = self.0.wait();
    }
}

impl Running {
    /// `None` once it was reaped.
    fn pid(&mut self) -> Option<Pid> {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return None;
        }
        i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
    }

    /// Waits until it has ended.
    async fn end(&mut self) -> Result<Option<i32>, Failure> {
        if let Some(pid) = self.pid() {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // When nobody waits any more it is killed, which lets this thread go.
            let waited = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(pid), ended)).await;
            waited.map_err(io::Error::other)?.map_err(io::Error::from)?;
        }
        Ok(self.0.wait()?.code())
    }
}

impl Filter {
    /// Runs it to its end.
    ///
    /// # Cancel safety
    /// When dropped, it is killed.
    pub(super) async fn run(self) -> Result<Ended, Failure> {
        let (deadline, most) = (self.deadline, self.max_output_bytes);
        let started = tokio::task::spawn_blocking(move || self.start()).await;
        let mut running = started.map_err(io::Error::other)??;
        let stdout = running.0.stdout.take().map(OwnedFd::from);
        let stderr = running.0.stderr.take().map(OwnedFd::from);
        let work = async {
            let (output, complaint) = tokio::try_join!(
                read(stdout, most, true),
                read(stderr, MAX_COMPLAINT_BYTES, false),
            )?;
            let code = running.end().await?;
            Ok(Ended {
                code,
                output,
                complaint,
            })
        };
        let outcome = tokio::time::timeout(deadline, work).await;
        outcome.unwrap_or(Err(Failure::TooSlow))
    }

    fn start(&self) -> Result<Running, Failure> {
        let program = find(&self.program).ok_or(Failure::NotFound)?;
        let child = Command::new(program)
            .args(self.arguments.iter())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut running = Running(child);
        // What it writes to counts, unlike what a runtime only reserves. A moment late is early
        // enough: it has not read its input yet.
        let limit = Rlimit {
            current: Some(self.max_memory_bytes),
            maximum: Some(self.max_memory_bytes),
        };
        // Without a number it would be our own limit.
        if let Some(pid) = running.pid()
            && let Err(error) = prlimit(Some(pid), Resource::Data, limit)
        {
            tracing::debug!(error = %error, "memory of a program is not limited");
        }
        Ok(running)
    }
}

/// Looks a program up; `None` when there is none that may be executed.
fn find(program: &str) -> Option<PathBuf> {
    let can_run = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        // The folder changes before it is executed.
        return std::path::absolute(program).ok().filter(can_run);
    }
    let folders = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program));
    candidates.find(can_run)
}

/// Reads to the end; past the cap it fails, or keeps the newest.
async fn read(pipe: Option<OwnedFd>, most: usize, is_strict: bool) -> Result<Vec<u8>, Failure> {
    let Some(pipe) = pipe else {
        return Ok(Vec::new());
    };
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut kept = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = pipe.read(&mut chunk).await?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > most {
            if is_strict {
                return Err(Failure::TooMuch);
            }
            kept.drain(..kept.len() - most);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
