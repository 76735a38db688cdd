//! A role of this program as a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use baetyl_benches::{cpu_time, say};

/// How long a role may take to be ready.
const START: Duration = Duration::from_secs(20);

const READY: &str = "ready ";

/// Says that a role is ready, with its addresses; then waits until whoever started it is gone.
pub(crate) async fn ready(addresses: &[String]) -> Result<()> {
    say(&format!("{READY}{}", addresses.join(" ")));
    // Standard input ends with the process that started us, however it ended.
    let mut nothing = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut nothing).await?;
    Ok(())
}

/// A running role; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Role {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Where it is.
    pub(crate) addresses: Vec<String>,
}

impl Role {
    /// Starts a role in a folder of its own and waits until it is ready.
    pub(crate) fn start(name: &'static str, folder: &Path, args: &[String]) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let log = folder.join("log");
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .arg("--folder")
            .arg(folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .context("standard output was asked for")?;
        let mut role = Self {
            name,
            child,
            log,
            addresses: Vec::new(),
        };
        let (lines, read) = mpsc::sync_channel(1);
        // It ends with the role's standard output.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            lines.send(read.map(|_| line)).ok();
        });
        let line = read
            .recv_timeout(START)
            .context("it is not ready in time")
            .and_then(|line| Ok(line?));
        match line.as_deref().map(|line| line.strip_prefix(READY)) {
            Ok(Some(addresses)) => {
                role.addresses = addresses.split_whitespace().map(str::to_owned).collect();
                Ok(role)
            }
            _ => bail!("{name} does not start: {line:?}\n{}", role.log()),
        }
    }

    /// Time on processors so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_time(self.child.id())
            .with_context(|| format!("{} has ended\n{}", self.name, self.log()))
    }

    /// The first address.
    pub(crate) fn address(&self) -> &str {
        self.addresses.first().map_or("", String::as_str)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
