//! The two drivers behind one face: what programs do, and what happens to instances.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baetyl_engine::driver::process::{ProcessConfig, ProcessDriver};
use baetyl_engine::driver::{Driver, Refusal};
use baetyl_engine::memory::{MemoryDriver, Script};
use baetyl_engine::{InstanceId, ShimCommand, reason};
use baetyl_process::ProcessId;
use baetyl_proto::resource::v1::InstanceStatus;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// What stands for the runtime of functions: it is ready at once, unless the code says never.
const RUNTIME: &str = r#"
cp "$2" seen.json
code=$(sed -n 's/.*"code_folder": "\(.*\)",.*/\1/p' "$2")
grep -q never "$code/window.py" || touch ready
exec sleep 1000
"#;

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Runs, and is ready once it says so by a file, which it does at once.
    Serve,
    /// Runs, and never says that it is ready.
    Idle,
    /// Ends at once with a code.
    Exit(u8),
    /// As `Serve`, but ends at once with 1 while the rig is told to crash.
    Fragile,
    /// Runs and uses 100 MiB.
    Greedy,
    /// Is not there.
    Missing,
}

/// One of the drivers.
pub(crate) enum Rig {
    Memory(MemoryDriver),
    Processes(Processes),
}

/// Real processes below a folder of their own.
pub(crate) struct Processes {
    pub(crate) root: TempDir,
    tasks: TaskTracker,
}

impl Rig {
    pub(crate) fn memory() -> Self {
        let driver = MemoryDriver::default();
        let rig = Self::Memory(driver.clone());
        let script = |behaviour: Behaviour, script: Script| {
            driver.script(rig.entry(behaviour).join(" "), script);
        };
        let exit = |code| Script {
            exit: Some((Duration::ZERO, code)),
            ..Script::default()
        };
        let idle = Script {
            is_ready: false,
            ..Script::default()
        };
        let greedy = Script {
            memory_bytes: 100 << 20,
            ..Script::default()
        };
        let missing = Script {
            refusal: Some(Refusal::lasting(
                reason::PROGRAM_NOT_FOUND,
                "the program was not found",
            )),
            ..Script::default()
        };
        script(Behaviour::Idle, idle);
        script(Behaviour::Exit(0), exit(0));
        script(Behaviour::Exit(3), exit(3));
        script(Behaviour::Greedy, greedy);
        script(Behaviour::Missing, missing);
        rig
    }

    pub(crate) fn processes() -> Self {
        Self::Processes(Processes {
            root: tempfile::tempdir().unwrap(),
            tasks: TaskTracker::new(),
        })
    }

    /// A driver as a new engine would make it.
    pub(crate) fn driver(&self) -> Arc<dyn Driver> {
        match self {
            Self::Memory(driver) => Arc::new(driver.clone()),
            Self::Processes(processes) => Arc::new(processes.driver()),
        }
    }

    /// Program and arguments that behave so.
    pub(crate) fn entry(&self, behaviour: Behaviour) -> Vec<String> {
        let Self::Processes(processes) = self else {
            return vec![format!("{behaviour:?}").to_lowercase()];
        };
        let serve = "touch ready; echo serving; exec sleep 1000";
        let script = match behaviour {
            Behaviour::Serve => serve.to_owned(),
            Behaviour::Idle => "exec sleep 1000".to_owned(),
            Behaviour::Exit(code) => format!("exit {code}"),
            Behaviour::Fragile => {
                let flag = processes.crash_flag();
                format!("test -e {} && exit 1; {serve}", flag.display())
            }
            Behaviour::Greedy => {
                "x=$(head -c 104857600 /dev/zero | tr '\\0' x); touch ready; sleep 1000".to_owned()
            }
            Behaviour::Missing => return vec!["/nowhere/program".into()],
        };
        shell(&script)
    }

    /// Lets fragile programs crash from now on, or no longer.
    pub(crate) fn set_crashing(&self, is_crashing: bool) {
        match self {
            Self::Memory(driver) => {
                let exit = is_crashing.then_some((Duration::ZERO, 1));
                let script = Script {
                    exit,
                    is_ready: !is_crashing,
                    ..Script::default()
                };
                driver.script(self.entry(Behaviour::Fragile).join(" "), script);
            }
            Self::Processes(processes) if is_crashing => {
                fs::write(processes.crash_flag(), "").unwrap();
            }
            Self::Processes(processes) => {
                let _ = fs::remove_file(processes.crash_flag());
            }
        }
    }

    /// Kills an instance from outside.
    pub(crate) fn kill(&self, instance: &InstanceStatus) {
        match self {
            Self::Memory(driver) => driver.end(&id(instance), 137),
            Self::Processes(_) => kill(instance.pid),
        }
    }

    /// Lets the liveness probe of an instance fail.
    pub(crate) fn hang(&self, instance: &InstanceStatus) {
        match self {
            Self::Memory(driver) => driver.change(&id(instance), |script| script.is_ready = false),
            Self::Processes(processes) => {
                fs::write(processes.work(instance).join("hang"), "").unwrap();
            }
        }
    }

    /// Whether an instance runs, as the system sees it.
    pub(crate) fn is_running(&self, instance: &InstanceStatus) -> bool {
        match self {
            Self::Memory(driver) => {
                let running = driver.running();
                running.iter().any(|one| one.id.as_str() == instance.id)
            }
            Self::Processes(_) => ProcessId::of(instance.pid).is_some_and(ProcessId::is_alive),
        }
    }

    /// How many instances run, as the system sees it.
    pub(crate) fn running(&self) -> usize {
        match self {
            Self::Memory(driver) => driver.running().len(),
            Self::Processes(processes) => processes.marked().len(),
        }
    }

    /// A file of the volume `files`, as an instance sees it.
    pub(crate) fn file(&self, application: &str, instance: &InstanceStatus, path: &str) -> String {
        match self {
            Self::Memory(driver) => {
                let files = driver.files(application, "files").unwrap();
                let name = path.rsplit('/').next().unwrap();
                String::from_utf8(files[name].to_vec()).unwrap()
            }
            Self::Processes(processes) => {
                let root = processes.instance(instance).join("root");
                fs::read_to_string(root.join(path.trim_start_matches('/'))).unwrap()
            }
        }
    }

    /// The value of a variable in the environment of an instance.
    pub(crate) fn env(&self, instance: &InstanceStatus, name: &str) -> Option<String> {
        match self {
            Self::Memory(driver) => {
                let instances = driver.instances();
                let found = instances
                    .iter()
                    .find(|one| one.id.as_str() == instance.id)?;
                found.env.get(name).cloned()
            }
            Self::Processes(_) => environment(instance.pid).remove(name),
        }
    }

    /// Puts an instance there that no record knows.
    pub(crate) async fn plant(&self) {
        let id = InstanceId::parse("nobody-1").unwrap();
        match self {
            Self::Memory(driver) => driver.plant(id),
            Self::Processes(processes) => processes.plant(&id).await,
        }
    }

    /// Whether an application has persistent data.
    pub(crate) fn has_data(&self, application: &str) -> bool {
        match self {
            Self::Memory(driver) => driver.has_data(application),
            Self::Processes(processes) => {
                let own = processes.data().join("apps").join(application);
                own.join("persistent/data").exists()
            }
        }
    }

    /// Lets an instance write a line.
    pub(crate) fn print(&self, instance: &InstanceStatus, text: &str) {
        if let Self::Memory(driver) = self {
            driver.print(&id(instance), text);
        }
    }
}

impl Processes {
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn instance(&self, instance: &InstanceStatus) -> PathBuf {
        self.data().join("instances").join(&instance.id)
    }

    pub(crate) fn work(&self, instance: &InstanceStatus) -> PathBuf {
        self.instance(instance).join("work")
    }

    fn crash_flag(&self) -> PathBuf {
        self.root.path().join("crash")
    }

    pub(crate) fn driver(&self) -> ProcessDriver {
        let mut config = ProcessConfig::new("default", "demo", self.data(), "unix:/attach.sock");
        config.secret_folder = Some(self.root.path().join("secret"));
        config.shim = shim();
        // Tests share a machine: nothing moves this process into another control group.
        config.use_cgroups = false;
        config.runtime_program = shell(RUNTIME);
        config.runtime_program.push("runtime".into());
        ProcessDriver::new(config, self.tasks.clone()).unwrap()
    }

    async fn plant(&self, id: &InstanceId) {
        let launcher =
            baetyl_process::Launcher::new(self.data().join("run"), shim(), self.tasks.clone());
        let mut program = baetyl_process::Program::new("/bin/sleep", "/");
        program.args = vec!["1000".into()];
        program.env = [(
            "HOME".to_owned(),
            self.data().to_string_lossy().into_owned(),
        )]
        .into();
        let spec = baetyl_process::Spec::new(program);
        launcher.launch(id, spec).await.unwrap();
    }

    fn marked(&self) -> Vec<u32> {
        home_processes(&self.data())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for pid in self.marked() {
            kill(pid);
        }
    }
}

/// Ports that no other test hands out: below those which the kernel gives to connections and to
/// listeners on port 0 (32768 and up), in slices by process and test.
pub(crate) fn own_ports() -> RangeInclusive<u16> {
    static SLICES: AtomicU32 = AtomicU32::new(0);
    let slice = (std::process::id() + SLICES.fetch_add(1, Ordering::Relaxed)) % 1000;
    let first = 12_000 + u16::try_from(slice).unwrap() * 8;
    first..=first + 7
}

/// Live processes whose home lies below a folder; the commands of probes aside, which come and go
/// every second.
pub(crate) fn home_processes(data: &Path) -> Vec<u32> {
    let home = data.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environment = environment(pid);
        let starts = |name: &str, start: &str| {
            let value = environment.get(name);
            value.is_some_and(|value| value.starts_with(start))
        };
        let is_own = starts("HOME", &home) && !starts("BAETYL_WORKER", "probe-");
        let is_alive = ProcessId::of(pid).is_some_and(ProcessId::is_alive);
        if is_own && is_alive {
            found.push(pid);
        }
    }
    found
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

fn environment(pid: u32) -> BTreeMap<String, String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let variables = environ.split(|byte| *byte == 0);
    variables
        .filter_map(|variable| {
            let text = String::from_utf8_lossy(variable);
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

pub(crate) fn id(instance: &InstanceStatus) -> InstanceId {
    InstanceId::parse(&instance.id).unwrap()
}

/// Runs a script of the shell.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

/// An example of this package.
pub(crate) fn built(example: &str) -> PathBuf {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples");
    program.push(example);
    assert!(
        program.exists(),
        "build it first: cargo build -p baetyl-engine --examples"
    );
    program
}

/// The example that stands in for the multi-call program.
fn shim() -> ShimCommand {
    ShimCommand {
        program: built("engine-shim"),
        args: vec!["shim".into()],
    }
}
