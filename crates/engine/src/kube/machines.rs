//! The machines of the cluster, as the node's status tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baetyl_model::Quantity;
use baetyl_proto::resource::v1 as pb;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::watch::feed::Sink;
use super::watch::pod::MAX_MESSAGE;
use super::watch::wire::{Condition, RawNode, shortened, time};
use crate::handle::Machines;

/// Labels that say which roles a machine has.
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

/// All machines, as a level.
#[derive(Debug, Default)]
pub(crate) struct Board {
    level: watch::Sender<Arc<Machines>>,
    totals: Mutex<BTreeMap<String, Totals>>,
}

/// What a machine has, for its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) processors: u32,
    pub(crate) memory_bytes: u64,
}

impl Board {
    /// The machines, and every change.
    pub(crate) fn level(&self) -> watch::Receiver<Arc<Machines>> {
        self.level.subscribe()
    }

    /// The names of the machines, with what they have.
    pub(crate) fn totals(&self) -> BTreeMap<String, Totals> {
        self.totals.lock().clone()
    }

    /// Takes samples of machines by name, or why there are none.
    pub(crate) fn sampled(&self, samples: Vec<(String, Sample)>) {
        self.level.send_if_modified(|machines| {
            let mut is_new = false;
            for (name, sample) in samples {
                let (stats, reason) = match sample {
                    Ok(stats) => (Some(stats), String::new()),
                    Err(reason) => (None, reason),
                };
                let is_known = machines.get(&name).is_none_or(|machine| {
                    machine.stats == stats && machine.stats_unavailable == reason
                });
                if is_known {
                    continue;
                }
                if let Some(machine) = Arc::make_mut(machines).get_mut(&name) {
                    machine.stats = stats;
                    machine.stats_unavailable = reason;
                    is_new = true;
                }
            }
            is_new
        });
    }

    /// Says of every machine why it has no statistics.
    pub(crate) fn unavailable(&self, reason: &str) {
        let names = self.totals().into_keys();
        let samples = names.map(|name| (name, Err(reason.to_owned())));
        self.sampled(samples.collect());
    }
}

/// Usage of a machine, or why it is not known.
pub(crate) type Sample = Result<pb::MachineStats, String>;

/// Puts what the watch of machines sees on the board.
pub(crate) struct MachineSink(pub(crate) Arc<Board>);

impl Sink for MachineSink {
    type Item = RawNode;

    fn upsert(&mut self, item: RawNode) -> bool {
        let totals = totals(&item);
        let mut machine = status(item);
        let name = machine.hostname.clone();
        self.0.totals.lock().insert(name.clone(), totals);
        self.0.level.send_if_modified(|machines| {
            let before = machines.get(&name);
            // Usage is sampled apart.
            machine.stats = before.and_then(|before| before.stats);
            machine.stats_unavailable = match before {
                Some(before) => before.stats_unavailable.clone(),
                None => "not sampled yet".to_owned(),
            };
            if before == Some(&machine) {
                return false;
            }
            Arc::make_mut(machines).insert(name, machine);
            true
        });
        true
    }

    fn remove(&mut self, name: &str) {
        self.0.totals.lock().remove(name);
        self.0.level.send_if_modified(|machines| {
            machines.contains_key(name) && Arc::make_mut(machines).remove(name).is_some()
        });
    }

    fn retain(&mut self, listed: &BTreeSet<String>) {
        self.0.totals.lock().retain(|name, _| listed.contains(name));
        self.0.level.send_if_modified(|machines| {
            let is_over = machines.keys().any(|name| !listed.contains(name));
            if is_over {
                Arc::make_mut(machines).retain(|name, _| listed.contains(name));
            }
            is_over
        });
    }
}

fn totals(node: &RawNode) -> Totals {
    let quantity = |name: &str| Quantity::parse(node.status.capacity.get(name)?).ok();
    let processors = quantity("cpu").map_or(0, Quantity::units);
    Totals {
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        memory_bytes: quantity("memory").map_or(0, Quantity::units),
    }
}

/// Returns the status of a machine, without usage. Pure.
fn status(node: RawNode) -> pb::MachineStatus {
    let system = node.status.node_info;
    let roles = node.metadata.labels.keys();
    let roles = roles.filter_map(|label| label.strip_prefix(ROLE_PREFIX));
    let roles = roles.filter(|role| !role.is_empty()).map(str::to_owned);
    let addresses = node.status.addresses.into_iter();
    let addresses = addresses.filter(|address| address.kind.ends_with("IP"));
    let mut conditions: Vec<_> = node.status.conditions.into_iter().map(condition).collect();
    if node.spec.unschedulable {
        conditions.push(pb::Condition {
            r#type: "SchedulingDisabled".to_owned(),
            status: pb::ConditionStatus::True.into(),
            reason: "CORDONED".to_owned(),
            message: "no new instances are placed on the machine".to_owned(),
            last_transition_time: None,
        });
    }
    pb::MachineStatus {
        hostname: node.metadata.name,
        architecture: system.architecture,
        operating_system: system.operating_system,
        os_image: system.os_image,
        kernel_version: system.kernel_version,
        boot_id: system.boot_id,
        machine_id: system.machine_id,
        kubelet_version: system.kubelet_version,
        container_runtime: system.container_runtime_version,
        addresses: addresses.map(|address| address.address).collect(),
        roles: roles.collect(),
        conditions,
        capacity: match node.status.allocatable.is_empty() {
            true => node.status.capacity.into_iter().collect(),
            false => node.status.allocatable.into_iter().collect(),
        },
        labels: node.metadata.labels.into_iter().collect(),
        stats: None,
        stats_unavailable: String::new(),
    }
}

fn condition(condition: Condition) -> pb::Condition {
    let status = match condition.status.as_str() {
        "True" => pb::ConditionStatus::True,
        "False" => pb::ConditionStatus::False,
        _ => pb::ConditionStatus::Unknown,
    };
    pb::Condition {
        r#type: condition.name,
        status: status.into(),
        reason: upper_snake(&condition.reason),
        message: shortened(condition.message, MAX_MESSAGE),
        last_transition_time: time(condition.last_transition_time.as_ref()).map(Into::into),
    }
}

/// `KubeletReady` as the contract spells words for programs: `KUBELET_READY`.
fn upper_snake(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 4);
    let mut was_lower = false;
    for character in word.chars() {
        if character.is_ascii_uppercase() && was_lower {
            text.push('_');
        }
        was_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        text.push(character.to_ascii_uppercase());
    }
    text
}

#[cfg(test)]
mod tests;
