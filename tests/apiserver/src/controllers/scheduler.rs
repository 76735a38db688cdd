//! Gives pods a machine, or says why none fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Cluster;
use super::claim::{self, Readiness};
use super::view::{
    Said, condition, holds, is_active, is_deleting, is_finished, is_selected, is_set, items,
    labels, milli, name, namespace, now, number, set, text, texts, with_condition,
};

pub(super) fn sync(cluster: &mut Cluster) {
    let pods = cluster.store.list("pods", "");
    let waiting: Vec<_> = pods
        .iter()
        .filter(|pod| text(pod, "/spec/nodeName").is_empty())
        .filter(|pod| !is_deleting(pod) && !is_finished(pod))
        .filter(|pod| items(pod, "/spec/schedulingGates").is_empty())
        .collect();
    if waiting.is_empty() {
        return;
    }
    let machines = cluster.store.list("nodes", "");
    let mut taken = Taken::default();
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        taken.add(pod, text(pod, "/spec/nodeName"));
    }
    for pod in waiting {
        let chosen = match claim::readiness(cluster, pod) {
            Readiness::Soon => continue,
            Readiness::Ready => choose(pod, &machines, &taken),
            Readiness::Never(message) => Err(unavailable(machines.len(), &message)),
        };
        match chosen {
            Ok(machine) => {
                let machine = machine.to_owned();
                if bind(cluster, pod, &machine) {
                    taken.add(pod, &machine);
                }
            }
            Err(message) => refuse(cluster, pod, &message),
        }
    }
}

/// What pods use of machines.
#[derive(Default)]
struct Taken {
    resources: BTreeMap<String, BTreeMap<String, i128>>,
    ports: BTreeMap<String, Vec<String>>,
    pods: Vec<(Value, String)>,
}

impl Taken {
    fn add(&mut self, pod: &Value, machine: &str) {
        if machine.is_empty() {
            return;
        }
        let resources = self.resources.entry(machine.to_owned()).or_default();
        for (resource, amount) in requests(pod) {
            *resources.entry(resource).or_default() += amount;
        }
        self.ports
            .entry(machine.to_owned())
            .or_default()
            .extend(host_ports(pod));
        let about = json!({ "metadata": {
            "namespace": namespace(pod), "labels": pod["metadata"]["labels"],
        }});
        self.pods.push((about, machine.to_owned()));
    }
}

/// What a pod asks for, in thousandths, itself included.
fn requests(pod: &Value) -> BTreeMap<String, i128> {
    let mut sum = BTreeMap::from([("pods".to_owned(), 1000)]);
    for container in items(pod, "/spec/containers") {
        let mut asked = texts(container, "/resources/limits");
        asked.extend(texts(container, "/resources/requests"));
        for (resource, quantity) in asked {
            *sum.entry(resource).or_default() += milli(&quantity);
        }
    }
    sum
}

fn host_ports(pod: &Value) -> Vec<String> {
    let is_of_host = is_set(pod, "/spec/hostNetwork");
    let mut ports = Vec::new();
    for container in items(pod, "/spec/containers") {
        for port in items(container, "/ports") {
            let own = number(port, "/hostPort").or_else(|| {
                let inner = number(port, "/containerPort");
                inner.filter(|_| is_of_host)
            });
            let protocol = text(port, "/protocol");
            ports.extend(own.map(|own| format!("{own}/{protocol}")));
        }
    }
    ports
}

/// Whether a pod may run on a machine by labels and taints; if not, why, as the scheduler says it.
pub(super) fn fits_machine(spec: &Value, machine: &Value) -> Result<(), String> {
    let tolerations = items(spec, "/tolerations");
    let mut taints = items(machine, "/spec/taints").to_vec();
    if is_set(machine, "/spec/unschedulable") {
        taints.push(json!({
            "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule",
        }));
    }
    for taint in &taints {
        let is_obstacle = text(taint, "/effect") != "PreferNoSchedule";
        if is_obstacle && !tolerations.iter().any(|one| tolerates(one, taint)) {
            let key = text(taint, "/key");
            if key == "node.kubernetes.io/unschedulable" {
                return Err("node(s) were unschedulable".to_owned());
            }
            let value = text(taint, "/value");
            return Err(format!("node(s) had untolerated taint {{{key}: {value}}}"));
        }
    }
    let own = labels(machine);
    let selector = texts(spec, "/nodeSelector");
    let is_selected = selector
        .iter()
        .all(|(key, value)| own.get(key) == Some(value));
    let required =
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = items(spec, required);
    if !is_selected || !terms.is_empty() && !terms.iter().any(|term| fits_term(term, machine)) {
        return Err("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    Ok(())
}

fn fits_term(term: &Value, machine: &Value) -> bool {
    let own = labels(machine);
    let fields = BTreeMap::from([("metadata.name".to_owned(), name(machine).to_owned())]);
    let expressions = items(term, "/matchExpressions");
    let of_fields = items(term, "/matchFields");
    (!expressions.is_empty() || !of_fields.is_empty())
        && expressions.iter().all(|one| holds(one, &own))
        && of_fields.iter().all(|one| holds(one, &fields))
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let key = text(toleration, "/key");
    let effect = text(toleration, "/effect");
    let is_exists = text(toleration, "/operator") == "Exists";
    (key.is_empty() && is_exists || key == text(taint, "/key"))
        && (effect.is_empty() || effect == text(taint, "/effect"))
        && (is_exists || text(toleration, "/value") == text(taint, "/value"))
}

/// Picks the machine with the highest preference, and of those the one with the fewest pods.
fn choose<'a>(pod: &Value, machines: &'a [Arc<Value>], taken: &Taken) -> Result<&'a str, String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(i64, &str)> = None;
    for machine in machines {
        match fits(pod, machine, machines, taken) {
            Err(reason) => *reasons.entry(reason).or_default() += 1,
            Ok(()) => {
                let own = name(machine);
                let load = taken.pods.iter().filter(|(_, at)| at == own).count();
                let load = i64::try_from(load).unwrap_or(i64::MAX);
                let score = preference(pod, machine) * 1000 - load;
                if best.is_none_or(|(highest, _)| score > highest) {
                    best = Some((score, own));
                }
            }
        }
    }
    if let Some((_, machine)) = best {
        return Ok(machine);
    }
    if machines.is_empty() {
        return Err("no nodes available to schedule pods".to_owned());
    }
    let said: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    Err(unavailable(machines.len(), &said.join(", ")))
}

fn unavailable(count: usize, why: &str) -> String {
    format!(
        "0/{count} nodes are available: {why}. preemption: 0/{count} nodes are available: \
         {count} Preemption is not helpful for scheduling."
    )
}

fn fits(
    pod: &Value,
    machine: &Arc<Value>,
    machines: &[Arc<Value>],
    taken: &Taken,
) -> Result<(), String> {
    fits_machine(&pod["spec"], machine)?;
    let own = name(machine);
    let ports = host_ports(pod);
    if let Some(used) = taken.ports.get(own)
        && ports.iter().any(|port| used.contains(port))
    {
        let reason = "node(s) didn't have free ports for the requested pod ports";
        return Err(reason.to_owned());
    }
    for (resource, amount) in requests(pod) {
        let used = taken.resources.get(own).and_then(|of| of.get(&resource));
        let all = milli(text(&machine["status"]["allocatable"], &pointer(&resource)));
        if amount > 0 && used.copied().unwrap_or(0) + amount > all {
            return Err(match resource.as_str() {
                "pods" => "Too many pods".to_owned(),
                _ => format!("Insufficient {resource}"),
            });
        }
    }
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let nearby = |term: &Value| has_neighbour(pod, term, machine, machines, taken);
    let apart = format!("/spec/affinity/podAntiAffinity/{required}");
    if items(pod, &apart).iter().any(nearby) {
        return Err("node(s) didn't match pod anti-affinity rules".to_owned());
    }
    let near = format!("/spec/affinity/podAffinity/{required}");
    if !items(pod, &near)
        .iter()
        .all(|term| nearby(term) || is_first(pod, term))
    {
        return Err("node(s) didn't match pod affinity rules".to_owned());
    }
    Ok(())
}

/// A name as a part of a pointer.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Whether a pod that a term selects runs near a machine.
fn has_neighbour(
    pod: &Value,
    term: &Value,
    machine: &Arc<Value>,
    machines: &[Arc<Value>],
    taken: &Taken,
) -> bool {
    let key = text(term, "/topologyKey");
    let place = labels(machine).get(key).cloned();
    let selector = term.get("labelSelector");
    place.is_some()
        && taken.pods.iter().any(|(other, at)| {
            let there = machines.iter().find(|machine| name(machine) == at);
            namespace(other) == namespace(pod)
                && is_selected(selector, &labels(other))
                && there.and_then(|there| labels(there).get(key).cloned()) == place
        })
}

/// The first of pods that want to be near each other may go anywhere.
fn is_first(pod: &Value, term: &Value) -> bool {
    is_selected(term.get("labelSelector"), &labels(pod))
}

fn preference(pod: &Value, machine: &Value) -> i64 {
    let preferred = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    let terms = items(pod, preferred).iter();
    terms
        .filter(|term| fits_term(&term["preference"], machine))
        .filter_map(|term| number(term, "/weight"))
        .sum()
}

fn bind(cluster: &mut Cluster, pod: &Arc<Value>, machine: &str) -> bool {
    if cluster
        .store
        .bind(namespace(pod), name(pod), machine)
        .is_err()
    {
        return false;
    }
    let message = format!(
        "Successfully assigned {}/{} to {machine}",
        namespace(pod),
        name(pod)
    );
    cluster.scheduled(pod, false, "Scheduled", &message);
    true
}

fn refuse(cluster: &mut Cluster, pod: &Arc<Value>, message: &str) {
    let is_said =
        condition(pod, "PodScheduled").is_some_and(|one| text(one, "/message") == message);
    if is_said {
        return;
    }
    let mut conditions = items(pod, "/status/conditions").to_vec();
    let said = Said {
        kind: "PodScheduled",
        is_true: false,
        reason: "Unschedulable",
        message,
    };
    with_condition(&mut conditions, &said, &now());
    // It may be gone meanwhile.
    let _ = cluster
        .store
        .edit_status("pods", namespace(pod), name(pod), |pod| {
            set(pod, &["status", "phase"], "Pending");
            set(pod, &["status", "conditions"], conditions);
        });
    cluster.scheduled(pod, true, "FailedScheduling", message);
}

impl Cluster {
    fn scheduled(&mut self, pod: &Value, is_warning: bool, reason: &str, message: &str) {
        let happened = super::event::Happened {
            component: "default-scheduler",
            is_warning,
            reason,
            message,
            part: "",
        };
        self.events.record(&self.store, pod, happened);
    }
}
