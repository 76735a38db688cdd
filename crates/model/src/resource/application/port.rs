//! Ports of a service.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;

use super::service::{Around, Seen};
use crate::id::{Inner, check_name};
use crate::violation::{Check, Path, reason};

const MAX_PORTS: usize = 32;
const MAX_PORT_NAME: usize = 15;
const MAX_PORT: i64 = 65_535;
/// What a cluster gives out, unless it was set up otherwise.
const NODE_PORTS: (i64, i64) = (30_000, 32_767);

pub(super) fn normalise(
    ports: &mut [pb::Port],
    around: &Around<'_>,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    check.count(path, ports.len(), MAX_PORTS);
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter_mut().take(MAX_PORTS).enumerate() {
        let path = path.index(index);
        check_port_name(&port.name, around, &mut names, &path.field("name"), check);
        if port.protocol.is_empty() {
            "tcp".clone_into(&mut port.protocol);
        }
        if port.protocol != "tcp" && port.protocol != "udp" {
            let description = "must be tcp or udp";
            check.add(&path.field("protocol"), reason::UNKNOWN_VALUE, description);
        }
        let least = i64::from(around.scene.is_container());
        let container_port = i64::from(port.container_port);
        check.range(
            &path.field("containerPort"),
            container_port,
            least,
            MAX_PORT,
        );
        check_host_port(port, around, seen, &path.field("hostPort"), check);
        check_cluster_ports(port, around, seen, &path, check);
    }
}

fn check_port_name(
    name: &str,
    around: &Around<'_>,
    seen: &mut BTreeSet<String>,
    path: &Path,
    check: &mut Check,
) {
    if name.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return;
    }
    if let Err(error) = check_name(name, Inner::Dashes, 1, MAX_PORT_NAME) {
        check.add(path, error.reason, error.description);
    }
    // Kubernetes follows RFC 6335 here.
    let has_letter = name.bytes().any(|byte| byte.is_ascii_lowercase());
    if around.scene.is_container() && (!has_letter || name.contains("--")) {
        let description = "must have a letter and no `--`";
        check.add(path, reason::INVALID_NAME, description);
    }
    if !seen.insert(name.to_owned()) {
        check.duplicate(path, "a port of that name");
    }
}

fn check_host_port(
    port: &pb::Port,
    around: &Around<'_>,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    // 0 lets the engine choose.
    if port.host_port == 0 {
        return;
    }
    check.range(path, i64::from(port.host_port), 1, MAX_PORT);
    if around.scene.most_replicas > 1 {
        let description = "a fixed port of the node serves one copy only; remove it or replicas";
        check.add(path, reason::CONFLICT, description);
    }
    let is_shared = around.scene.is_on_host_network && around.scene.is_container();
    if is_shared && port.host_port != port.container_port {
        let description = "must be the containerPort, since hostNetwork is set";
        check.add(path, reason::CONFLICT, description);
    }
    let number = (port.protocol.clone(), port.host_port);
    if !seen.host_ports.insert(number) {
        check.duplicate(path, "that port of the node");
    }
}

/// Checks what only a cluster has: ports of the application's Service.
fn check_cluster_ports(
    port: &pb::Port,
    around: &Around<'_>,
    seen: &mut Seen,
    path: &Path,
    check: &mut Check,
) {
    let (service_port, node_port) = (path.field("servicePort"), path.field("nodePort"));
    around
        .scene
        .only_in_container(&service_port, port.service_port != 0, check);
    around
        .scene
        .only_in_container(&node_port, port.node_port != 0, check);
    if !around.scene.is_container() {
        return;
    }
    check.range(&service_port, i64::from(port.service_port), 0, MAX_PORT);
    let (number, named) = match port.service_port {
        0 => (port.container_port, path.field("containerPort")),
        number => (number, service_port),
    };
    if number != 0 && !seen.service_ports.insert((port.protocol.clone(), number)) {
        let description = "is taken by another port: the application has one Service for all; \
                           set servicePort";
        check.add(&named, reason::DUPLICATE, description);
    }
    if port.node_port == 0 {
        return;
    }
    let (least, most) = NODE_PORTS;
    check.range(&node_port, i64::from(port.node_port), least, most);
    let number = (port.protocol.clone(), port.node_port);
    if !seen.host_ports.insert(number) {
        check.duplicate(&node_port, "that port of the node");
    }
}
