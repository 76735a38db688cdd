//! A container whose image stands for a program of this machine: a real process, with the volumes
//! of its pod as folders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::shown::Shown;
use crate::controllers::program::Program;
use crate::controllers::room::Room;
use crate::controllers::shell::End;

/// What a shell adds to the number of the signal that ended a program.
const SIGNALED: i32 = 128;

/// A process of this machine; it ends, with its group, when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    /// What it writes: a file, since a pipe stays open as long as any descendant lives.
    log: File,
    /// What was read after the last whole line.
    rest: Vec<u8>,
    inputs: Vec<Shown>,
}

impl Child {
    /// Starts a program with the arguments, variables and folders of a container. `own` is a folder
    /// for what the container alone has.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        program: &Program,
        arguments: &[String],
        room: &Room,
        mut inputs: Vec<Shown>,
        own: &Path,
    ) -> io::Result<Self> {
        for input in &mut inputs {
            input.show(&room.paths)?;
        }
        fs::create_dir_all(own)?;
        let path = own.join("log");
        // What an earlier start of the container wrote was read.
        fs::write(&path, b"")?;
        let log = OpenOptions::new().append(true).open(&path)?;
        let folder = room.paths.file(&room.folder);
        let given = room.env.iter();
        let given = given.map(|(name, value)| (name, room.paths.text(value)));
        let process = Command::new(&program.path)
            .args(arguments.iter().map(|word| room.paths.text(word)))
            .env_clear()
            .envs(&program.variables)
            .envs(given)
            .current_dir(folder.as_deref().unwrap_or(own))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let log = File::open(&path)?;
        Ok(Self {
            process,
            log,
            rest: Vec::new(),
            inputs,
        })
    }

    /// Shows what changed in its inputs and takes what it wrote; says how it ended.
    pub(super) fn look(&mut self, room: &mut Room) -> Option<End> {
        for input in &mut self.inputs {
            if let Err(error) = input.show(&room.paths) {
                room.print(&format!("kubelet: a volume cannot be written: {error}\n"));
            }
        }
        // Whatever it wrote is in the file before its end is seen.
        let ended = self.process.try_wait().ok().flatten();
        self.read(room);
        let status = ended?;
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
            self.read(room);
        }
        Some(End::Exit(code(status)))
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        // Gone already is what is wanted.
        kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
    }

    /// Ends it with its group, whatever it does.
    pub(super) fn kill(&mut self) {
        // Until it was waited for, its number is nobody else's.
        if let Ok(None) = self.process.try_wait() {
            kill_process_group(Pid::from_child(&self.process), Signal::KILL).ok();
            self.process.wait().ok();
        }
    }

    fn read(&mut self, room: &mut Room) {
        if self.log.read_to_end(&mut self.rest).is_err() {
            return;
        }
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            room.print(&String::from_utf8_lossy(&whole));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn code(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|signal| SIGNALED + signal);
    status.code().or(signal).unwrap_or(SIGNALED)
}

/// The folder of one pod, and of one of its containers.
pub(super) fn folders(all: &Path, pod: &str, container: &str) -> [PathBuf; 2] {
    let of_pod = all.join(pod);
    let own = of_pod.join("containers").join(container);
    [of_pod, own]
}
