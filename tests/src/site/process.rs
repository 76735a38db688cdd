//! One process of the program, which can be ended and started again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{device_program, program};

/// How long a process may take to end after it was asked to. It decides no test.
const END_PATIENCE: Duration = Duration::from_secs(180);

/// One process of the program.
#[derive(Debug)]
pub(super) struct Process {
    program: fn() -> Result<PathBuf>,
    pub(super) args: Vec<OsString>,
    log: PathBuf,
    pub(super) child: Option<Child>,
}

impl Process {
    /// A part of the control plane.
    pub(super) fn of_cloud(log: PathBuf, args: Vec<OsString>) -> Self {
        Self::new(program, log, args)
    }

    /// A part of the node.
    pub(super) fn of_device(log: PathBuf, args: Vec<OsString>) -> Self {
        Self::new(device_program, log, args)
    }

    fn new(program: fn() -> Result<PathBuf>, log: PathBuf, args: Vec<OsString>) -> Self {
        Self {
            program,
            args,
            log,
            child: None,
        }
    }

    pub(super) fn start(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(&self.log)?;
        let child = Command::new((self.program)()?)
            .args(&self.args)
            .env("BAETYL_LOG", "info")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// How it ended by itself; none while it runs.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().context("it was not started")?;
        Ok(child.try_wait()?)
    }

    pub(super) async fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if child.try_wait()?.is_none() {
            kill_process(Pid::from_child(&child), signal)?;
        }
        let deadline = Instant::now() + END_PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                child.kill()?;
                bail!("a process does not end: {:?}", self.args);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
