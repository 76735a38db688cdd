//! A folder, a launcher, and ways to wait for a level with a bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baetyl_process::{
    Ending, Instance, InstanceId, Launcher, ProcessId, Program, ShimCommand, Spec, Status,
    StopPolicy,
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// Far beyond what any step needs; reaching it is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// The example that stands in for the multi-call program.
pub(crate) fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/process-shim");
    assert!(
        path.exists(),
        "build it first: cargo build -p baetyl-process --examples"
    );
    path
}

pub(crate) fn shim() -> ShimCommand {
    ShimCommand {
        program: program(),
        args: vec!["shim".into()],
    }
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// A program of `/bin/sh`.
pub(crate) fn shell(script: &str) -> Program {
    let mut program = Program::new("/bin/sh", "/");
    program.args = vec!["-c".into(), script.into()];
    program
        .env
        .insert("PATH".into(), std::env::var("PATH").unwrap());
    program
}

/// Kills everything that it launched when the test ends, however it ends.
pub(crate) struct Bench {
    pub(crate) root: TempDir,
    pub(crate) tasks: TaskTracker,
    unique: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // Markers are looked for on the whole machine, so ids differ between tests.
        let unique = root
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_lowercase();
        let unique = unique.trim_matches('.').to_owned();
        Self {
            root,
            tasks: TaskTracker::new(),
            unique,
        }
    }

    pub(crate) fn id(&self, name: &str) -> InstanceId {
        id(&format!("{}-{name}", self.unique))
    }

    pub(crate) fn launcher(&self) -> Launcher {
        Launcher::new(self.root.path().join("run"), shim(), self.tasks.clone())
    }

    pub(crate) async fn launch(&self, name: &str, script: &str) -> Instance {
        self.launcher()
            .launch(&self.id(name), Spec::new(shell(script)))
            .await
            .unwrap()
    }

    /// Where a script can say that it got somewhere.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Live processes whose environment names this bench.
    pub(crate) fn leftovers(&self) -> Vec<ProcessId> {
        marked(&format!("={}-", self.unique))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for process in self.leftovers() {
            let _ = std::process::Command::new("/bin/kill")
                .args(["-KILL", &process.pid.to_string()])
                .status();
        }
    }
}

fn marked(needle: &str) -> Vec<ProcessId> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_marked = String::from_utf8_lossy(&environ)
            .split('\0')
            .any(|variable| variable.starts_with("BAETYL_") && variable.contains(needle));
        found.extend(ProcessId::of(pid).filter(|id| is_marked && id.is_alive()));
    }
    found
}

/// Waits until `level` holds.
pub(crate) async fn until(what: &str, mut level: impl FnMut() -> bool) {
    let reached = async {
        while !level() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(BOUND, reached).await.is_ok(),
        "never: {what}"
    );
}

/// Waits for a whole line in a file, and returns it.
pub(crate) async fn line_of(path: &Path) -> String {
    until(&format!("a line in {}", path.display()), || {
        fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    fs::read_to_string(path).unwrap().trim().to_owned()
}

pub(crate) async fn ended(instance: &Instance) -> Status {
    tokio::time::timeout(BOUND, instance.wait())
        .await
        .expect("it ends")
        .unwrap()
}

pub(crate) fn ending(status: &Status) -> Ending {
    let Status::Exited(outcome) = status else {
        panic!("not exited: {status:?}");
    };
    outcome.ending.clone()
}

/// Long enough for any program that obeys.
pub(crate) fn patient() -> StopPolicy {
    StopPolicy {
        grace: BOUND,
        kill: BOUND,
        ..StopPolicy::default()
    }
}

/// For programs that are known not to obey.
pub(crate) fn impatient() -> StopPolicy {
    StopPolicy {
        grace: Duration::from_millis(50),
        kill: BOUND,
        ..StopPolicy::default()
    }
}
