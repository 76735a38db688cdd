//! The controller of DaemonSets: one pod on every machine that fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::scheduler::fits_machine;
use super::view::{
    count_of, hash, is_active, is_deleting, is_ready, items, name, number, set, text,
};
use super::{Cluster, template};

const RESOURCE: &str = "daemonsets.apps";
const REVISION: &str = "controller-revision-hash";

/// Taints that are no obstacle for pods of a DaemonSet.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

pub(super) fn sync(cluster: &mut Cluster) {
    for owner in cluster.store.list(RESOURCE, "") {
        if !is_deleting(&owner) {
            let revision = hash(&owner["spec"]["template"]);
            act(cluster, &owner, &revision);
            report(cluster, &owner, &revision);
        }
    }
}

/// The pods of a set by machine, those on their way out included; and the machines that are to
/// have one.
struct Places {
    pods: BTreeMap<String, Vec<Arc<Value>>>,
    wanted: Vec<String>,
}

fn places(cluster: &Cluster, owner: &Arc<Value>) -> Places {
    let mut pods: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for pod in cluster.owned("pods", owner) {
        let machine = match text(&pod, "/spec/nodeName") {
            "" => target(&pod).to_owned(),
            machine => machine.to_owned(),
        };
        pods.entry(machine).or_default().push(pod);
    }
    let mut template = owner["spec"]["template"].clone();
    tolerate(&mut template);
    let machines = cluster.store.list("nodes", "");
    let wanted = machines
        .iter()
        .filter(|machine| fits_machine(&template["spec"], machine).is_ok())
        .map(|machine| name(machine).to_owned())
        .collect();
    Places { pods, wanted }
}

/// The machine that a pod without one is meant for.
fn target(pod: &Value) -> &str {
    let place = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                 /nodeSelectorTerms/0/matchFields/0/values/0";
    text(pod, place)
}

fn revision(pod: &Value) -> &str {
    pod["metadata"]["labels"][REVISION].as_str().unwrap_or("")
}

fn act(cluster: &mut Cluster, owner: &Arc<Value>, today: &str) {
    let places = places(cluster, owner);
    let machines = i64::try_from(places.wanted.len()).unwrap_or(0);
    let rolling = "/spec/updateStrategy/rollingUpdate";
    let of = |field: &str| count_of(owner.pointer(&format!("{rolling}/{field}")), machines, true);
    let surge = of("maxSurge").unwrap_or(0);
    let unavailable = of("maxUnavailable").unwrap_or(1);
    for machine in &places.wanted {
        let pods = places.pods.get(machine).map_or(&[][..], Vec::as_slice);
        for pod in pods {
            if text(pod, "/status/phase") == "Failed" && !is_deleting(pod) {
                let message = format!(
                    "Found failed daemon pod {} on node {machine}, will try to kill it",
                    name(pod)
                );
                cluster.happened(owner, true, "FailedDaemonPod", &message);
                cluster.delete_pod(pod);
            }
        }
        if pods.is_empty() {
            create(cluster, owner, machine, today);
        }
    }
    for (machine, pods) in &places.pods {
        if !places.wanted.contains(machine) {
            for pod in pods.iter().filter(|pod| !is_deleting(pod)) {
                cluster.delete_pod(pod);
            }
        }
    }
    if text(owner, "/spec/updateStrategy/type") == "OnDelete" {
        return;
    }
    if surge > 0 {
        update_with_surge(cluster, owner, &places, surge, today);
    } else {
        update_in_place(cluster, owner, &places, unavailable, today);
    }
}

/// The pod of today and the one of before.
type Pair = (Option<Arc<Value>>, Option<Arc<Value>>);

/// The pod of today and one of before on a machine; `None` when there are more of one.
fn pair(pods: &[Arc<Value>], today: &str) -> Option<Pair> {
    let alive = pods.iter().filter(|pod| !is_deleting(pod)).cloned();
    let (mut new, mut old): (Vec<_>, Vec<_>) = alive.partition(|pod| revision(pod) == today);
    (new.len() <= 1 && old.len() <= 1).then(|| (new.pop(), old.pop()))
}

fn update_in_place(
    cluster: &mut Cluster,
    owner: &Arc<Value>,
    places: &Places,
    unavailable: i64,
    today: &str,
) {
    let min_ready = number(owner, "/spec/minReadySeconds").unwrap_or(0);
    let mut missing = 0;
    let mut candidates = Vec::new();
    let mut goes = Vec::new();
    for machine in &places.wanted {
        let pods = places.pods.get(machine).map_or(&[][..], Vec::as_slice);
        match pair(pods, today) {
            Some((None, Some(old))) if !cluster.is_available(&old, min_ready) => goes.push(old),
            Some((None, Some(old))) => candidates.push(old),
            Some((Some(new), None)) if cluster.is_available(&new, min_ready) => {}
            _ => missing += 1,
        }
    }
    let may_go = usize::try_from(unavailable - missing).unwrap_or(0);
    goes.extend(candidates.into_iter().take(may_go));
    for pod in goes {
        cluster.delete_pod(&pod);
    }
}

fn update_with_surge(
    cluster: &mut Cluster,
    owner: &Arc<Value>,
    places: &Places,
    surge: i64,
    today: &str,
) {
    let min_ready = number(owner, "/spec/minReadySeconds").unwrap_or(0);
    let mut surging = 0;
    let mut candidates = Vec::new();
    for machine in &places.wanted {
        let pods = places.pods.get(machine).map_or(&[][..], Vec::as_slice);
        match pair(pods, today) {
            Some((Some(new), Some(old))) => {
                let is_replaced =
                    cluster.is_available(&new, min_ready) || !cluster.is_available(&old, min_ready);
                if is_replaced {
                    cluster.delete_pod(&old);
                } else {
                    surging += 1;
                }
            }
            Some((None, Some(old))) if !cluster.is_available(&old, min_ready) => {
                create(cluster, owner, machine, today);
            }
            Some((None, Some(_))) => candidates.push(machine.clone()),
            Some((_, None)) => {}
            None => surging += 1,
        }
    }
    let may_come = usize::try_from(surge - surging).unwrap_or(0);
    for machine in candidates.into_iter().take(may_come) {
        create(cluster, owner, &machine, today);
    }
}

fn tolerate(template: &mut Value) {
    let mut tolerations = items(template, "/spec/tolerations").to_vec();
    for (key, effect) in TOLERATED {
        tolerations.push(json!({ "key": key, "operator": "Exists", "effect": effect }));
    }
    set(template, &["spec", "tolerations"], tolerations);
}

fn create(cluster: &mut Cluster, owner: &Arc<Value>, machine: &str, today: &str) {
    let prefix = format!("{}-", name(owner));
    let mut pod = template::generated(&owner["spec"]["template"], owner, &prefix);
    tolerate(&mut pod);
    set(&mut pod, &["metadata", "labels", REVISION], today);
    let field = json!({ "key": "metadata.name", "operator": "In", "values": [machine] });
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let place = ["spec", "affinity", "nodeAffinity", required];
    let pointer = format!("/{}", place.join("/"));
    let mut terms = items(&pod, &format!("{pointer}/nodeSelectorTerms")).to_vec();
    if terms.is_empty() {
        terms.push(json!({}));
    }
    for term in &mut terms {
        set(term, &["matchFields"], json!([field]));
    }
    set(&mut pod, &place, json!({ "nodeSelectorTerms": terms }));
    // What it comes to stands in the events of the set.
    let _ = cluster.create_pod(owner, pod);
}

fn report(cluster: &mut Cluster, owner: &Arc<Value>, today: &str) {
    let min_ready = number(owner, "/spec/minReadySeconds").unwrap_or(0);
    let places = places(cluster, owner);
    let (mut current, mut ready, mut available, mut updated, mut strayed) = (0, 0, 0, 0, 0);
    for (machine, pods) in &places.pods {
        let alive: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
        if !places.wanted.contains(machine) {
            strayed += i64::from(!alive.is_empty());
            continue;
        }
        current += i64::from(!alive.is_empty());
        updated += i64::from(alive.iter().any(|pod| revision(pod) == today));
        ready += i64::from(alive.iter().any(|pod| is_ready(pod)));
        let is_available = alive.iter().any(|pod| cluster.is_available(pod, min_ready));
        available += i64::from(is_available);
    }
    let wanted = i64::try_from(places.wanted.len()).unwrap_or(0);
    let mut status = json!({
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": current,
        "numberMisscheduled": strayed,
        "numberReady": ready,
        "observedGeneration": number(owner, "/metadata/generation").unwrap_or(0),
    });
    for (field, count) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", wanted - available),
    ] {
        if count != 0 {
            status[field] = count.into();
        }
    }
    cluster.report(RESOURCE, owner, status);
}
