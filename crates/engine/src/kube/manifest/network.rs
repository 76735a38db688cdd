//! Services: how others reach the pods of an application.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::container::{container_port, protocol};
use super::scene::Scene;
use super::{At, count, metadata, names, object, some};
use crate::driver::Refusal;
use crate::kube::object::Object;

/// Ports that a machine of the cluster can give away.
const NODE_PORTS: std::ops::RangeInclusive<u32> = 30_000..=32_767;

/// A port with the service that has it.
struct Exposed<'a> {
    service: &'a pb::Service,
    port: &'a pb::Port,
    at: At,
}

/// The Services of an application: one inside the cluster when it has ports, one for ports of the
/// machines, one without an address for a stateful set.
pub(super) fn services(scene: &Scene<'_>) -> Result<Vec<Object>, Refusal> {
    let exposed = exposed(scene);
    let mut objects = Vec::new();
    if scene.application.workload() == pb::Workload::Statefulset {
        let spec = core::ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            // Members find each other before they serve.
            publish_not_ready_addresses: Some(true),
            ports: some(ports(&exposed, false)?),
            ..core::ServiceSpec::default()
        };
        objects.push(service(scene, names::headless(scene.name()), spec));
    }
    if !exposed.is_empty() {
        let spec = core::ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: some(ports(&exposed, false)?),
            ..core::ServiceSpec::default()
        };
        objects.push(service(scene, names::service(scene.name()), spec));
    }
    let of_machines: Vec<Exposed<'_>> = exposed
        .into_iter()
        .filter(|each| each.port.node_port != 0)
        .collect();
    if !of_machines.is_empty() {
        let spec = core::ServiceSpec {
            type_: Some("NodePort".to_owned()),
            ports: some(ports(&of_machines, true)?),
            ..core::ServiceSpec::default()
        };
        objects.push(service(scene, names::node_ports(scene.name()), spec));
    }
    Ok(objects)
}

fn service(scene: &Scene<'_>, name: String, spec: core::ServiceSpec) -> Object {
    object(&core::Service {
        metadata: metadata(scene, name),
        spec: Some(core::ServiceSpec {
            selector: Some(scene.selector()),
            ..spec
        }),
        ..core::Service::default()
    })
}

fn exposed<'a>(scene: &Scene<'a>) -> Vec<Exposed<'a>> {
    let mut found = Vec::new();
    for (service, at) in scene.services() {
        let at = at.field("ports");
        let ports = service.ports.iter().enumerate();
        found.extend(ports.map(|(index, port)| Exposed {
            service,
            port,
            at: at.index(index),
        }));
    }
    found
}

fn ports(
    exposed: &[Exposed<'_>],
    are_of_machines: bool,
) -> Result<Vec<core::ServicePort>, Refusal> {
    let mut seen = BTreeMap::new();
    let mut given = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut ports = Vec::new();
    for each in exposed {
        let target = container_port(each.port, &each.at)?;
        let port = match u16::try_from(each.port.service_port) {
            Ok(0) => target,
            Ok(port) => i32::from(port),
            Err(_) => return Err(each.at.field("servicePort").wrong("must be 1 to 65535")),
        };
        let protocol = protocol(each.port);
        if let Some(other) = seen.insert((port, protocol), &each.service.name) {
            let problem = format!(
                "service {other:?} has {port}/{} already",
                each.port.protocol
            );
            return Err(each.at.field("servicePort").wrong(problem));
        }
        let node_port = are_of_machines.then_some(each.port.node_port);
        if let Some(number) = node_port {
            check_node_port(number, each, given.insert((number, protocol)))?;
        }
        let name = name(each, exposed);
        if !taken.insert(name.clone()) {
            let problem = format!("a port of the Service is named {name:?} already");
            return Err(each.at.field("name").wrong(problem));
        }
        ports.push(core::ServicePort {
            name: Some(name),
            port,
            target_port: Some(IntOrString::Int(target)),
            protocol: Some(protocol.to_owned()),
            node_port: node_port.map(count),
            ..core::ServicePort::default()
        });
    }
    Ok(ports)
}

fn check_node_port(number: u32, each: &Exposed<'_>, is_new: bool) -> Result<(), Refusal> {
    let at = each.at.field("nodePort");
    if !NODE_PORTS.contains(&number) {
        return Err(at.wrong("must be 30000 to 32767"));
    }
    if !is_new {
        return Err(at.wrong(format_args!("{number} stands here twice")));
    }
    Ok(())
}

/// The port's own name where no other service of the application has one like it.
fn name(each: &Exposed<'_>, exposed: &[Exposed<'_>]) -> String {
    let of_name = exposed
        .iter()
        .filter(|other| other.port.name == each.port.name);
    if of_name.count() == 1 {
        return each.port.name.clone();
    }
    names::port(&each.service.name, &each.port.name)
}
