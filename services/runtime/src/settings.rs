//! The configuration, checked, and what workers get of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_model::runtime_config::RuntimeConfig;
use baetyl_process::InstanceId;
use baetyl_service_kit::fault::{InvalidArgument, Violation};

use crate::language::Language;

#[cfg(test)]
mod tests;

/// Largest payload of a call, and largest answer: of a unary call as a whole, of a stream per
/// value. The function service has the same bound.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024;

const MAX_WORKERS: u32 = 64;
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the id of this instance is found when the configuration, shared by all pods of a workload,
/// names none.
const INSTANCE_VARIABLE: &str = "BAETYL_INSTANCE_ID";

/// Where the release is found when the configuration names none: it is a label of the pod.
const RELEASE_VARIABLE: &str = "BAETYL_RELEASE";

/// Longest release in a Hello.
const MAX_RELEASE: usize = 63;

/// What runs this host: `process`, or `kube` in a pod.
const RUN_MODE_VARIABLE: &str = "BAETYL_RUN_MODE";

/// The longest part of a pod's name that becomes an id.
const MAX_INSTANCE: usize = 40;

/// Where programs are looked for when the host was started without `PATH`.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The configuration with its bounds checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: RuntimeConfig,
    pub(crate) language: Language,
    /// The longest that a call may take.
    pub(crate) timeout: Duration,
    /// How long calls may take to finish once the host was asked to end.
    pub(crate) stop_grace: Duration,
    /// The environment of workers.
    pub(crate) environment: BTreeMap<String, String>,
    /// When this host started, in milliseconds since 1970: fences earlier starts.
    pub(crate) incarnation: u64,
}

impl Settings {
    /// Checks a configuration; `environment` is the host's own.
    ///
    /// # Errors
    /// Every wrong field.
    pub(crate) fn try_new(
        mut config: RuntimeConfig,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidArgument> {
        if config.instance.is_empty()
            && let Some(name) = environment.get(INSTANCE_VARIABLE)
        {
            config.instance = fitting(name);
        }
        if config.release.is_empty()
            && let Some(release) = environment.get(RELEASE_VARIABLE)
        {
            config.release.clone_from(release);
        }
        let language = Language::parse(&config.runtime);
        let mut violations = violations(&config);
        if language.is_none() {
            let text = format!("must be {}, got {:?}", Language::NAMES, config.runtime);
            violations.push(Violation::new("runtime", "UNKNOWN_RUNTIME", text));
        }
        let (Some(language), true) = (language, violations.is_empty()) else {
            return Err(InvalidArgument { violations });
        };
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            language,
            timeout: Duration::from_millis(config.timeout_ms),
            stop_grace: Duration::from_millis(config.stop_grace_ms),
            environment: worker_environment(&config, environment),
            incarnation: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            config,
        })
    }

    /// Where interpreters are looked for.
    pub(crate) fn search_path(&self) -> &str {
        self.environment
            .get("PATH")
            .map_or(DEFAULT_SEARCH_PATH, String::as_str)
    }

    /// The address of the function service as a URI.
    pub(crate) fn attach_uri(&self) -> String {
        let attach = &self.config.attach;
        if attach.starts_with("unix:") {
            return attach.clone();
        }
        format!("https://{attach}")
    }

    /// Whether this host is alone with its files.
    pub(crate) fn is_in_pod(&self) -> bool {
        self.environment
            .get(RUN_MODE_VARIABLE)
            .is_some_and(|mode| mode == "kube")
    }

    /// The folder for scripts and sockets, in the working folder.
    pub(crate) fn runtime_folder(&self) -> PathBuf {
        self.config.working_folder.join(RUNTIME_FOLDER)
    }
}

/// Name of the folder for scripts and sockets.
pub(crate) const RUNTIME_FOLDER: &str = ".runtime";

fn violations(config: &RuntimeConfig) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut require = |holds: bool, field: &str, text: String| {
        if !holds {
            found.push(Violation::new(field, "OUT_OF_BOUNDS", text));
        }
    };
    for (field, text) in [
        ("application", &config.application),
        ("service", &config.service),
        ("instance", &config.instance),
        ("attach", &config.attach),
    ] {
        require(!text.is_empty(), field, "must not be empty".to_owned());
    }
    let is_absolute = "must be an absolute path";
    for (field, path) in [
        ("code_folder", &config.code_folder),
        ("working_folder", &config.working_folder),
        ("certificate_folder", &config.certificate_folder),
        ("ready_file", &config.ready_file),
    ] {
        require(path.is_absolute(), field, is_absolute.to_owned());
    }
    require(
        (1..=MAX_WORKERS).contains(&config.workers),
        "workers",
        format!("must be 1 to {MAX_WORKERS}, got {}", config.workers),
    );
    let longest = u64::try_from(MAX_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    require(
        (1..=longest).contains(&config.timeout_ms),
        "timeout_ms",
        format!("must be 1 to {longest}, got {}", config.timeout_ms),
    );
    require(
        config.stop_grace_ms <= longest,
        "stop_grace_ms",
        format!("must be at most {longest}, got {}", config.stop_grace_ms),
    );
    require(
        InstanceId::parse(&worker_name(&config.instance, u64::MAX)).is_ok(),
        "instance",
        "must be at most 40 characters of a-z, 0-9, '.' and '-'".to_owned(),
    );
    require(
        config.release.len() <= MAX_RELEASE,
        "release",
        format!("must have at most {MAX_RELEASE} characters"),
    );
    require(
        !config.functions.is_empty(),
        "functions",
        "must name at least one function".to_owned(),
    );
    for (index, function) in config.functions.iter().enumerate() {
        require(
            is_handler(&function.handler),
            &format!("functions[{index}].handler"),
            format!("must be module.function, got {:?}", function.handler),
        );
    }
    found
}

/// `module.function`, without a way out of the code folder.
fn is_handler(handler: &str) -> bool {
    handler.rsplit_once('.').is_some_and(|(module, name)| {
        !name.is_empty()
            && !name.contains('/')
            && module.split(['/', '.']).all(|part| !part.is_empty())
    })
}

/// The id of a worker, unique on the machine like the instance's own.
pub(crate) fn worker_name(instance: &str, serial: u64) -> String {
    format!("{instance}-w{serial:x}")
}

/// What runs this host, `process` unless it is told otherwise.
fn run_mode(host: &BTreeMap<String, String>) -> String {
    let told = host.get(RUN_MODE_VARIABLE);
    told.map_or("process", String::as_str).to_owned()
}

/// The end of a pod's name, which no other pod of its workload shares, in the form of an id that
/// leaves room for the workers' own.
fn fitting(name: &str) -> String {
    let start = name.len().saturating_sub(MAX_INSTANCE);
    let end = name.get(start..).unwrap_or_default();
    end.trim_start_matches(['-', '.']).to_owned()
}

fn worker_environment(
    config: &RuntimeConfig,
    host: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), DEFAULT_SEARCH_PATH.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("HOME".to_owned(), text(&config.working_folder)),
        ("BAETYL_NODE_NAME".to_owned(), config.node.clone()),
        ("BAETYL_NAMESPACE".to_owned(), config.namespace.clone()),
        ("BAETYL_APP_NAME".to_owned(), config.application.clone()),
        (
            "BAETYL_APP_REVISION".to_owned(),
            config.revision.to_string(),
        ),
        ("BAETYL_SERVICE_NAME".to_owned(), config.service.clone()),
        (RUN_MODE_VARIABLE.to_owned(), run_mode(host)),
        ("BAETYL_CODE_PATH".to_owned(), text(&config.code_folder)),
    ]);
    let named = config.worker_environment.iter().map(String::as_str);
    for name in named.chain(["PATH"]) {
        if let Some(value) = host.get(name) {
            environment.insert(name.to_owned(), value.clone());
        }
    }
    for marker in [
        baetyl_process::INSTANCE_MARKER,
        baetyl_process::WORKER_MARKER,
        baetyl_process::SHIM_MARKER,
    ] {
        environment.remove(marker);
    }
    environment
}
