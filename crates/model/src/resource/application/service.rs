//! One service: what it runs, and everything around that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use super::volume::VolumeKind;
use super::{environment, function, mount, port, probe, resources, security};
use crate::duration::{self, Bounds};
use crate::id::{Kind, ServiceName};
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_ARGUMENTS: usize = 256;
const MAX_COMMAND: usize = 64;
/// What Linux passes to a program in one argument, its end counted.
const MAX_ARGUMENT_BYTES: usize = 128 * 1024 - 1;
const MAX_PATH_BYTES: usize = 4095;
const MAX_IMAGE_BYTES: usize = 1024;

const STOP_GRACE_PERIOD: Bounds = Bounds {
    least: Duration::ZERO,
    most: Duration::from_secs(600),
    default: Duration::from_secs(10),
};

/// What the parts of an application must know of it.
pub(super) struct Scene {
    pub(super) kind: Option<pb::ApplicationType>,
    pub(super) workload: pb::Workload,
    /// The most instances that there may be.
    pub(super) most_replicas: u32,
    pub(super) is_on_host_network: bool,
}

impl Scene {
    pub(super) fn is_container(&self) -> bool {
        self.kind == Some(pb::ApplicationType::Container)
    }

    /// Refuses what only containers have.
    pub(super) fn only_in_container(&self, path: &Path, is_set: bool, check: &mut Check) {
        if self.kind.is_some() && !self.is_container() {
            check.absent(path, is_set, "belongs to container applications");
        }
    }

    /// Whether instances run to their end.
    fn ends(&self) -> bool {
        match self.workload {
            pb::Workload::Job | pb::Workload::Cronjob => true,
            pb::Workload::Unspecified
            | pb::Workload::Deployment
            | pb::Workload::Statefulset
            | pb::Workload::Daemonset => false,
        }
    }
}

/// What a service must know of its application.
pub(super) struct Around<'a> {
    pub(super) scene: &'a Scene,
    pub(super) volumes: &'a BTreeMap<String, VolumeKind>,
    /// Whether it runs before the others.
    pub(super) is_init: bool,
}

/// What must be unique among the services of an application.
#[derive(Default)]
pub(super) struct Seen {
    names: BTreeSet<String>,
    /// Protocol and number, on the machine.
    pub(super) host_ports: BTreeSet<(String, u32)>,
    /// Protocol and number, of the application's Service in the cluster.
    pub(super) service_ports: BTreeSet<(String, u32)>,
    /// What the first service says of its ends.
    restart_policy: Option<pb::RestartPolicy>,
}

pub(super) fn normalise(
    service: &mut pb::Service,
    around: &Around<'_>,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    check_service_name(&service.name, &mut seen.names, &path.field("name"), check);
    check_what_runs(service, around.scene, path, check);
    normalise_container(service, around.scene, path, check);

    check_arguments(&service.args, &path.field("args"), check);
    environment::check(&service.env, &path.field("env"), check);
    let mounts = path.field("volumeMounts");
    mount::normalise(&mut service.volume_mounts, around, &mounts, check);
    if let Some(resources) = &service.resources {
        resources::check(
            resources,
            around.scene.kind,
            &path.field("resources"),
            check,
        );
    }
    if around.is_init {
        check_before(service, path, check);
    } else {
        let ports = path.field("ports");
        port::normalise(&mut service.ports, around, seen, &ports, check);
        probe::normalise_all(service, around.scene, path, check);
        let policy = path.field("restartPolicy");
        normalise_restart_policy(service, around.scene, seen, &policy, check);
    }
    check_folder(&service.working_dir, &path.field("workingDir"), check);
    let grace = path.field("stopGracePeriod");
    duration::normalise(
        &mut service.stop_grace_period,
        STOP_GRACE_PERIOD,
        &grace,
        check,
    );
}

/// Refuses what has no meaning for a container that ends before the others start.
fn check_before(service: &pb::Service, path: &Path, check: &mut Check) {
    let why = "an init service ends before the services start";
    let fields = [
        ("ports", !service.ports.is_empty()),
        ("livenessProbe", service.liveness_probe.is_some()),
        ("readinessProbe", service.readiness_probe.is_some()),
        ("startupProbe", service.startup_probe.is_some()),
        ("restartPolicy", service.restart_policy != 0),
    ];
    for (field, is_set) in fields {
        check.absent(&path.field(field), is_set, why);
    }
}

fn check_service_name(name: &str, seen: &mut BTreeSet<String>, path: &Path, check: &mut Check) {
    if name.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return;
    }
    if let Err(error) = ServiceName::parse(name) {
        check.add(path, error.reason, error.description);
    }
    if !seen.insert(name.to_owned()) {
        check.duplicate(path, "a service of that name");
    }
}

/// Checks what differs by the type of the application.
fn check_what_runs(service: &mut pb::Service, scene: &Scene, path: &Path, check: &mut Check) {
    let Some(kind) = scene.kind else {
        return;
    };
    let is_process = kind == pb::ApplicationType::Process;

    let image = path.field("image");
    match (scene.is_container(), service.image.is_empty()) {
        (true, true) => check.add(
            &image,
            reason::REQUIRED,
            "must be set in a container application",
        ),
        (false, _) => scene.only_in_container(&image, !service.image.is_empty(), check),
        (true, false) => check_image(&service.image, &image, check),
    }
    let program = path.field("program");
    match (is_process, &service.program) {
        (true, None) => check.add(
            &program,
            reason::REQUIRED,
            "must be set in a process application",
        ),
        (false, Some(_)) => check.absent(&program, true, "belongs to process applications"),
        (true, Some(given)) => check_program(given, &program, check),
        (false, None) => {}
    }
    if kind == pb::ApplicationType::Function {
        let why = "a function service is started by its runtime and has none";
        check.absent(&path.field("args"), !service.args.is_empty(), why);
        check.absent(&path.field("ports"), !service.ports.is_empty(), why);
        function::normalise(service, path, check);
    } else {
        function::check_absent(service, path, check);
    }
}

/// Fills and checks what only containers have.
fn normalise_container(service: &mut pb::Service, scene: &Scene, path: &Path, check: &mut Check) {
    let command = path.field("command");
    let policy = path.field("imagePullPolicy");
    scene.only_in_container(&command, !service.command.is_empty(), check);
    scene.only_in_container(&policy, service.image_pull_policy != 0, check);
    let devices = path.field("devices");
    scene.only_in_container(&devices, !service.devices.is_empty(), check);

    let security_path = path.field("security");
    if scene.kind == Some(pb::ApplicationType::Process) {
        let why = "belongs to container and function applications";
        check.absent(&security_path, service.security.is_some(), why);
    } else if let Some(given) = &mut service.security {
        security::normalise_container(given, &security_path, check);
    }
    if !scene.is_container() {
        return;
    }
    if !service.command.is_empty() {
        check.count(&command, service.command.len(), MAX_COMMAND);
        check_command(&service.command, &command, check);
    }
    match pb::ImagePullPolicy::try_from(service.image_pull_policy) {
        Ok(pb::ImagePullPolicy::Unspecified) => {
            service.set_image_pull_policy(pb::ImagePullPolicy::IfNotPresent);
        }
        Ok(
            pb::ImagePullPolicy::Always
            | pb::ImagePullPolicy::IfNotPresent
            | pb::ImagePullPolicy::Never,
        ) => {}
        Err(_) => {
            let description = "must be always, if_not_present or never";
            check.add(&policy, reason::UNKNOWN_VALUE, description);
        }
    }
    security::check_devices(service, path, check);
}

fn check_image(image: &str, path: &Path, check: &mut Check) {
    check.bytes(path, image.len(), MAX_IMAGE_BYTES);
    if image
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        check.add(path, reason::INVALID_FORMAT, "must have no spaces");
    }
}

fn check_program(program: &pb::Program, path: &Path, check: &mut Check) {
    if !program.configuration.is_empty() {
        let path = path.field("configuration");
        check_name(&program.configuration, Kind::Configuration, &path, check);
    }
    let entry = path.field("entry");
    check_command(&program.entry, &entry, check);
    let first = program.entry.first().map(String::as_str);
    if first.is_some_and(|first| first.split('/').any(|part| part == "..")) {
        let description = "must not leave the program's folder by `..`";
        check.add(&entry.index(0), reason::INVALID_FORMAT, description);
    }
}

/// Checks a program with its arguments.
pub(super) fn check_command(command: &[String], path: &Path, check: &mut Check) {
    match command.first() {
        None => check.add(path, reason::REQUIRED, "must name a program"),
        Some(program) if program.is_empty() => {
            check.add(&path.index(0), reason::REQUIRED, "must name a program");
        }
        Some(_) => {}
    }
    check_arguments(command, path, check);
}

fn check_arguments(arguments: &[String], path: &Path, check: &mut Check) {
    check.count(path, arguments.len(), MAX_ARGUMENTS);
    for (index, argument) in arguments.iter().take(MAX_ARGUMENTS).enumerate() {
        check_passed_text(argument, &path.index(index), check);
    }
}

/// Checks a text that is passed to a program.
pub(super) fn check_passed_text(text: &str, path: &Path, check: &mut Check) {
    check.bytes(path, text.len(), MAX_ARGUMENT_BYTES);
    if text.contains('\0') {
        check.add(path, reason::INVALID_FORMAT, "must have no NUL character");
    }
}

/// Checks a path that must stay where it is: no `..`, no NUL.
pub(super) fn check_folder(folder: &str, path: &Path, check: &mut Check) {
    check.bytes(path, folder.len(), MAX_PATH_BYTES);
    if folder.contains('\0') || folder.split('/').any(|part| part == "..") {
        check.add(
            path,
            reason::INVALID_FORMAT,
            "must have neither `..` nor NUL",
        );
    }
}

fn normalise_restart_policy(
    service: &mut pb::Service,
    scene: &Scene,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    match pb::RestartPolicy::try_from(service.restart_policy) {
        Ok(pb::RestartPolicy::Unspecified) => service.set_restart_policy(if scene.ends() {
            pb::RestartPolicy::OnFailure
        } else {
            pb::RestartPolicy::Always
        }),
        Ok(pb::RestartPolicy::Always) => {
            let why = "a job ends; use on_failure or never";
            check.absent(path, scene.ends(), why);
        }
        Ok(pb::RestartPolicy::OnFailure | pb::RestartPolicy::Never) => {
            let is_kept = scene.is_container() && !scene.ends();
            check.absent(path, is_kept, "only containers of jobs may end");
        }
        Err(_) => {
            let description = "must be always, on_failure or never";
            check.add(path, reason::UNKNOWN_VALUE, description);
            return;
        }
    }
    let policy = service.restart_policy();
    let first = *seen.restart_policy.get_or_insert(policy);
    if scene.is_container() && scene.ends() && policy != first {
        let description = "must be the same in all services, which share one pod";
        check.add(path, reason::CONFLICT, description);
    }
}
