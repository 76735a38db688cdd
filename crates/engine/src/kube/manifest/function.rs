//! Services of functions: a runtime host with its file, the code, and a folder to work in.

use std::path::PathBuf;
use std::time::Duration;

use baetyl_model::runtime_config::{RuntimeConfig, RuntimeFunction};
use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use k8s_openapi::api::core::v1 as core;

use super::scene::Scene;
use super::volume::{self, CERTIFICATE_FOLDER};
use super::{At, container, metadata, names, object};
use crate::desired::InputKey;
use crate::driver::Refusal;
use crate::kube::object::Object;
use crate::spec::READY_FILE;

const CODE_FOLDER: &str = "/var/lib/baetyl/code";
const WORK_FOLDER: &str = "/var/lib/baetyl/work";
const FILE_FOLDER: &str = "/etc/baetyl/runtime";
const FILE: &str = "runtime.json";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Looking is a process of its own each time, so it is done less often than on a process node.
const READY_PERIOD_SECONDS: i32 = 2;
const READY_TIMEOUT_SECONDS: i32 = 5;

/// The container of a service: the runtime host.
pub(super) fn container(
    scene: &Scene<'_>,
    service: &pb::Service,
    at: &At,
) -> Result<core::Container, Refusal> {
    let Some(functions) = &scene.settings.functions else {
        return Err(at.wrong("this node has no function service"));
    };
    if service.functions.is_empty() {
        return Err(at
            .field("functions")
            .wrong("must name at least one function"));
    }
    let file = format!("{FILE_FOLDER}/{FILE}");
    let ready = format!("{WORK_FOLDER}/{READY_FILE}");
    Ok(core::Container {
        image: Some(functions.runtime_image.clone()),
        args: Some(["runtime", "--config", &file].map(str::to_owned).into()),
        working_dir: Some(WORK_FOLDER.to_owned()),
        readiness_probe: Some(core::Probe {
            exec: Some(core::ExecAction {
                command: Some(["test", "-f", &ready].map(str::to_owned).into()),
            }),
            period_seconds: Some(READY_PERIOD_SECONDS),
            timeout_seconds: Some(READY_TIMEOUT_SECONDS),
            failure_threshold: Some(1),
            ..core::Probe::default()
        }),
        ..container::common(service)
    })
}

/// The volumes of a service.
pub(super) fn volumes(
    scene: &Scene<'_>,
    service: &pb::Service,
    at: &At,
) -> Result<[core::Volume; 3], Refusal> {
    let file = core::ConfigMapVolumeSource {
        name: file_name(scene, service),
        ..core::ConfigMapVolumeSource::default()
    };
    let code = core::ConfigMapVolumeSource {
        name: code(scene, service, at)?,
        ..core::ConfigMapVolumeSource::default()
    };
    let [file_volume, code_volume, work_volume] = volume_names(service);
    let shows = |name, config_map| core::Volume {
        name,
        config_map: Some(config_map),
        ..core::Volume::default()
    };
    Ok([
        shows(file_volume, file),
        shows(code_volume, code),
        core::Volume {
            name: work_volume,
            empty_dir: Some(core::EmptyDirVolumeSource::default()),
            ..core::Volume::default()
        },
    ])
}

/// Where a service sees its volumes.
pub(super) fn mounts(service: &pb::Service) -> [core::VolumeMount; 3] {
    let [file, code, work] = volume_names(service);
    let mount = |name, folder: &str, read_only: bool| core::VolumeMount {
        name,
        mount_path: folder.to_owned(),
        read_only: read_only.then_some(true),
        ..core::VolumeMount::default()
    };
    [
        mount(file, FILE_FOLDER, true),
        mount(code, CODE_FOLDER, true),
        mount(work, WORK_FOLDER, false),
    ]
}

fn volume_names(service: &pb::Service) -> [String; 3] {
    ["runtime", "code", "work"].map(|what| volume::own_name(what, service))
}

/// Name of the ConfigMap with the code.
fn code(scene: &Scene<'_>, service: &pb::Service, at: &At) -> Result<String, Refusal> {
    let at = at.field("code");
    let Some(code) = &service.code else {
        return Err(at.wrong("must be set"));
    };
    let key = InputKey::configuration(&code.configuration);
    scene.input(&key, &at.field("configuration"))
}

/// The file of each service's runtime host; none in a container application.
pub(super) fn files(scene: &Scene<'_>) -> Vec<Object> {
    if !scene.is_function() {
        return Vec::new();
    }
    scene
        .services()
        .map(|(service, _)| {
            let text = config(scene, service).to_json();
            object(&core::ConfigMap {
                metadata: metadata(scene, file_name(scene, service)),
                data: Some([(FILE.to_owned(), text)].into()),
                ..core::ConfigMap::default()
            })
        })
        .collect()
}

/// The name says what the file holds, the revision among it: a pod of the old release that starts
/// again while a new one is on its way must not attach as one of the new. The revision is the
/// release's own, and 0 while that is being found out, so that it alone replaces no pods.
fn file_name(scene: &Scene<'_>, service: &pb::Service) -> String {
    let text = config(scene, service).to_json();
    let digest = Digest::of(text.as_bytes());
    names::runtime_file(scene.name(), &service.name, &digest)
}

fn config(scene: &Scene<'_>, service: &pb::Service) -> RuntimeConfig {
    let proxy = scene.settings.functions.as_ref();
    let functions = service.functions.iter().map(|function| RuntimeFunction {
        name: function.name.clone(),
        handler: function.handler.clone(),
    });
    RuntimeConfig {
        node: scene.settings.node.clone(),
        namespace: scene.application.namespace.clone(),
        application: scene.name().to_owned(),
        service: service.name.clone(),
        revision: scene.revision,
        // A label of the pod, which the host finds in its environment.
        release: String::new(),
        // All pods of a release have one file; the host finds its own name in `BAETYL_INSTANCE_ID`.
        instance: String::new(),
        runtime: service.runtime.clone(),
        functions: functions.collect(),
        code_folder: CODE_FOLDER.into(),
        working_folder: WORK_FOLDER.into(),
        workers: service.concurrency.max(1),
        timeout_ms: millis(service.timeout, DEFAULT_TIMEOUT),
        stop_grace_ms: millis(service.stop_grace_period, DEFAULT_GRACE),
        attach: proxy.map_or_else(String::new, |proxy| proxy.attach_address.clone()),
        certificate_folder: CERTIFICATE_FOLDER.into(),
        ready_file: PathBuf::from(WORK_FOLDER).join(READY_FILE),
        worker_environment: service.env.iter().map(|each| each.name.clone()).collect(),
        ports: std::collections::BTreeMap::new(),
    }
}

fn millis(given: Option<prost_types::Duration>, default: Duration) -> u64 {
    let duration = given
        .and_then(|given| Duration::try_from(given).ok())
        .unwrap_or(default);
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
