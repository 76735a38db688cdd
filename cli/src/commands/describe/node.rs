//! A node: what it is, its machines, and what runs there.

use baetyl_proto::resource::v1::{ApplicationStatus, MachineStatus, Node, NodeStatus};

use super::status::{self, Seen};
use super::{conditions, field, labels, part, why};
use crate::output::{Table, age, bytes, dash, line, machine_readiness, time, word};

pub(super) fn describe(node: &Node) {
    let none = NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    field("Name", &node.name);
    field("Labels", &labels(&node.labels));
    field("Ready", &word(&status.readiness()));
    field("Mode", &word(&node.node_mode()));
    field("Last seen", &age(status.last_seen_time.as_ref()));
    let (wanted, taken, runs) = (
        status.desired_generation,
        status.accepted_generation,
        status.converged_generation,
    );
    field(
        "Generation",
        &format!("wanted {wanted}, on disk {taken}, running {runs}"),
    );
    field("Core", &dash(&status.core_version));
    field(
        "Certificate",
        &dash(&time(status.certificate_expire_time.as_ref())),
    );
    field("Why", &why(&status.why));
    conditions(&status.conditions);
    part("Machines", &machines(&status.machines));
    for machine in &status.machines {
        if !machine.stats_unavailable.is_empty() {
            let (name, unknown) = (&machine.hostname, &machine.stats_unavailable);
            line(&format!("{name}: usage is not known, {unknown}"));
        }
    }
    part("Applications", &applications(&status.applications));
    let seen = status.applications.iter();
    let seen: Vec<Seen<'_>> = seen.map(|one| (one.name.as_str(), one)).collect();
    status::print("APP", &seen, true);
}

fn machines(machines: &[MachineStatus]) -> Table {
    let is_cluster = machines
        .iter()
        .any(|machine| !machine.conditions.is_empty() || !machine.kubelet_version.is_empty());
    let mut table = match is_cluster {
        true => Table::new(&[
            "HOST", "READY", "ROLES", "ARCH", "SYSTEM", "KUBELET", "RUNTIME", "CPU", "MEMORY",
            "DISK",
        ]),
        false => Table::new(&["HOST", "ARCH", "SYSTEM", "CPU", "MEMORY", "DISK", "LOAD"]),
    };
    for machine in machines {
        let (architecture, system) = (machine.architecture.clone(), dash(&machine.os_image));
        let [cpu, memory, disk, load] = usage(machine);
        table.add(match is_cluster {
            true => vec![
                machine.hostname.clone(),
                machine_readiness(machine),
                dash(&machine.roles.join(",")),
                architecture,
                system,
                dash(&machine.kubelet_version),
                dash(&machine.container_runtime),
                cpu,
                memory,
                disk,
            ],
            false => vec![
                machine.hostname.clone(),
                architecture,
                system,
                cpu,
                memory,
                disk,
                load,
            ],
        });
    }
    table
}

/// Processors, memory, disk and load, as far as they are known.
fn usage(machine: &MachineStatus) -> [String; 4] {
    let Some(stats) = machine.stats else {
        return [(); 4].map(|()| "–".to_owned());
    };
    let of = |used, total| match total {
        0 => "–".to_owned(),
        total => format!("{} of {}", bytes(used), bytes(total)),
    };
    [
        format!("{:.0}% of {}", stats.cpu_ratio * 100.0, stats.cpu_count),
        of(stats.memory_used_bytes, stats.memory_total_bytes),
        of(stats.disk_used_bytes, stats.disk_total_bytes),
        format!("{:.2}", stats.load1),
    ]
}

fn applications(applications: &[ApplicationStatus]) -> Table {
    let mut table = Table::new(&["NAME", "STATE", "WANTED", "SERVING", "REASON", "MESSAGE"]);
    for status in applications {
        table.add(vec![
            status.name.clone(),
            word(&status.state()),
            status.desired_revision.to_string(),
            status.serving_revision.to_string(),
            dash(&status.reason),
            dash(&status.message),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
