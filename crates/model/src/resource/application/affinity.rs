//! Which machines pods prefer, need or avoid.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;

use super::placement::one_of;
use crate::label;
use crate::violation::{Check, Path, reason};

const MAX_TERMS: usize = 32;
const MAX_REQUIREMENTS: usize = 32;
const MAX_VALUES: usize = 64;
const MAX_WEIGHT: i64 = 100;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// What labels are of: machines can be compared by number, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Machines,
    Pods,
}

pub(super) fn check(affinity: &pb::Affinity, path: &Path, check: &mut Check) {
    if let Some(nodes) = &affinity.node_affinity {
        check_nodes(nodes, &path.field("nodeAffinity"), check);
    }
    if let Some(pods) = &affinity.pod_affinity {
        check_pods(pods, &path.field("podAffinity"), check);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        check_pods(pods, &path.field("podAntiAffinity"), check);
    }
}

fn check_nodes(nodes: &pb::NodeAffinity, path: &Path, check: &mut Check) {
    if let Some(required) = &nodes.required_during_scheduling_ignored_during_execution {
        let path = path.field(REQUIRED).field("nodeSelectorTerms");
        let terms = &required.node_selector_terms;
        if terms.is_empty() {
            check.add(&path, reason::REQUIRED, "must have at least one term");
        }
        check.count(&path, terms.len(), MAX_TERMS);
        for (index, term) in terms.iter().take(MAX_TERMS).enumerate() {
            check_term(term, &path.index(index), check);
        }
    }
    let path = path.field(PREFERRED);
    let terms = &nodes.preferred_during_scheduling_ignored_during_execution;
    check.count(&path, terms.len(), MAX_TERMS);
    for (index, term) in terms.iter().take(MAX_TERMS).enumerate() {
        let path = path.index(index);
        let weight = i64::from(term.weight);
        check.range(&path.field("weight"), weight, 1, MAX_WEIGHT);
        let preference = path.field("preference");
        match &term.preference {
            Some(term) => check_term(term, &preference, check),
            None => check.add(&preference, reason::REQUIRED, "must be set"),
        }
    }
}

/// A term without requirements matches no machine at all.
fn check_term(term: &pb::NodeSelectorTerm, path: &Path, check: &mut Check) {
    let path = path.field("matchExpressions");
    if term.match_expressions.is_empty() {
        let description = "must have at least one requirement";
        check.add(&path, reason::REQUIRED, description);
    }
    check_requirements(&term.match_expressions, Of::Machines, &path, check);
}

fn check_pods(pods: &pb::PodAffinity, path: &Path, check: &mut Check) {
    let required = path.field(REQUIRED);
    let terms = &pods.required_during_scheduling_ignored_during_execution;
    check.count(&required, terms.len(), MAX_TERMS);
    for (index, term) in terms.iter().take(MAX_TERMS).enumerate() {
        check_pod_term(term, &required.index(index), check);
    }
    let path = path.field(PREFERRED);
    let terms = &pods.preferred_during_scheduling_ignored_during_execution;
    check.count(&path, terms.len(), MAX_TERMS);
    for (index, term) in terms.iter().take(MAX_TERMS).enumerate() {
        let path = path.index(index);
        let weight = i64::from(term.weight);
        check.range(&path.field("weight"), weight, 1, MAX_WEIGHT);
        let inner = path.field("podAffinityTerm");
        match &term.pod_affinity_term {
            Some(term) => check_pod_term(term, &inner, check),
            None => check.add(&inner, reason::REQUIRED, "must be set"),
        }
    }
}

fn check_pod_term(term: &pb::PodAffinityTerm, path: &Path, check: &mut Check) {
    let selector = path.field("labelSelector");
    match &term.label_selector {
        None => check.add(&selector, reason::REQUIRED, "must say which pods"),
        Some(labels) => {
            check_labels(&labels.match_labels, &selector.field("matchLabels"), check);
            let expressions = selector.field("matchExpressions");
            check_requirements(&labels.match_expressions, Of::Pods, &expressions, check);
        }
    }
    check_key(&term.topology_key, &path.field("topologyKey"), check);
}

fn check_labels(labels: &BTreeMap<String, String>, path: &Path, check: &mut Check) {
    check.count(path, labels.len(), MAX_REQUIREMENTS);
    for (key, value) in labels.iter().take(MAX_REQUIREMENTS) {
        let found = label::check_key(key).and_then(|()| label::check_value(value));
        if let Err(problem) = found {
            check.add(&path.field(key), reason::INVALID_LABEL, problem);
        }
    }
}

fn check_key(key: &str, path: &Path, check: &mut Check) {
    if key.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
    } else if let Err(problem) = label::check_key(key) {
        check.add(path, reason::INVALID_LABEL, problem);
    }
}

fn check_requirements(
    requirements: &[pb::LabelRequirement],
    of: Of,
    path: &Path,
    check: &mut Check,
) {
    check.count(path, requirements.len(), MAX_REQUIREMENTS);
    for (index, requirement) in requirements.iter().take(MAX_REQUIREMENTS).enumerate() {
        let path = path.index(index);
        check_key(&requirement.key, &path.field("key"), check);
        check_operator(requirement, of, &path, check);
    }
}

fn check_operator(requirement: &pb::LabelRequirement, of: Of, path: &Path, check: &mut Check) {
    let values = path.field("values");
    let given = &requirement.values;
    check.count(&values, given.len(), MAX_VALUES);
    match requirement.operator.as_str() {
        "In" | "NotIn" => {
            if given.is_empty() {
                check.add(&values, reason::REQUIRED, "must have at least one value");
            }
            for (index, value) in given.iter().take(MAX_VALUES).enumerate() {
                if let Err(problem) = label::check_value(value) {
                    check.add(&values.index(index), reason::INVALID_LABEL, problem);
                }
            }
        }
        "Exists" | "DoesNotExist" => {
            if !given.is_empty() {
                let description = "excludes the operators Exists and DoesNotExist";
                check.add(&values, reason::CONFLICT, description);
            }
        }
        "Gt" | "Lt" if of == Of::Machines => {
            let is_number = |value: &String| value.parse::<i64>().is_ok();
            if given.len() != 1 || !given.iter().all(is_number) {
                let description = "must have one whole number";
                check.add(&values, reason::INVALID_FORMAT, description);
            }
        }
        "" => check.add(&path.field("operator"), reason::REQUIRED, "must be set"),
        _ => {
            let known: &[&str] = match of {
                Of::Machines => &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
                Of::Pods => &["In", "NotIn", "Exists", "DoesNotExist"],
            };
            let description = format!("must be {}", one_of(known));
            let path = path.field("operator");
            check.add(&path, reason::UNKNOWN_VALUE, description);
        }
    }
}
