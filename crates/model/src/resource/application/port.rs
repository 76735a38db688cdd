//! Ports of a service.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;

use super::service::{Around, Seen};
use crate::id::{Inner, check_name};
use crate::violation::{Check, Path, reason};

const MAX_PORTS: usize = 32;
const MAX_PORT_NAME: usize = 15;
const MAX_PORT: i64 = 65_535;

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
        check_port_name(&port.name, &mut names, &path.field("name"), check);
        if port.protocol.is_empty() {
            "tcp".clone_into(&mut port.protocol);
        }
        if port.protocol != "tcp" && port.protocol != "udp" {
            let description = "must be tcp or udp";
            check.add(&path.field("protocol"), reason::UNKNOWN_VALUE, description);
        }
        let is_container = around.kind == Some(pb::ApplicationType::Container);
        let least = i64::from(is_container);
        let container_port = i64::from(port.container_port);
        check.range(
            &path.field("containerPort"),
            container_port,
            least,
            MAX_PORT,
        );
        check_host_port(port, around, seen, &path.field("hostPort"), check);
    }
}

fn check_port_name(name: &str, seen: &mut BTreeSet<String>, path: &Path, check: &mut Check) {
    if name.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return;
    }
    if let Err(error) = check_name(name, Inner::Dashes, 1, MAX_PORT_NAME) {
        check.add(path, error.reason, error.description);
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
    if around.replicas > 1 {
        let description = "a fixed port of the node serves one copy only; remove it or replicas";
        check.add(path, reason::CONFLICT, description);
    }
    if !seen
        .host_ports
        .insert((port.protocol.clone(), port.host_port))
    {
        check.duplicate(path, "that port of the node");
    }
}
