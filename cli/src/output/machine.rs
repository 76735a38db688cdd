//! Machines of a node: whether they can be used.

use baetyl_proto::resource::v1::{ConditionStatus, MachineStatus};

/// What a machine of a cluster says when it can be used; every other condition is bad when true.
const READY: &str = "Ready";

/// `yes`, or what is wrong: `no, DiskPressure`. A machine that is no part of a cluster says
/// nothing of itself, and is ready.
pub(crate) fn machine_readiness(machine: &MachineStatus) -> String {
    if machine.conditions.is_empty() {
        return "yes".to_owned();
    }
    let conditions = machine.conditions.iter();
    let held = conditions.filter(|condition| condition.status() == ConditionStatus::True);
    let (ready, bad): (Vec<_>, Vec<_>) = held
        .map(|condition| condition.r#type.as_str())
        .partition(|word| *word == READY);
    let first = if ready.is_empty() { "no" } else { "yes" };
    [vec![first], bad].concat().join(", ")
}

/// How many machines of a node are ready: `2/3`; `–` when it has reported none.
pub(crate) fn ready_machines(machines: &[MachineStatus]) -> String {
    if machines.is_empty() {
        return "–".to_owned();
    }
    let is_ready = |machine: &&MachineStatus| machine_readiness(machine).starts_with("yes");
    let ready = machines.iter().filter(is_ready).count();
    format!("{ready}/{}", machines.len())
}
