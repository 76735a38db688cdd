//! Starts one instance: its own folders, its environment, its limits, its program.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use baetyl_model::runtime_config::{RuntimeConfig, RuntimeFunction};
use baetyl_process::cgroup::GroupLimits;
use baetyl_process::{Error, Program, Spec, StopPolicy};
use rustix::io::Errno;

use super::files::{self, make_private};
use super::prepare::{blocking, inside};
use super::{ProcessDriver, environment, observation};
use crate::driver::{Launch, Observation, Refusal};
use crate::reason;
use crate::spec::{Check, READY_FILE, Run, ServiceSpec, Source};

pub(super) async fn run(driver: &ProcessDriver, launch: Launch) -> Result<Observation, Refusal> {
    let env = environment::build(driver, &launch).await?;
    let folders = make_folders(driver, &launch).await?;
    let (path, args) = command(driver, &launch).await?;
    let mut program = Program::new(path, folders.start);
    program.args = args;
    program.env = env;
    if runs_commands(&launch.service) {
        keep_environment(driver, &launch, &program).await?;
    }
    program.cgroup = cgroup(driver, &launch).await?;
    let mut spec = Spec::new(program);
    spec.log = driver.config.log_caps;
    match driver.launcher.launch(&launch.id, spec).await {
        Ok(instance) => match observation(instance.status().await) {
            // Its shim got that far: the monitor sees what became of it.
            Observation::Broken => Ok(Observation::Unknown {
                detail: "it was just started".to_owned(),
            }),
            other => Ok(other),
        },
        Err(error) => Err(refused(driver, &launch, error).await),
    }
}

/// What went wrong, once nothing of it is left that could still start.
async fn refused(driver: &ProcessDriver, launch: &Launch, error: Error) -> Refusal {
    match error {
        Error::ProgramNotStarted { errno, message } => not_started(errno, &message),
        Error::InvalidSpec { .. } => {
            Refusal::lasting(reason::INVALID_APPLICATION, error.to_string())
        }
        error => {
            let policy = StopPolicy::default();
            if let Err(error) = driver.instance(&launch.id).stop(&policy).await {
                tracing::warn!(
                    instance.id = launch.id.as_str(),
                    error = %error,
                    "instance that failed to start was not cleared"
                );
            }
            let detail = baetyl_service_kit::fault::chain(&error);
            Refusal::passing(reason::START_FAILED, detail)
        }
    }
}

/// What the operating system's refusal means.
pub(super) fn not_started(errno: i32, message: &str) -> Refusal {
    let is_missing = errno == Errno::NOENT.raw_os_error() && message.starts_with("execute ");
    if is_missing {
        return Refusal::lasting(
            reason::PROGRAM_NOT_FOUND,
            format!("the program was not found: {message}"),
        );
    }
    Refusal::lasting(
        reason::START_FAILED,
        format!("the program was not started: {message}"),
    )
}

/// The folders of an instance.
struct Folders {
    /// Where the program starts.
    start: PathBuf,
}

async fn make_folders(driver: &ProcessDriver, launch: &Launch) -> Result<Folders, Refusal> {
    let mut links = Vec::new();
    for mount in &launch.service.mounts {
        let target = match &mount.source {
            Source::Reloaded(input) => {
                driver
                    .layout
                    .reloaded(&launch.release, input, &mount.volume)
            }
            Source::Fixed(input) => {
                let digest = launch.inputs.digest(input)?;
                driver
                    .layout
                    .content(&launch.release.application, input, &digest)
            }
            Source::Persistent => driver
                .layout
                .persistent(&launch.release.application, &mount.volume),
            Source::Host(path) => path.clone(),
            Source::Empty => driver
                .layout
                .instance(&launch.id)
                .join("empty")
                .join(&mount.volume),
        };
        links.push(Link {
            target,
            path: mount.path.clone(),
            is_empty: mount.source == Source::Empty,
        });
    }
    let own = driver.layout.instance(&launch.id);
    let work = driver.layout.work(&launch.id);
    let working_dir = launch.service.working_dir.clone();
    let made = blocking(driver, move || {
        make(&own, &work, &links, working_dir.as_deref())
    });
    let Some(start) = made.await? else {
        let message = "the working folder lies in a volume and does not exist";
        return Err(Refusal::lasting(reason::INVALID_APPLICATION, message));
    };
    Ok(Folders { start })
}

/// A volume at its mount path.
struct Link {
    target: PathBuf,
    /// Below the root.
    path: PathBuf,
    is_empty: bool,
}

/// Returns the folder to start in; `None` when it does not exist and must not be made.
fn make(
    own: &Path,
    work: &Path,
    links: &[Link],
    working_dir: Option<&Path>,
) -> io::Result<Option<PathBuf>> {
    // An id is never used twice: what is there is left of a start that failed half way.
    files::remove(own)?;
    let root = own.join("root");
    make_private(&root)?;
    make_private(work)?;
    for link in links {
        if link.is_empty {
            make_private(&link.target)?;
        }
        let path = root.join(&link.path);
        if let Some(parent) = path.parent() {
            make_private(parent)?;
        }
        symlink(&link.target, &path)?;
    }
    let Some(working_dir) = working_dir else {
        return Ok(Some(work.to_owned()));
    };
    let folder = root.join(working_dir);
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    if links.iter().any(|link| working_dir.starts_with(&link.path)) {
        return Ok(None);
    }
    make_private(&folder)?;
    Ok(Some(folder))
}

/// Program and arguments.
async fn command(
    driver: &ProcessDriver,
    launch: &Launch,
) -> Result<(PathBuf, Vec<String>), Refusal> {
    match &launch.service.run {
        Run::Program {
            configuration,
            entry,
        } => {
            let folder = match configuration {
                Some(input) => {
                    let digest = launch.inputs.digest(input)?;
                    Some(
                        driver
                            .layout
                            .content(&launch.release.application, input, &digest),
                    )
                }
                None => None,
            };
            let (first, rest) = entry.split_first().ok_or_else(|| {
                Refusal::lasting(reason::INVALID_APPLICATION, "no program is named")
            })?;
            let own = folder.as_deref().and_then(|folder| inside(folder, first));
            let program = own.unwrap_or_else(|| PathBuf::from(first));
            if program.is_relative() && first.contains('/') {
                let message = format!("{first} is relative, and there is no program folder");
                return Err(Refusal::lasting(reason::PROGRAM_NOT_FOUND, message));
            }
            let mut args: Vec<String> = rest
                .iter()
                .map(|argument| resolve(folder.as_deref(), argument))
                .collect();
            args.extend(launch.service.args.iter().cloned());
            Ok((program, args))
        }
        Run::Functions { .. } => runtime(driver, launch).await,
    }
}

/// A first argument that names a file of the program's folder becomes its path; the program starts
/// in its own working folder.
fn resolve(folder: Option<&Path>, argument: &str) -> String {
    let named = folder.and_then(|folder| {
        let is_name =
            !argument.is_empty() && !argument.contains('/') && !argument.starts_with("..");
        let path = if is_name {
            Some(folder.join(argument))
        } else {
            inside(folder, argument)
        };
        path.filter(|path| path.is_file())
    });
    named.map_or_else(
        || argument.to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// The function runtime with its file.
async fn runtime(
    driver: &ProcessDriver,
    launch: &Launch,
) -> Result<(PathBuf, Vec<String>), Refusal> {
    let Run::Functions {
        runtime,
        functions,
        code,
        workers,
        timeout,
    } = &launch.service.run
    else {
        return Err(Refusal::lasting(
            reason::INVALID_APPLICATION,
            "no functions",
        ));
    };
    let application = launch.release.application.clone();
    let digest = launch.inputs.digest(code)?;
    let work = driver.layout.work(&launch.id);
    let config = RuntimeConfig {
        node: driver.config.node.clone(),
        namespace: driver.config.namespace.clone(),
        service: launch.service.name.clone(),
        revision: launch.revision,
        release: launch.release.label(),
        instance: launch.id.to_string(),
        runtime: runtime.clone(),
        functions: functions
            .iter()
            .map(|(name, handler)| RuntimeFunction {
                name: name.clone(),
                handler: handler.clone(),
            })
            .collect(),
        code_folder: driver.layout.content(&application, code, &digest),
        ready_file: work.join(READY_FILE),
        working_folder: work,
        workers: *workers,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        stop_grace_ms: u64::try_from(launch.service.grace.as_millis()).unwrap_or(u64::MAX),
        attach: driver.config.function_attach.clone(),
        certificate_folder: driver
            .layout
            .certificates(&application, &launch.service.name),
        worker_environment: launch
            .service
            .env
            .iter()
            .map(|variable| variable.name.clone())
            .collect(),
        ports: launch.ports.clone(),
        application,
    };
    let path = driver.layout.instance(&launch.id).join("runtime.json");
    let written = path.clone();
    let text = config.to_json();
    blocking(driver, move || {
        files::write_private(&written, text.as_bytes())
    })
    .await?;
    let Some((program, first)) = driver.config.runtime_program.split_first() else {
        let message = "this node has no function runtime";
        return Err(Refusal::lasting(reason::PROGRAM_NOT_FOUND, message));
    };
    let mut args = first.to_vec();
    args.push("--config".to_owned());
    args.push(path.to_string_lossy().into_owned());
    Ok((PathBuf::from(program), args))
}

fn runs_commands(service: &ServiceSpec) -> bool {
    let probes = &service.probes;
    [&probes.startup, &probes.readiness, &probes.liveness]
        .into_iter()
        .flatten()
        .any(|probe| matches!(probe.check, Check::Exec(_)))
}

/// The shim removes what it was told, since that may hold secrets; probes need it again.
async fn keep_environment(
    driver: &ProcessDriver,
    launch: &Launch,
    program: &Program,
) -> Result<(), Refusal> {
    let path = driver.layout.environment(&launch.id);
    let text = serde_json::to_vec(program).map_err(|error| {
        let message = format!("the environment cannot be kept: {error}");
        Refusal::lasting(reason::INVALID_APPLICATION, message)
    })?;
    blocking(driver, move || files::write_private(&path, &text)).await
}

async fn cgroup(driver: &ProcessDriver, launch: &Launch) -> Result<Option<PathBuf>, Refusal> {
    let limits = launch.service.limits;
    let Some(groups) = driver.cgroups.clone() else {
        return Ok(None);
    };
    let id = launch.id.clone();
    let limits = GroupLimits {
        memory_bytes: limits.memory_bytes,
        cpu_millis: limits.cpu_millis,
        processes: None,
    };
    blocking(driver, move || {
        groups.create(&id, &limits).map_err(io::Error::other)
    })
    .await
    .map(Some)
}

/// Reads what [`keep_environment`] wrote.
pub(super) fn kept_environment(path: &Path) -> io::Result<Program> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests;
