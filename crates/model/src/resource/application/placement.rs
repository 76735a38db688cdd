//! Where in a cluster pods run, and as whom.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;

use super::{affinity, check_selector, names};
use crate::id::{Inner, Kind, check_name as check_id};
use crate::label::{self, MAX_LABEL};
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_TOLERATIONS: usize = 32;
const MAX_REGISTRIES: usize = 16;

const DNS_POLICIES: [&str; 3] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default"];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// The effect that lets pods stay for a time.
const EVICTION: &str = "NoExecute";
const EXISTS: &str = "Exists";
const EQUAL: &str = "Equal";

pub(super) fn normalise(message: &mut pb::Application, check: &mut Check) {
    let root = Path::root();
    let path = root.field("kubeNamespace");
    if !message.kube_namespace.is_empty()
        && let Err(error) = check_id(&message.kube_namespace, Inner::Dashes, 1, MAX_LABEL)
    {
        check.add(&path, error.reason, error.description);
    }
    let dns = message.dns_policy.as_str();
    if !dns.is_empty() && !DNS_POLICIES.contains(&dns) {
        let description = format!("must be {}", one_of(&DNS_POLICIES));
        check.add(&root.field("dnsPolicy"), reason::UNKNOWN_VALUE, description);
    }
    let selector = root.field("machineSelector");
    check_selector(&message.machine_selector, &selector, check);
    if let Some(affinity) = &message.affinity {
        affinity::check(affinity, &root.field("affinity"), check);
    }
    normalise_tolerations(&mut message.tolerations, &root.field("tolerations"), check);
    let priority_class = root.field("priorityClass");
    names::check_object(&message.priority_class, &priority_class, check);
    let service_account = root.field("serviceAccount");
    names::check_object(&message.service_account, &service_account, check);
    check_registries(&message.registries, &root.field("registries"), check);
}

/// `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn normalise_tolerations(tolerations: &mut [pb::Toleration], path: &Path, check: &mut Check) {
    check.count(path, tolerations.len(), MAX_TOLERATIONS);
    for (index, toleration) in tolerations.iter_mut().take(MAX_TOLERATIONS).enumerate() {
        normalise_toleration(toleration, &path.index(index), check);
    }
}

fn normalise_toleration(toleration: &mut pb::Toleration, path: &Path, check: &mut Check) {
    if toleration.operator.is_empty() {
        EQUAL.clone_into(&mut toleration.operator);
    }
    let key = path.field("key");
    if !toleration.key.is_empty() {
        if let Err(problem) = label::check_key(&toleration.key) {
            check.add(&key, reason::INVALID_LABEL, problem);
        }
    } else if toleration.operator == EQUAL {
        let description = "must be set unless the operator is Exists";
        check.add(&key, reason::REQUIRED, description);
    }
    let value = path.field("value");
    match toleration.operator.as_str() {
        EXISTS if !toleration.value.is_empty() => {
            check.add(&value, reason::CONFLICT, "excludes the operator Exists");
        }
        EXISTS | EQUAL => {
            if let Err(problem) = label::check_value(&toleration.value) {
                check.add(&value, reason::INVALID_LABEL, problem);
            }
        }
        _ => {
            let path = path.field("operator");
            check.add(&path, reason::UNKNOWN_VALUE, "must be Exists or Equal");
        }
    }
    let effect = toleration.effect.as_str();
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        let description = format!("must be {}", one_of(&EFFECTS));
        check.add(&path.field("effect"), reason::UNKNOWN_VALUE, description);
    }
    if toleration.toleration_seconds.is_some() && effect != EVICTION {
        let path = path.field("tolerationSeconds");
        let description = "has a meaning with the effect NoExecute only";
        check.add(&path, reason::CONFLICT, description);
    }
}

fn check_registries(registries: &[String], path: &Path, check: &mut Check) {
    check.count(path, registries.len(), MAX_REGISTRIES);
    let mut seen = BTreeSet::new();
    for (index, registry) in registries.iter().take(MAX_REGISTRIES).enumerate() {
        let path = path.index(index);
        check_name(registry, Kind::Registry, &path, check);
        if !seen.insert(registry) {
            check.duplicate(&path, "that registry");
        }
    }
}
