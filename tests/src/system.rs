//! `baetyl up` in a folder of its own.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use baetyl_engine::driver::process::remove_secrets;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Output, program, run};
use crate::{Rest, wait};

/// How long the start may take on a busy machine. It decides no test, nor does the next one.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// How long the end may take.
const STOP_PATIENCE: Duration = Duration::from_secs(180);

/// A running `baetyl up`, with the configuration of its command line.
#[derive(Debug)]
pub struct System {
    folder: TempDir,
    child: Option<Child>,
    /// What it printed until it was ready.
    pub banner: Vec<String>,
    /// How long that took.
    pub ready_after: Duration,
    environment: Vec<(String, String)>,
}

impl System {
    /// Starts the system in a new folder, on ports that the kernel chooses.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// As [`System::start`], with more environment.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start_with(environment: &[(&str, &str)]) -> Result<Self> {
        // Socket paths are short, so the folder must be, too.
        let folder = tempfile::Builder::new().prefix("bt").tempdir_in("/tmp")?;
        let mut system = Self {
            folder,
            child: None,
            banner: Vec::new(),
            ready_after: Duration::ZERO,
            environment: environment
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        system.up().await?;
        Ok(system)
    }

    /// Starts it again in the same folder, after [`System::stop`] or [`System::kill`].
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn up(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("up.log"))?;
        let started = Instant::now();
        let mut child = Command::new(program()?)
            .args(["up", "--port-base", "0", "--data"])
            .arg(self.data())
            .env("BAETYL_CONFIG", self.config())
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = child.stdout.take().context("its output")?;
        self.child = Some(child);
        let (lines, read) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once it is ready; the pipe is read on so that it never fills.
                lines.send(line).ok();
            }
        });
        self.banner.clear();
        loop {
            let left = START_PATIENCE.saturating_sub(started.elapsed());
            let Ok(line) = read.recv_timeout(left) else {
                let log = std::fs::read_to_string(self.folder.path().join("up.log"));
                bail!(
                    "up is not ready: {:?}\n{}",
                    self.banner,
                    log.unwrap_or_default()
                );
            };
            let is_ready = line.starts_with("ready");
            self.banner.push(line);
            if is_ready {
                break;
            }
        }
        self.ready_after = started.elapsed();
        Ok(())
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    /// The folder that holds the data folder and everything else.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Process id of `baetyl up`.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The context that `up` wrote.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn context(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.config())?;
        let contexts: Value = serde_saphyr::from_str(&text)?;
        Ok(contexts["contexts"]["local"].clone())
    }

    /// One text of the context, for example `function`.
    ///
    /// # Errors
    /// It is not there.
    pub fn from_context(&self, key: &str) -> Result<String> {
        let context = self.context()?;
        let text = context[key].as_str().filter(|text| !text.is_empty());
        Ok(text
            .with_context(|| format!("no {key} in {context}"))?
            .to_owned())
    }

    /// REST in front of the control plane.
    ///
    /// # Errors
    /// The context lacks it.
    pub fn cloud_rest(&self) -> Result<Rest> {
        Ok(Rest {
            address: self.from_context("gateway")?,
            ca: self.from_context("ca")?,
            token: self.from_context("token")?,
        })
    }

    /// REST on the node.
    ///
    /// # Errors
    /// The context lacks it.
    pub fn edge_rest(&self) -> Result<Rest> {
        Ok(Rest {
            address: self.from_context("edgeGateway")?,
            ca: self.from_context("edgeCa")?,
            token: self.from_context("edgeToken")?,
        })
    }

    /// Runs the command line against this system.
    ///
    /// # Errors
    /// It cannot be started or takes too long.
    pub async fn cli<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output> {
        self.cli_with(args, b"").await
    }

    /// As [`System::cli`], with standard input.
    ///
    /// # Errors
    /// It cannot be started or takes too long.
    pub async fn cli_with<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output> {
        let config = self.config();
        let mut environment = vec![("BAETYL_CONFIG", config.as_os_str())];
        let more = self.environment.iter();
        environment.extend(more.map(|(key, value)| (key.as_str(), OsStr::new(value))));
        run(&program()?, args, &environment, input).await
    }

    /// A resource as JSON, by the command line.
    ///
    /// # Errors
    /// It is refused.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let output = self.cli(&["get", kind, name, "-o", "json"]).await?;
        Ok(serde_json::from_str(&output.ok()?)?)
    }

    /// The status of an application on the node `demo`, once `good` says so.
    ///
    /// # Errors
    /// It does not become so.
    pub async fn application(&self, name: &str, good: impl Fn(&Value) -> bool) -> Result<Value> {
        let look = async || {
            let node = self.get("node", "demo").await?;
            let all = node["status"]["applications"].as_array().cloned();
            let found = all
                .unwrap_or_default()
                .into_iter()
                .find(|it| it["name"] == name);
            Ok(found.unwrap_or_default())
        };
        wait::until(&format!("state of {name}"), look, good).await
    }

    /// Ends `up` as Ctrl-C does, and waits for it.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<i32> {
        self.end(Signal::INT).await
    }

    /// Kills `up`; the applications go on.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill(&mut self) -> Result<i32> {
        self.end(Signal::KILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<i32> {
        let Some(mut child) = self.child.take() else {
            return Ok(0);
        };
        let pid = Pid::from_child(&child);
        kill_process(pid, signal)?;
        let deadline = Instant::now() + STOP_PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.code().unwrap_or(128));
            }
            if Instant::now() >= deadline {
                child.kill()?;
                bail!("up does not end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        for pid in crate::instances(self.folder.path()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        // What lies in memory is found by the folder's name, so it goes before the folder.
        remove_secrets(&self.data().join("node/applications")).ok();
        if std::thread::panicking() {
            // What a failed test leaves to look at.
            self.folder.disable_cleanup(true);
        }
    }
}
