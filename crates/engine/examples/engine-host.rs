//! An engine in a process of its own, for tests that kill it: brings a folder to a generation of a
//! built-in scenario, prints what runs, and leaves it running.
//!
//! `engine-host <folder> <generation>`; every instance is a line `<application> <revision> <pid>`.
//! Two applications: `bystander`, whose files change in place, and `watcher`, whose revision does.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baetyl_engine::driver::process::{ProcessConfig, ProcessDriver};
use baetyl_engine::memory::{MemoryBodies, MemoryIssuer};
use baetyl_engine::{
    Dependencies, DependencyError, DesiredSet, Engine, EngineConfig, EngineStatus, ShimCommand,
    StateStore, StopMode, StoredRecord,
};
use baetyl_model::{Application, Epoch, Fence, Generation};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1::{DesiredApplication, InputRef};
use prost::Message as _;
use tokio_util::task::TaskTracker;

/// Far beyond what bringing two small programs up can take.
const BOUND: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "shim") {
        return baetyl_process::shim::main(&args[1..]);
    }
    let generation = args.get(1).and_then(|text| text.to_str()?.parse().ok());
    let (Some(folder), Some(generation)) = (args.first().map(PathBuf::from), generation) else {
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime
        .map_err(DependencyError::from_io)
        .and_then(|runtime| runtime.block_on(run(&folder, generation)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

trait FromIo {
    fn from_io(error: std::io::Error) -> Self;
}

impl FromIo for DependencyError {
    fn from_io(error: std::io::Error) -> Self {
        Self::new("work with files", error)
    }
}

async fn run(folder: &Path, generation: u64) -> Result<(), DependencyError> {
    let mut config = ProcessConfig::new("default", "demo", folder.join("data"), "unix:/none");
    config.secret_folder = Some(folder.join("secret"));
    config.shim = ShimCommand::current_program();
    config.use_cgroups = false;
    let driver = ProcessDriver::new(config, TaskTracker::new())
        .map_err(|error| DependencyError::new("make the driver", error))?;
    let bodies = MemoryBodies::default();
    // As in a real store, earlier bodies are still there.
    for earlier in 1..generation {
        let _ = desired(&bodies, earlier);
    }
    let wanted = desired(&bodies, generation);
    let fence = wanted.fence;
    let store = FileStore(folder.join("records"));
    fs::create_dir_all(&store.0).map_err(DependencyError::from_io)?;
    let dependencies = Dependencies {
        store: Arc::new(store),
        bodies: Arc::new(bodies),
        certificates: Arc::new(MemoryIssuer::default()),
        driver: Arc::new(driver),
    };
    let engine = Engine::start(EngineConfig::new("machine"), dependencies)
        .await
        .map_err(|error| DependencyError::new("start the engine", error))?;
    engine.set_desired(wanted);
    let mut status = engine.status();
    let converged = status.wait_for(|status| status.converged == Some(fence));
    let reached = match tokio::time::timeout(BOUND, converged).await {
        Ok(Ok(status)) => {
            print(&status);
            Ok(())
        }
        Ok(Err(error)) => Err(DependencyError::new("watch the engine", error)),
        Err(error) => Err(DependencyError::new("converge", error)),
    };
    if reached.is_err() {
        let _ = writeln!(std::io::stderr(), "{:#?}", engine.status().borrow());
    }
    engine.stop(StopMode::LeaveRunning).await;
    reached
}

fn print(status: &EngineStatus) {
    let mut output = std::io::stdout().lock();
    for (name, application) in &status.applications {
        for instance in &application.instances {
            let _ = writeln!(output, "{name} {} {}", instance.revision, instance.pid);
        }
    }
}

fn desired(bodies: &MemoryBodies, generation: u64) -> DesiredSet {
    let files = pb::Configuration {
        name: "files".into(),
        data: [("generation".to_owned(), generation.to_string())].into(),
        ..pb::Configuration::default()
    };
    let files = bodies.put(files.encode_to_vec());
    let mut bystander = application("bystander", 1);
    bystander.volumes = vec![pb::Volume {
        name: "files".into(),
        source: Some(pb::volume::Source::Config(pb::ResourceRef {
            name: "files".into(),
        })),
        on_change: 0,
    }];
    bystander.services[0].volume_mounts = vec![pb::VolumeMount {
        name: "files".into(),
        mount_path: "/etc/files".into(),
        read_only: true,
        ..Default::default()
    }];
    let input = InputRef {
        kind: "configuration".into(),
        name: "files".into(),
        revision: generation,
        digest: files.to_string(),
    };
    DesiredSet {
        fence: Fence::new(Epoch::new(1), Generation::new(generation)),
        applications: vec![
            pin(bodies, bystander, 1, vec![input]),
            pin(
                bodies,
                application("watcher", generation),
                generation,
                Vec::new(),
            ),
        ],
    }
}

fn application(name: &str, version: u64) -> pb::Application {
    let script = format!("touch ready; : {version}; exec sleep 1000");
    let command = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    pb::Application {
        name: name.into(),
        r#type: pb::ApplicationType::Process.into(),
        services: vec![pb::Service {
            name: "main".into(),
            program: Some(pb::Program {
                configuration: String::new(),
                entry: command(&["/bin/sh", "-c", &script]),
            }),
            readiness_probe: Some(pb::Probe {
                check: Some(pb::probe::Check::Exec(pb::ExecAction {
                    command: command(&["test", "-e", "ready"]),
                })),
                period_seconds: 1,
                timeout_seconds: 10,
                ..pb::Probe::default()
            }),
            ..pb::Service::default()
        }],
        ..pb::Application::default()
    }
}

fn pin(
    bodies: &MemoryBodies,
    message: pb::Application,
    revision: u64,
    inputs: Vec<InputRef>,
) -> DesiredApplication {
    let application = Application::try_new(message).expect("the scenario is valid");
    DesiredApplication {
        name: application.name().to_string(),
        revision,
        digest: bodies.put(application.encode()).to_string(),
        template_digest: application.template_digest().to_string(),
        inputs,
        uid: "8c3f6f0e-6f0a-4e5b-9d0c-2f8a4c1b7d11".into(),
        ..DesiredApplication::default()
    }
}

/// One file per record, replaced by a rename.
struct FileStore(PathBuf);

#[async_trait]
impl StateStore for FileStore {
    async fn load(&self) -> Result<Vec<StoredRecord>, DependencyError> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(DependencyError::from_io)? {
            let entry = entry.map_err(DependencyError::from_io)?;
            let application = entry.file_name().to_string_lossy().into_owned();
            if application.ends_with(".tmp") {
                continue;
            }
            // Bodies are kept for ever here, so nobody asks which are needed.
            records.push(StoredRecord {
                application,
                bytes: fs::read(entry.path()).map_err(DependencyError::from_io)?,
                references: Vec::new(),
            });
        }
        Ok(records)
    }

    async fn save(&self, record: &StoredRecord) -> Result<(), DependencyError> {
        let path = self.0.join(&record.application);
        let staged = self.0.join(format!("{}.tmp", record.application));
        fs::write(&staged, &record.bytes)
            .and_then(|()| fs::rename(&staged, &path))
            .map_err(DependencyError::from_io)
    }

    async fn remove(&self, application: &str) -> Result<(), DependencyError> {
        match fs::remove_file(self.0.join(application)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DependencyError::from_io(error))
            }
            _ => Ok(()),
        }
    }
}
