//! From the stored body to what the engine works with.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baetyl_model::{Application, Quantity};
use baetyl_proto::resource::v1 as pb;

use super::{
    AppSpec, Check, Limits, Mount, PortRef, PortSpec, Probe, Probes, Protocol, RestartPolicy, Run,
    ServiceSpec, Source, Update, Value, Variable,
};
use crate::desired::InputKey;
use crate::driver::Refusal;
use crate::reason;

const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A runtime says by a file that it is ready, so looking often costs nothing.
const READY_FILE_PERIOD: Duration = Duration::from_millis(500);

impl AppSpec {
    /// Reads the body of an application.
    ///
    /// # Errors
    /// [`Refusal`] when it is none, has a type that does not run here, or asks for something
    /// impossible.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let application = Application::decode(body)
            .map_err(|error| wrong("the application", &error.to_string()))?;
        let name = application.name().as_str().to_owned();
        let message = application.message();
        match message.r#type() {
            pb::ApplicationType::Process | pb::ApplicationType::Function => {}
            other => {
                let word = other.as_str_name().trim_start_matches("APPLICATION_TYPE_");
                return Err(Refusal::lasting(
                    reason::UNSUPPORTED_TYPE,
                    format!(
                        "applications of type {} do not run on a process node",
                        word.to_lowercase()
                    ),
                ));
            }
        }
        let is_job = message.workload() == pb::Workload::Job;
        let replicas = message.replicas.unwrap_or(1).max(1);
        let volumes = volumes(message)?;
        let mut services = Vec::new();
        for given in &message.services {
            let service = service(given, is_job, &volumes)?;
            if replicas > 1 && service.ports.iter().any(|port| port.fixed.is_some()) {
                let problem = "has a fixed port, which serves one copy only";
                return Err(wrong(&format!("service {}", service.name), problem));
            }
            services.push(Arc::new(service));
        }
        if services.is_empty() {
            return Err(wrong("the application", "has no service"));
        }
        let reloaded = application
            .inputs()
            .into_iter()
            .filter(|input| input.on_change != pb::OnChange::Restart)
            .filter_map(|input| format!("{}/{}", input.kind.word(), input.name).parse().ok())
            .collect();
        Ok(Self {
            name,
            is_job,
            replicas,
            services,
            update: update(message.update.as_ref()),
            reloaded,
        })
    }
}

fn wrong(what: &str, problem: &str) -> Refusal {
    Refusal::lasting(reason::INVALID_APPLICATION, format!("{what} {problem}"))
}

pub(crate) fn duration(given: Option<prost_types::Duration>, default: Duration) -> Duration {
    given
        .and_then(|given| Duration::try_from(given).ok())
        .unwrap_or(default)
}

pub(crate) fn update(given: Option<&pb::UpdateStrategy>) -> Update {
    Update {
        soak: duration(given.and_then(|given| given.soak), Duration::ZERO),
        deadline: duration(given.and_then(|given| given.deadline), DEFAULT_DEADLINE),
        rollback: given.and_then(|given| given.rollback).unwrap_or(true),
    }
}

fn volumes(message: &pb::Application) -> Result<BTreeMap<&str, Source>, Refusal> {
    use pb::volume::Source as Given;
    let mut volumes = BTreeMap::new();
    for volume in &message.volumes {
        let what = format!("volume {}", volume.name);
        if relative(&volume.name).is_none_or(|path| path.components().count() != 1) {
            return Err(wrong(&what, "has a name that is no folder name"));
        }
        let input = |key| match volume.on_change() {
            pb::OnChange::Restart => Source::Fixed(key),
            pb::OnChange::Reload | pb::OnChange::Unspecified => Source::Reloaded(key),
        };
        let source = match &volume.source {
            Some(Given::Config(config)) => input(InputKey::configuration(&config.name)),
            Some(Given::Secret(secret)) => input(InputKey::secret(&secret.name)),
            Some(Given::Certificate(certificate)) => {
                input(InputKey::certificate(&certificate.name))
            }
            Some(Given::HostPath(host)) => match absolute(&host.path) {
                Some(path) => Source::Host(Path::new("/").join(path)),
                None => return Err(wrong(&what, "has a path that is not absolute and plain")),
            },
            Some(Given::EmptyDir(_)) => Source::Empty,
            Some(Given::Persistent(_)) => Source::Persistent,
            None => return Err(wrong(&what, "has no source")),
        };
        volumes.insert(volume.name.as_str(), source);
    }
    Ok(volumes)
}

fn service(
    given: &pb::Service,
    is_job: bool,
    volumes: &BTreeMap<&str, Source>,
) -> Result<ServiceSpec, Refusal> {
    let what = format!("service {}", given.name);
    if relative(&given.name).is_none_or(|path| path.components().count() != 1) {
        return Err(wrong(&what, "has a name that is no folder name"));
    }
    let run = run(given, &what)?;
    let mut probes = Probes {
        startup: given.startup_probe.as_ref().and_then(probe),
        readiness: given.readiness_probe.as_ref().and_then(probe),
        liveness: given.liveness_probe.as_ref().and_then(probe),
    };
    if matches!(run, Run::Functions { .. }) && probes.readiness.is_none() {
        probes.readiness = Some(ready_file());
    }
    let working_dir = match given.working_dir.as_str() {
        "" => None,
        // Relative or absolute, it lies below the root.
        folder => match relative(folder.trim_start_matches('/')) {
            Some(path) => Some(path),
            None => return Err(wrong(&what, "has a working folder that is not plain")),
        },
    };
    Ok(ServiceSpec {
        name: given.name.clone(),
        run,
        args: given.args.clone(),
        env: given.env.iter().map(variable).collect(),
        ports: given
            .ports
            .iter()
            .map(|port| self::port(port, &what))
            .collect::<Result<_, _>>()?,
        mounts: mounts(given, volumes, &what)?,
        limits: limits(given.resources.as_ref(), &what)?,
        probes,
        restart: restart(given.restart_policy(), is_job),
        working_dir,
        grace: duration(given.stop_grace_period, DEFAULT_GRACE),
    })
}

fn run(given: &pb::Service, what: &str) -> Result<Run, Refusal> {
    if let Some(program) = &given.program {
        if program.entry.is_empty() {
            return Err(wrong(what, "names no program"));
        }
        let configuration = Some(program.configuration.as_str()).filter(|name| !name.is_empty());
        return Ok(Run::Program {
            configuration: configuration.map(InputKey::configuration),
            entry: program.entry.clone(),
        });
    }
    let Some(code) = &given.code else {
        return Err(wrong(what, "has neither a program nor functions"));
    };
    if given.functions.is_empty() {
        return Err(wrong(what, "has no function"));
    }
    let functions = given.functions.iter();
    Ok(Run::Functions {
        runtime: given.runtime.clone(),
        functions: functions
            .map(|function| (function.name.clone(), function.handler.clone()))
            .collect(),
        code: InputKey::configuration(&code.configuration),
        workers: given.concurrency.max(1),
        timeout: duration(given.timeout, DEFAULT_TIMEOUT),
    })
}

fn variable(given: &pb::EnvVar) -> Variable {
    use pb::env_var_source::Source as Given;
    let source = given
        .value_from
        .as_ref()
        .and_then(|from| from.source.as_ref());
    let value = match source {
        Some(Given::ConfigKeyRef(key)) => {
            Value::Key(InputKey::configuration(&key.name), key.key.clone())
        }
        Some(Given::SecretKeyRef(key)) => Value::Key(InputKey::secret(&key.name), key.key.clone()),
        None => Value::Literal(given.value.clone()),
    };
    Variable {
        name: given.name.clone(),
        value,
    }
}

fn port(given: &pb::Port, what: &str) -> Result<PortSpec, Refusal> {
    let Ok(number) = u16::try_from(given.host_port) else {
        return Err(wrong(what, "has a port above 65535"));
    };
    Ok(PortSpec {
        name: given.name.clone(),
        fixed: Some(number).filter(|number| *number != 0),
        protocol: match given.protocol.as_str() {
            "udp" => Protocol::Udp,
            _ => Protocol::Tcp,
        },
    })
}

fn mounts(
    given: &pb::Service,
    volumes: &BTreeMap<&str, Source>,
    what: &str,
) -> Result<Vec<Mount>, Refusal> {
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in &given.volume_mounts {
        let Some(source) = volumes.get(mount.name.as_str()) else {
            return Err(wrong(what, "mounts a volume that is not there"));
        };
        let Some(path) = absolute(&mount.mount_path) else {
            return Err(wrong(
                what,
                "mounts at a path that is not absolute and plain",
            ));
        };
        // A mount is a link; what lies inside another one would land in somebody else's folder.
        let overlaps =
            |other: &Mount| other.path.starts_with(&path) || path.starts_with(&other.path);
        if mounts.iter().any(overlaps) {
            return Err(wrong(what, "mounts one volume inside another"));
        }
        mounts.push(Mount {
            volume: mount.name.clone(),
            source: source.clone(),
            path,
        });
    }
    Ok(mounts)
}

fn limits(given: Option<&pb::Resources>, what: &str) -> Result<Limits, Refusal> {
    let Some(given) = given else {
        return Ok(Limits::default());
    };
    let read = |resource: &str| match given.limits.get(resource) {
        None => Ok(None),
        Some(text) => match Quantity::parse(text) {
            Ok(quantity) => Ok(Some(quantity)),
            Err(_) => Err(wrong(what, "has a limit that is no quantity")),
        },
    };
    Ok(Limits {
        memory_bytes: read("memory")?.map(Quantity::units),
        cpu_millis: read("cpu")?.map(Quantity::millis),
    })
}

fn restart(given: pb::RestartPolicy, is_job: bool) -> RestartPolicy {
    match given {
        pb::RestartPolicy::OnFailure => RestartPolicy::OnFailure,
        pb::RestartPolicy::Never => RestartPolicy::Never,
        // A job that is started again after a good end would never end.
        pb::RestartPolicy::Always | pb::RestartPolicy::Unspecified if is_job => {
            RestartPolicy::OnFailure
        }
        pb::RestartPolicy::Always | pb::RestartPolicy::Unspecified => RestartPolicy::Always,
    }
}

fn probe(given: &pb::Probe) -> Option<Probe> {
    use pb::probe::Check as Given;
    let check = match given.check.as_ref()? {
        Given::Exec(exec) => Check::Exec(exec.command.clone()),
        Given::HttpGet(get) => Check::Http {
            path: match get.path.as_str() {
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
            port: port_ref(&get.port),
        },
        Given::TcpSocket(socket) => Check::Tcp(port_ref(&socket.port)),
    };
    let seconds = |given: i32, default: u64| match u64::try_from(given) {
        Ok(0) | Err(_) => Duration::from_secs(default),
        Ok(seconds) => Duration::from_secs(seconds),
    };
    let count = |given: i32, default: u32| match u32::try_from(given) {
        Ok(0) | Err(_) => default,
        Ok(count) => count,
    };
    Some(Probe {
        check,
        initial_delay: seconds(given.initial_delay_seconds, 0),
        period: seconds(given.period_seconds, 10),
        timeout: seconds(given.timeout_seconds, 1),
        successes: count(given.success_threshold, 1),
        failures: count(given.failure_threshold, 3),
    })
}

fn port_ref(text: &str) -> PortRef {
    match text.parse() {
        Ok(number) => PortRef::Number(number),
        Err(_) => PortRef::Name(text.to_owned()),
    }
}

fn ready_file() -> Probe {
    Probe {
        check: Check::ReadyFile,
        initial_delay: Duration::ZERO,
        period: READY_FILE_PERIOD,
        timeout: Duration::from_secs(5),
        successes: 1,
        failures: 1,
    }
}

/// An absolute path as one below a root: only plain names, at least one.
fn absolute(text: &str) -> Option<PathBuf> {
    relative(text.strip_prefix('/')?)
}

/// A relative path of plain names, at least one.
fn relative(text: &str) -> Option<PathBuf> {
    let path: PathBuf = Path::new(text)
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect::<Option<_>>()?;
    let is_plain = path.components().next().is_some() && !text.contains('\0');
    is_plain.then_some(path)
}
