//! The containers of a pod: one for each service.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::scene::Scene;
use super::{At, count, environment, function, names, probe, some, text, volume};
use crate::driver::Refusal;

/// The containers that run to their end before the others start.
pub(super) fn init(scene: &Scene<'_>) -> Result<Vec<core::Container>, Refusal> {
    let mut containers = Vec::new();
    for (service, at) in scene.init_services() {
        if service.readiness_probe.is_some()
            || service.liveness_probe.is_some()
            || service.startup_probe.is_some()
        {
            return Err(at.wrong("runs to its end and has no probes"));
        }
        let mut container = image(service, &at)?;
        let own = vec![volume::certificate(service)];
        container.env = some(environment::of(scene, service, &at)?);
        container.volume_mounts = some(volume::mounts(scene, service, own, &at)?);
        containers.push(container);
    }
    Ok(containers)
}

/// The containers of the services.
pub(super) fn all(scene: &Scene<'_>) -> Result<Vec<core::Container>, Refusal> {
    let mut containers = Vec::new();
    for (service, at) in scene.services() {
        let mut container = if scene.is_function() {
            function::container(scene, service, &at)?
        } else {
            image(service, &at)?
        };
        let mut own = vec![volume::certificate(service)];
        if scene.is_function() {
            own.extend(function::mounts(service));
        }
        container.env = some(environment::of(scene, service, &at)?);
        container.volume_mounts = some(volume::mounts(scene, service, own, &at)?);
        container.ports = some(ports(service, &at.field("ports"))?);
        let probes = probe::all(service, &at)?;
        container.liveness_probe = probes.liveness;
        container.readiness_probe = probes.readiness.or(container.readiness_probe);
        container.startup_probe = probes.startup;
        containers.push(container);
    }
    Ok(containers)
}

/// A container that runs the image of a service.
fn image(service: &pb::Service, at: &At) -> Result<core::Container, Refusal> {
    if service.image.is_empty() {
        return Err(at.field("image").wrong("must be set"));
    }
    let working_dir = text(&service.working_dir).map(|folder| match folder.starts_with('/') {
        true => folder,
        false => format!("/{folder}"),
    });
    Ok(core::Container {
        image: Some(service.image.clone()),
        command: some(service.command.iter().map(|text| literal(text)).collect()),
        args: some(service.args.iter().map(|text| literal(text)).collect()),
        working_dir,
        ..common(service)
    })
}

/// What every container has.
pub(super) fn common(service: &pb::Service) -> core::Container {
    core::Container {
        name: service.name.clone(),
        image_pull_policy: Some(pull_policy(service.image_pull_policy()).to_owned()),
        resources: service.resources.as_ref().and_then(resources),
        security_context: Some(security(service.security.as_ref())),
        // The end of the log says why it ended when the program itself does not.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..core::Container::default()
    }
}

fn pull_policy(given: pb::ImagePullPolicy) -> &'static str {
    match given {
        pb::ImagePullPolicy::Always => "Always",
        pb::ImagePullPolicy::Never => "Never",
        pb::ImagePullPolicy::IfNotPresent | pb::ImagePullPolicy::Unspecified => "IfNotPresent",
    }
}

/// A text that the kubelet passes on as it is: it would replace `$(NAME)` and halve `$$`.
pub(super) fn literal(text: &str) -> String {
    if text.contains("$(") || text.contains("$$") {
        return text.replace('$', "$$");
    }
    text.to_owned()
}

fn resources(given: &pb::Resources) -> Option<core::ResourceRequirements> {
    let quantities = |given: &BTreeMap<String, String>| {
        let found: BTreeMap<String, Quantity> = given
            .iter()
            .map(|(name, text)| (name.clone(), Quantity(text.clone())))
            .collect();
        Some(found).filter(|found| !found.is_empty())
    };
    let (limits, requests) = (quantities(&given.limits), quantities(&given.requests));
    let has_some = limits.is_some() || requests.is_some();
    has_some.then(|| core::ResourceRequirements {
        limits,
        requests,
        ..core::ResourceRequirements::default()
    })
}

fn security(given: Option<&pb::ContainerSecurity>) -> core::SecurityContext {
    let Some(given) = given else {
        return core::SecurityContext {
            allow_privilege_escalation: Some(false),
            ..core::SecurityContext::default()
        };
    };
    // Both get more rights by what they are; the cluster refuses to say otherwise.
    let is_administrator = given
        .add_capabilities
        .iter()
        .any(|name| name == "SYS_ADMIN" || name == "ALL");
    let may_escalate = given.privileged || is_administrator;
    let capabilities = core::Capabilities {
        add: some(given.add_capabilities.clone()),
        drop: some(given.drop_capabilities.clone()),
    };
    core::SecurityContext {
        privileged: given.privileged.then_some(true),
        run_as_user: given.run_as_user.map(i64::from),
        run_as_group: given.run_as_group.map(i64::from),
        run_as_non_root: given.run_as_non_root,
        read_only_root_filesystem: given.read_only_root_filesystem,
        allow_privilege_escalation: Some(given.allow_privilege_escalation.unwrap_or(may_escalate)),
        capabilities: Some(capabilities)
            .filter(|found| found.add.is_some() || found.drop.is_some()),
        ..core::SecurityContext::default()
    }
}

fn ports(service: &pb::Service, at: &At) -> Result<Vec<core::ContainerPort>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in service.ports.iter().enumerate() {
        let at = at.index(index);
        if !names::is_label(&port.name) {
            let problem = "must be lower-case letters, digits and `-`";
            return Err(at.field("name").wrong(problem));
        }
        let (number, protocol) = (container_port(port, &at)?, protocol(port));
        if !seen.insert((number, protocol)) {
            let problem = format!("{number}/{} is another port already", port.protocol);
            return Err(at.field("containerPort").wrong(problem));
        }
        ports.push(core::ContainerPort {
            name: text(&port.name).filter(|name| is_port_name(name)),
            container_port: number,
            host_port: Some(count(port.host_port)).filter(|number| *number != 0),
            protocol: Some(protocol.to_owned()),
            ..core::ContainerPort::default()
        });
    }
    Ok(ports)
}

/// The port that a service listens on inside its container.
pub(super) fn container_port(port: &pb::Port, at: &At) -> Result<i32, Refusal> {
    match u16::try_from(port.container_port) {
        Ok(number) if number != 0 => Ok(i32::from(number)),
        Ok(_) | Err(_) => {
            let problem = "must be 1 to 65535";
            Err(at.field("containerPort").wrong(problem))
        }
    }
}

/// The protocol as the cluster spells it.
pub(super) fn protocol(port: &pb::Port) -> &'static str {
    match port.protocol.as_str() {
        "udp" => "UDP",
        _ => "TCP",
    }
}

/// Whether the cluster takes a name of a port (RFC 6335); others it does not need.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15 && name.bytes().any(|byte| byte.is_ascii_lowercase()) && !name.contains("--")
}
