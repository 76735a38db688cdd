//! What changes the number of pods, and what protects it.

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::autoscaling::v2 as autoscaling;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::scene::Scene;
use super::{At, count, metadata, names, object, some, text, workload};
use crate::driver::Refusal;
use crate::kube::object::Object;

/// The autoscaler, when the application asks for one.
pub(super) fn autoscaler(scene: &Scene<'_>) -> Result<Option<Object>, Refusal> {
    let Some(given) = &scene.application.autoscaling else {
        return Ok(None);
    };
    let at = At::root("autoscaling");
    let Some((kind, name)) = workload::scaled(scene) else {
        return Err(at.wrong("belongs to deployment and statefulset"));
    };
    let metrics = given.metrics.iter().enumerate();
    let metrics = metrics.map(|(index, each)| metric(each, &at.field("metrics").index(index)));
    Ok(Some(object(&autoscaling::HorizontalPodAutoscaler {
        metadata: metadata(scene, names::workload(scene.name())),
        spec: Some(autoscaling::HorizontalPodAutoscalerSpec {
            scale_target_ref: autoscaling::CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: kind.to_owned(),
                name,
            },
            min_replicas: Some(count(given.min_replicas.max(1))),
            max_replicas: count(given.max_replicas),
            metrics: some(metrics.collect::<Result<_, _>>()?),
            ..autoscaling::HorizontalPodAutoscalerSpec::default()
        }),
        ..autoscaling::HorizontalPodAutoscaler::default()
    })))
}

fn metric(given: &pb::ScalingMetric, at: &At) -> Result<autoscaling::MetricSpec, Refusal> {
    let target = match (given.average_utilization, text(&given.average_value)) {
        (0, Some(value)) => autoscaling::MetricTarget {
            type_: "AverageValue".to_owned(),
            average_value: Some(Quantity(value)),
            ..autoscaling::MetricTarget::default()
        },
        (percent, None) if percent != 0 => autoscaling::MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(count(percent)),
            ..autoscaling::MetricTarget::default()
        },
        _ => return Err(at.wrong("must have either averageUtilization or averageValue")),
    };
    Ok(autoscaling::MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(autoscaling::ResourceMetricSource {
            name: given.resource.clone(),
            target,
        }),
        ..autoscaling::MetricSpec::default()
    })
}

/// The disruption budget, when the application asks for one.
pub(super) fn disruption_budget(scene: &Scene<'_>) -> Result<Option<Object>, Refusal> {
    let Some(given) = &scene.application.disruption_budget else {
        return Ok(None);
    };
    let min_available = text(&given.min_available).map(count_or_percent);
    let max_unavailable = text(&given.max_unavailable).map(count_or_percent);
    if min_available.is_some() == max_unavailable.is_some() {
        let problem = "must have either minAvailable or maxUnavailable";
        return Err(At::root("disruptionBudget").wrong(problem));
    }
    Ok(Some(object(&policy::PodDisruptionBudget {
        metadata: metadata(scene, names::workload(scene.name())),
        spec: Some(policy::PodDisruptionBudgetSpec {
            min_available,
            max_unavailable,
            selector: Some(LabelSelector {
                match_labels: Some(scene.selector()),
                ..LabelSelector::default()
            }),
            ..policy::PodDisruptionBudgetSpec::default()
        }),
        ..policy::PodDisruptionBudget::default()
    })))
}

fn count_or_percent(given: String) -> IntOrString {
    match given.parse() {
        Ok(number) => IntOrString::Int(number),
        Err(_) => IntOrString::String(given),
    }
}
