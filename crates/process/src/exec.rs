//! Executes a program with its limits, in safe code.
//!
//! Limits, user, mask and control group must be set between fork and exec, where
//! only unsafe code may run. So the new process first runs this same program with
//! [`EXEC_FLAG`]: it waits on a socket (its standard input) for the [`Program`],
//! sets everything on itself, and replaces itself. The number and start time of the
//! process stay the same, so they can be made durable *before* the program runs;
//! if the parent dies before that, the socket ends and nothing is run. The socket
//! closes by itself when the program was executed, and carries the error when not.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use crate::Program;

/// Argument that selects this mode of the shim.
pub(crate) const EXEC_FLAG: &str = "--exec";

/// How long setting up and executing may take; a slow disk loads the program.
const EXEC_DEADLINE: Duration = Duration::from_secs(30);

/// How the shim of this program is called.
///
/// `program args… <folder>` must end in [`crate::shim::main`] with the last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimCommand {
    /// The multi-call program.
    pub program: PathBuf,
    /// What selects the shim, `shim`.
    pub args: Vec<OsString>,
}

impl ShimCommand {
    /// The running program itself, by a path that outlives its replacement on disk.
    pub fn current_program() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args: vec!["shim".into()],
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        command
    }
}

/// Why a program was not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartError {
    pub(crate) errno: i32,
    pub(crate) message: String,
}

impl StartError {
    fn new(doing: &str, error: &io::Error) -> Self {
        Self {
            errno: error.raw_os_error().unwrap_or(0),
            message: format!("{doing}: {error}"),
        }
    }
}

/// A process, leader of its own group, that waits for its program.
///
/// Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) child: Child,
    control: UnixStream,
}

impl Pending {
    /// Starts the waiting process with both outputs piped to the caller.
    /// `markers` are in its environment from the first moment.
    pub(crate) fn spawn(shim: &ShimCommand, markers: &[(&str, &str)]) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let child = shim
            .command()
            .arg(EXEC_FLAG)
            .envs(markers.iter().copied())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Self { child, control })
    }

    /// Lets the process become `program`; returns when it did, or why it could not,
    /// in which case the process is gone and reaped.
    pub(crate) fn release(mut self, program: &Program) -> io::Result<Result<Child, StartError>> {
        let failure = match self.hand_over(program) {
            Ok(None) => return Ok(Ok(self.child)),
            Ok(Some(failure)) => Ok(Err(failure)),
            Err(error) => Err(error),
        };
        // Both fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        failure
    }

    fn hand_over(&mut self, program: &Program) -> io::Result<Option<StartError>> {
        let body = serde_json::to_vec(program)?;
        self.control.set_read_timeout(Some(EXEC_DEADLINE))?;
        self.control.set_write_timeout(Some(EXEC_DEADLINE))?;
        self.control.write_all(&body)?;
        self.control.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        self.control.read_to_end(&mut answer)?;
        if answer.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&answer)?))
    }
}

/// The mode that [`Pending::spawn`] starts.
pub(crate) fn main() -> ExitCode {
    match receive() {
        Ok(Some((program, mut control))) => {
            let failure = become_program(&program);
            // Without a reader nobody is interested in the failure.
            let _ = serde_json::to_writer(&mut control, &failure);
            ExitCode::from(127)
        }
        // The parent died before it released the program.
        Ok(None) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(126),
    }
}

/// Waits for the program on standard input, which becomes `/dev/null`. The copy of
/// the socket closes on exec, which is what tells the parent.
fn receive() -> io::Result<Option<(Program, UnixStream)>> {
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let mut body = Vec::new();
    control.read_to_end(&mut body)?;
    if body.is_empty() {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&body)?, control)))
}

/// Returns only when it failed.
fn become_program(program: &Program) -> StartError {
    if let Err(failure) = set_up(program) {
        return failure;
    }
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .env_clear()
        .envs(&program.env)
        .current_dir(&program.working_folder);
    if let Some(user) = program.user {
        command.uid(user.uid).gid(user.gid);
    }
    StartError::new(
        &format!("execute {}", program.path.display()),
        &command.exec(),
    )
}

fn set_up(program: &Program) -> Result<(), StartError> {
    let failed = |doing: &'static str| move |error: io::Error| StartError::new(doing, &error);
    let failed_os = |doing: &'static str| {
        move |error: rustix::io::Errno| StartError::new(doing, &io::Error::from(error))
    };
    if let Some(cgroup) = &program.cgroup {
        fs::write(cgroup.join("cgroup.procs"), "0").map_err(failed("join the control group"))?;
    }
    // Asked for here because exec reports a missing folder as a missing program.
    fs::metadata(&program.working_folder).map_err(failed("enter the working folder"))?;
    if let Some(nice) = program.nice {
        rustix::process::setpriority_process(None, nice).map_err(failed_os("set the priority"))?;
    }
    if let Some(umask) = program.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    if program.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(failed_os("give up privileges"))?;
    }
    limit(Resource::Core, Some(0)).map_err(failed_os("switch core dumps off"))?;
    limit(Resource::Nofile, program.limits.open_files).map_err(failed_os("limit open files"))?;
    // Last: whatever allocates comes before it.
    limit(Resource::As, program.limits.address_space).map_err(failed_os("limit address space"))
}

fn limit(resource: Resource, value: Option<u64>) -> rustix::io::Result<()> {
    if value.is_none() {
        return Ok(());
    }
    rustix::process::setrlimit(
        resource,
        Rlimit {
            current: value,
            maximum: value,
        },
    )
}
