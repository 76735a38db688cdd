//! The shim: the small parent that an application keeps when its launcher dies.
//!
//! A mode of the multi-call program, `baetyl shim <folder>`: one thread, no runtime,
//! no unsafe code. It
//! 1. leaves the launcher's session, adopts orphans among its descendants, locks the
//!    folder, reads `spec.json` and removes it (its environment may hold secrets);
//! 2. starts a waiting process, writes who that is into `state.json`, and only then
//!    lets it become the program, so no program ever runs unrecorded;
//! 3. copies output into the log until the program has ended and its pipes are empty
//!    (at most a second: something may have inherited them);
//! 4. kills what the program left behind, and records the outcome.
//!
//! The launcher waits for the end of the shim's standard output, which the shim closes
//! once the program runs or has failed to.
//!
//! SIGTERM, SIGINT and SIGHUP to the shim pass the stop signal on to the program's group,
//! and the shim stays until the program has ended: when a machine shuts down and
//! everything gets SIGTERM at once, the last lines of output are still kept, and no
//! program dies of SIGPIPE in its own shutdown.

pub(crate) mod log_file;
mod output;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::exec::{self, EXEC_FLAG, Pending, ShimCommand};
use crate::group::{Scope, send};
use crate::state::{SpecFile, State};
use crate::{
    Ending, INSTANCE_MARKER, Outcome, ProcessId, ProcessTable, Signal, cgroup, folder, procfs,
};
use output::Outputs;

/// How long the pipes are read, and leftovers may end by themselves, after the program.
const DRAIN_BOUND: Duration = Duration::from_secs(1);

/// How long leftovers are killed; what then remains is stuck in the kernel.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// Runs the shim; `args` are those after `shim`. Returns when the instance has ended.
///
/// Must be called before the program starts threads or reads standard input.
pub fn main(args: &[OsString]) -> ExitCode {
    let [argument] = args else {
        return complain("expected the folder of an instance");
    };
    if argument == EXEC_FLAG {
        return exec::main();
    }
    match supervise(Path::new(argument), &own_command(args.len())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => complain(&message),
    }
}

/// Standard error is a file in the folder, which the launcher quotes.
fn complain(message: &str) -> ExitCode {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "baetyl shim: {message}");
    ExitCode::FAILURE
}

/// How this process was called, without what comes after `shim`.
fn own_command(trailing: usize) -> ShimCommand {
    let all: Vec<OsString> = std::env::args_os().collect();
    let end = all.len().saturating_sub(trailing).max(1);
    ShimCommand {
        program: "/proc/self/exe".into(),
        args: all[1..end].to_vec(),
    }
}

fn supervise(folder: &Path, own: &ShimCommand) -> Result<(), String> {
    let failed = |doing: &'static str| move |error: io::Error| format!("cannot {doing}: {error}");
    detach().map_err(failed("leave the launcher's session"))?;
    let lock = folder::try_lock(folder).map_err(failed("open the lock"))?;
    let Some(_lock) = lock else {
        return Err("the folder has a shim already".to_owned());
    };
    let spec_path = folder::spec_file(folder);
    let body = fs::read(&spec_path).map_err(failed("read the specification"))?;
    fs::remove_file(&spec_path).map_err(failed("remove the specification"))?;
    let SpecFile {
        instance, mut spec, ..
    } = serde_json::from_slice(&body).map_err(|error| format!("specification: {error}"))?;
    drop(body);

    let signals = Signals::subscribe().map_err(failed("subscribe to signals"))?;
    let marker = (INSTANCE_MARKER, instance.as_str());
    spec.program
        .env
        .insert(marker.0.to_owned(), marker.1.to_owned());
    let pending = Pending::spawn(own, &[marker]).map_err(failed("start a process"))?;
    let process = ProcessId::of(pending.child.id()).ok_or("the process is gone")?;
    let this = ProcessId::of(std::process::id()).ok_or("/proc is not mounted")?;
    let boot_id = procfs::boot_id().map_err(failed("read the boot id"))?;
    let mut state = State::new(instance.clone(), boot_id, this, process);
    state.cgroup = spec.program.cgroup.clone();
    state.write(folder).map_err(failed("write the state"))?;

    let scope = Scope {
        marker: (INSTANCE_MARKER, instance.to_string()),
        leader: Some(process),
        shim: Some(this),
        cgroup: state.cgroup.clone(),
    };
    let released = pending
        .release(&spec.program)
        .map_err(failed("start the program"))?;
    // The environment is in the program now, and need not be here as well.
    drop(spec.program);
    let (ending, finished_at, dropped_log_bytes) = match released {
        Ok(mut child) => {
            let log = log_file::LogFile::new(folder::log_folder(folder), spec.log);
            let outputs = Outputs::new(log, child.stdout.take(), child.stderr.take());
            close_ready().map_err(failed("tell the launcher"))?;
            let mut watch = Watch {
                process,
                scope,
                outputs,
                ended: None,
            };
            watch.run(&signals, spec.stop_signal)
        }
        Err(error) => (Ending::from(error), SystemTime::now(), 0),
    };
    let out_of_memory = state
        .cgroup
        .as_deref()
        .is_some_and(cgroup::was_out_of_memory);
    state.outcome = Some(Outcome {
        ending,
        finished_at,
        dropped_log_bytes,
        out_of_memory,
    });
    state.write(folder).map_err(failed("record the outcome"))
}

/// Becomes independent of the launcher, and the parent of orphaned descendants.
fn detach() -> io::Result<()> {
    // The name is for people who look at process lists only.
    let _ = rustix::thread::set_name(c"baetyl-shim");
    // Refused only when it leads a group already, as when called by hand.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // It holds secrets for a moment.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    std::env::set_current_dir("/")
}

/// Standard output is a pipe to the launcher, who waits for its end.
fn close_ready() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(null)?)
}

/// Signals, as sockets that become readable.
struct Signals {
    child: UnixStream,
    stop: UnixStream,
}

impl Signals {
    fn subscribe() -> io::Result<Self> {
        let (child, child_writer) = UnixStream::pair()?;
        pipe::register(SIGCHLD, child_writer)?;
        let (stop, stop_writer) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            pipe::register(signal, stop_writer.try_clone()?)?;
        }
        child.set_nonblocking(true)?;
        stop.set_nonblocking(true)?;
        Ok(Self { child, stop })
    }
}

/// Whether anything had arrived; takes all of it.
fn take_all(mut socket: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    while socket.read(&mut buffer).is_ok_and(|count| count > 0) {
        any = true;
    }
    any
}

/// The running program.
struct Watch {
    process: ProcessId,
    scope: Scope,
    outputs: Outputs,
    ended: Option<(WaitStatus, SystemTime, Instant)>,
}

impl Watch {
    /// Returns how it ended, when, and how much output was dropped.
    fn run(&mut self, signals: &Signals, stop_signal: Signal) -> (Ending, SystemTime, u64) {
        // The program may have ended before anybody subscribed to its end.
        self.reap();
        loop {
            if let Some((status, finished_at, at)) = self.ended
                && (self.outputs.are_closed() || at.elapsed() >= DRAIN_BOUND)
            {
                // What refuses to go is reported by whoever scans for the marker.
                let _ = self.scope.kill_all(KILL_BOUND);
                self.reap();
                self.outputs.finish();
                return (ending(status), finished_at, self.outputs.dropped_bytes());
            }
            self.wait(signals);
            if take_all(&signals.stop) {
                // A group that is gone needs no signal.
                let _ = self.scope.signal_group(stop_signal);
            }
            if take_all(&signals.child) {
                self.reap();
            }
            self.outputs.copy();
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, signals: &Signals) {
        let mut descriptors = vec![
            PollFd::from_borrowed_fd(signals.child.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.stop.as_fd(), PollFlags::IN),
        ];
        descriptors.extend(
            self.outputs
                .descriptors()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        let left = self
            .ended
            .map(|(_, _, at)| DRAIN_BOUND.saturating_sub(at.elapsed()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        // Interrupted by a signal: the signals' sockets say which.
        let _ = poll(&mut descriptors, timeout.as_ref());
    }

    /// Takes the exit status of everything that has ended, adopted orphans included.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if self.ended.is_none() && Some(pid) == self.pid() {
                self.ended = Some((status, SystemTime::now(), Instant::now()));
                self.end_leftovers();
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.process.to_os()
    }

    /// Asks what the program left behind to end.
    fn end_leftovers(&self) {
        let Ok(table) = ProcessTable::read() else {
            return;
        };
        for member in self.scope.members(&table) {
            // They are killed a moment later in any case.
            let _ = send(member, Signal::Term);
        }
    }
}

fn ending(status: WaitStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited { code },
        (None, signal) => Ending::Signaled {
            signal: signal.unwrap_or(0),
        },
    }
}
