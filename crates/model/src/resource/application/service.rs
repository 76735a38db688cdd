//! One service: what it runs, and everything around that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use super::mount::VolumeKind;
use super::{environment, function, mount, port, probe};
use crate::duration::{self, Bounds};
use crate::id::{Kind, ServiceName};
use crate::quantity::Quantity;
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_ARGUMENTS: usize = 256;
/// What Linux passes to a program in one argument, its end counted.
pub(super) const MAX_ARGUMENT_BYTES: usize = 128 * 1024 - 1;
const MAX_PATH_BYTES: usize = 4095;
const MAX_IMAGE_BYTES: usize = 1024;

const STOP_GRACE_PERIOD: Bounds = Bounds {
    least: Duration::ZERO,
    most: Duration::from_secs(600),
    default: Duration::from_secs(10),
};

/// What a service must know of its application.
pub(super) struct Around<'a> {
    pub(super) kind: Option<pb::ApplicationType>,
    pub(super) is_job: bool,
    pub(super) replicas: u32,
    pub(super) volumes: &'a BTreeMap<String, VolumeKind>,
}

/// What must be unique among the services of an application.
#[derive(Default)]
pub(super) struct Seen {
    names: BTreeSet<String>,
    /// Protocol and number.
    pub(super) host_ports: BTreeSet<(String, u32)>,
}

/// Configurations and secrets whose change restarts the service.
pub(super) fn restarting_uses(service: &pb::Service) -> impl Iterator<Item = (Kind, &str)> {
    let program = service.program.as_ref();
    let program = program.map(|program| program.configuration.as_str());
    let code = service
        .code
        .as_ref()
        .map(|code| code.configuration.as_str());
    program
        .filter(|name| !name.is_empty())
        .into_iter()
        .chain(code)
        .map(|name| (Kind::Configuration, name))
        .chain(service.env.iter().filter_map(environment::reference))
}

pub(super) fn normalise(
    service: &mut pb::Service,
    around: &Around<'_>,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    check_service_name(&service.name, &mut seen.names, &path.field("name"), check);
    check_what_runs(service, around, path, check);

    check_arguments(&service.args, &path.field("args"), check);
    environment::check(&service.env, &path.field("env"), check);
    port::normalise(
        &mut service.ports,
        around,
        seen,
        &path.field("ports"),
        check,
    );
    let mounts = path.field("volumeMounts");
    mount::normalise_mounts(&mut service.volume_mounts, around, &mounts, check);
    if let Some(resources) = &service.resources {
        check_resources(resources, &path.field("resources"), check);
    }
    probe::normalise_all(service, path, check);
    normalise_restart_policy(service, around.is_job, &path.field("restartPolicy"), check);
    check_folder(&service.working_dir, &path.field("workingDir"), check);
    let grace = path.field("stopGracePeriod");
    duration::normalise(
        &mut service.stop_grace_period,
        STOP_GRACE_PERIOD,
        &grace,
        check,
    );
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
fn check_what_runs(service: &mut pb::Service, around: &Around<'_>, path: &Path, check: &mut Check) {
    let Some(kind) = around.kind else {
        return;
    };
    let is_process = kind == pb::ApplicationType::Process;
    let is_container = kind == pb::ApplicationType::Container;
    let is_function = kind == pb::ApplicationType::Function;

    let image = path.field("image");
    match (is_container, service.image.is_empty()) {
        (true, true) => check.add(
            &image,
            reason::REQUIRED,
            "must be set in a container application",
        ),
        (false, false) => check.absent(&image, true, "belongs to container applications"),
        (true, false) => check_image(&service.image, &image, check),
        (false, true) => {}
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
    if is_function {
        let why = "a function service is started by its runtime and has none";
        check.absent(&path.field("args"), !service.args.is_empty(), why);
        check.absent(&path.field("ports"), !service.ports.is_empty(), why);
        function::normalise(service, path, check);
    } else {
        function::check_absent(service, path, check);
    }
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

fn check_resources(resources: &pb::Resources, path: &Path, check: &mut Check) {
    let limits = quantities(&resources.limits, &path.field("limits"), check);
    let requests_path = path.field("requests");
    let requests = quantities(&resources.requests, &requests_path, check);
    for (resource, request) in requests {
        if limits.get(resource).is_some_and(|limit| request > *limit) {
            let description = "must not be more than the limit";
            check.add(
                &requests_path.field(resource),
                reason::OUT_OF_BOUNDS,
                description,
            );
        }
    }
}

fn quantities<'a>(
    texts: &'a BTreeMap<String, String>,
    path: &Path,
    check: &mut Check,
) -> BTreeMap<&'a str, Quantity> {
    let mut found = BTreeMap::new();
    for (resource, text) in texts {
        let path = path.field(resource);
        if resource != "cpu" && resource != "memory" {
            check.add(&path, reason::UNKNOWN_VALUE, "must be cpu or memory");
            continue;
        }
        match Quantity::parse(text) {
            Ok(quantity) if quantity.is_zero() => {
                check.add(&path, reason::OUT_OF_BOUNDS, "must be more than nothing");
            }
            Ok(quantity) => {
                found.insert(resource.as_str(), quantity);
            }
            Err(error) => check.add(&path, reason::INVALID_QUANTITY, error.to_string()),
        }
    }
    found
}

fn normalise_restart_policy(
    service: &mut pb::Service,
    is_job: bool,
    path: &Path,
    check: &mut Check,
) {
    match pb::RestartPolicy::try_from(service.restart_policy) {
        Ok(pb::RestartPolicy::Unspecified) => service.set_restart_policy(if is_job {
            pb::RestartPolicy::OnFailure
        } else {
            pb::RestartPolicy::Always
        }),
        Ok(pb::RestartPolicy::Always) => {
            check.absent(path, is_job, "a job ends; use on_failure or never");
        }
        Ok(pb::RestartPolicy::OnFailure | pb::RestartPolicy::Never) => {}
        Err(_) => {
            let description = "must be always, on_failure or never";
            check.add(path, reason::UNKNOWN_VALUE, description);
        }
    }
}
