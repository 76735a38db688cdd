//! Which machines the pods of an application may use.
//!
//! A machine selector becomes required node affinity: each requirement of its grammar has an
//! operator there that means the same, absent labels included, so nothing is lost. The terms of an
//! application's own affinity are alternatives, and the selector holds for each of them.

use std::collections::BTreeSet;

use baetyl_model::selector::{Operator, Requirement, Selector};
use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::{At, some, text};
use crate::driver::Refusal;

/// The machine selector and the application's own affinity.
pub(super) fn affinity(application: &pb::Application) -> Result<Option<core::Affinity>, Refusal> {
    let selected = selected(&application.machine_selector)?;
    let given = application.affinity.clone().unwrap_or_default();
    let own = given.node_affinity.unwrap_or_default();
    let required = required(
        own.required_during_scheduling_ignored_during_execution,
        &selected,
    );
    let preferred = own.preferred_during_scheduling_ignored_during_execution;
    let preferred = some(preferred.into_iter().map(preferred_term).collect());
    let has_node = required.is_some() || preferred.is_some();
    let found = core::Affinity {
        node_affinity: has_node.then_some(core::NodeAffinity {
            required_during_scheduling_ignored_during_execution: required,
            preferred_during_scheduling_ignored_during_execution: preferred,
        }),
        pod_affinity: given
            .pod_affinity
            .map(pod_affinity)
            .filter(|found| *found != core::PodAffinity::default()),
        pod_anti_affinity: given
            .pod_anti_affinity
            .map(pod_affinity)
            .filter(|found| *found != core::PodAffinity::default())
            .map(|found| core::PodAntiAffinity {
                required_during_scheduling_ignored_during_execution: found
                    .required_during_scheduling_ignored_during_execution,
                preferred_during_scheduling_ignored_during_execution: found
                    .preferred_during_scheduling_ignored_during_execution,
            }),
    };
    Ok(Some(found).filter(|found| *found != core::Affinity::default()))
}

/// What the machine selector asks for; the empty one asks for nothing.
fn selected(selector: &str) -> Result<Vec<core::NodeSelectorRequirement>, Refusal> {
    match Selector::parse_filter(selector) {
        Ok(Selector::All(requirements)) => Ok(requirements.iter().map(selected_by).collect()),
        Ok(Selector::Everything | Selector::Nothing) => Ok(Vec::new()),
        Err(error) => Err(At::root("machineSelector").wrong(error)),
    }
}

fn selected_by(requirement: &Requirement) -> core::NodeSelectorRequirement {
    let list = |values: &BTreeSet<String>| values.iter().cloned().collect();
    let (operator, values) = match requirement.operator() {
        Operator::Equals(value) => ("In", vec![value.clone()]),
        Operator::NotEquals(value) => ("NotIn", vec![value.clone()]),
        Operator::In(values) => ("In", list(values)),
        Operator::NotIn(values) => ("NotIn", list(values)),
        Operator::Exists => ("Exists", Vec::new()),
        Operator::Absent => ("DoesNotExist", Vec::new()),
    };
    core::NodeSelectorRequirement {
        key: requirement.key().to_owned(),
        operator: operator.to_owned(),
        values: some(values),
    }
}

fn required(
    own: Option<pb::NodeSelector>,
    selected: &[core::NodeSelectorRequirement],
) -> Option<core::NodeSelector> {
    let Some(own) = own else {
        return (!selected.is_empty()).then(|| core::NodeSelector {
            node_selector_terms: vec![core::NodeSelectorTerm {
                match_expressions: Some(selected.to_vec()),
                ..core::NodeSelectorTerm::default()
            }],
        });
    };
    let terms = own.node_selector_terms.into_iter().map(|term| {
        let mut term = node_term(term);
        // A term without requirements matches no machine, and must not begin to.
        if let Some(expressions) = &mut term.match_expressions {
            expressions.extend_from_slice(selected);
        }
        term
    });
    Some(core::NodeSelector {
        node_selector_terms: terms.collect(),
    })
}

fn node_term(term: pb::NodeSelectorTerm) -> core::NodeSelectorTerm {
    let expressions = term.match_expressions.into_iter();
    core::NodeSelectorTerm {
        match_expressions: some(
            expressions
                .map(|each| core::NodeSelectorRequirement {
                    key: each.key,
                    operator: each.operator,
                    values: some(each.values),
                })
                .collect(),
        ),
        ..core::NodeSelectorTerm::default()
    }
}

fn preferred_term(term: pb::PreferredSchedulingTerm) -> core::PreferredSchedulingTerm {
    core::PreferredSchedulingTerm {
        weight: term.weight,
        preference: node_term(term.preference.unwrap_or_default()),
    }
}

fn pod_affinity(given: pb::PodAffinity) -> core::PodAffinity {
    let required = given.required_during_scheduling_ignored_during_execution;
    let preferred = given.preferred_during_scheduling_ignored_during_execution;
    core::PodAffinity {
        required_during_scheduling_ignored_during_execution: some(
            required.into_iter().map(pod_term).collect(),
        ),
        preferred_during_scheduling_ignored_during_execution: some(
            preferred
                .into_iter()
                .map(|term| core::WeightedPodAffinityTerm {
                    weight: term.weight,
                    pod_affinity_term: pod_term(term.pod_affinity_term.unwrap_or_default()),
                })
                .collect(),
        ),
    }
}

fn pod_term(term: pb::PodAffinityTerm) -> core::PodAffinityTerm {
    core::PodAffinityTerm {
        label_selector: term.label_selector.map(label_selector),
        topology_key: term.topology_key,
        ..core::PodAffinityTerm::default()
    }
}

fn label_selector(given: pb::LabelSelector) -> meta::LabelSelector {
    let expressions = given.match_expressions.into_iter();
    meta::LabelSelector {
        match_labels: Some(given.match_labels).filter(|labels| !labels.is_empty()),
        match_expressions: some(
            expressions
                .map(|each| meta::LabelSelectorRequirement {
                    key: each.key,
                    operator: each.operator,
                    values: some(each.values),
                })
                .collect(),
        ),
    }
}

/// Taints that are no obstacle.
pub(super) fn tolerations(application: &pb::Application) -> Vec<core::Toleration> {
    let given = application.tolerations.iter();
    given
        .map(|each| core::Toleration {
            key: text(&each.key),
            operator: text(&each.operator),
            value: text(&each.value),
            effect: text(&each.effect),
            toleration_seconds: each.toleration_seconds.map(i64::from),
        })
        .collect()
}
