//! How many instances there are, and who may change that.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;

use super::resources::check_quantity;
use crate::violation::{Check, Path, reason};

const MAX_REPLICAS: u32 = 64;
const DEFAULT_REPLICAS: u32 = 1;
const MAX_METRICS: usize = 8;
const MAX_UTILIZATION: u32 = 1000;

/// Fills and checks the number of instances; returns the most that there may be.
pub(super) fn normalise(
    message: &mut pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) -> u32 {
    let path = Path::root().field("replicas");
    let is_container = kind == Some(pb::ApplicationType::Container);
    let most = match message.workload() {
        pb::Workload::Daemonset if is_container => {
            let why = "a daemonset has one instance on every machine";
            check.absent(&path, message.replicas.is_some(), why);
            1
        }
        pb::Workload::Job | pb::Workload::Cronjob if is_container => {
            let why = "a job has job.completions and job.parallelism";
            check.absent(&path, message.replicas.is_some(), why);
            1
        }
        _ => {
            let replicas = *message.replicas.get_or_insert(DEFAULT_REPLICAS);
            check.range(&path, i64::from(replicas), 1, i64::from(MAX_REPLICAS));
            replicas
        }
    };
    let autoscaled = normalise_autoscaling(message, kind, check);
    check_disruption_budget(message, kind, check);
    most.max(autoscaled)
}

/// Whether the workload has a number of instances that is chosen.
fn is_scalable(message: &pb::Application) -> bool {
    match message.workload() {
        pb::Workload::Unspecified | pb::Workload::Deployment | pb::Workload::Statefulset => true,
        pb::Workload::Job | pb::Workload::Daemonset | pb::Workload::Cronjob => false,
    }
}

/// Whether a type runs in pods that we make.
fn has_pods(kind: Option<pb::ApplicationType>) -> bool {
    let pods = [
        pb::ApplicationType::Container,
        pb::ApplicationType::Function,
    ];
    kind.is_some_and(|kind| pods.contains(&kind))
}

/// Returns the most instances that it makes; 0 without it.
fn normalise_autoscaling(
    message: &mut pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) -> u32 {
    let is_scalable = is_scalable(message);
    let Some(scaling) = message.autoscaling.as_mut().filter(|_| has_pods(kind)) else {
        return 0;
    };
    let path = Path::root().field("autoscaling");
    if !is_scalable {
        check.absent(&path, true, "belongs to deployments and statefulsets");
    }
    if scaling.min_replicas == 0 {
        scaling.min_replicas = 1;
    }
    let (least, most) = (scaling.min_replicas, scaling.max_replicas);
    let bound = i64::from(MAX_REPLICAS);
    check.range(&path.field("minReplicas"), i64::from(least), 1, bound);
    let max_replicas = path.field("maxReplicas");
    if most == 0 {
        check.add(&max_replicas, reason::REQUIRED, "must be set");
    } else {
        let least = i64::from(least.min(MAX_REPLICAS));
        check.range(&max_replicas, i64::from(most), least, bound);
    }
    check_metrics(
        &scaling.metrics,
        &message.services,
        &path.field("metrics"),
        check,
    );
    most
}

fn check_metrics(
    metrics: &[pb::ScalingMetric],
    services: &[pb::Service],
    path: &Path,
    check: &mut Check,
) {
    if metrics.is_empty() {
        check.add(path, reason::REQUIRED, "must say what is looked at");
    }
    check.count(path, metrics.len(), MAX_METRICS);
    let mut seen = BTreeSet::new();
    for (index, metric) in metrics.iter().take(MAX_METRICS).enumerate() {
        let path = path.index(index);
        let resource = path.field("resource");
        match metric.resource.as_str() {
            "" => check.add(&resource, reason::REQUIRED, "must be cpu or memory"),
            "cpu" | "memory" => {
                if !seen.insert(&metric.resource) {
                    check.duplicate(&resource, "a metric of that resource");
                }
                if metric.average_utilization != 0 {
                    check_requested(&metric.resource, services, check);
                }
            }
            _ => check.add(&resource, reason::UNKNOWN_VALUE, "must be cpu or memory"),
        }
        check_target(metric, &path, check);
    }
}

/// Exactly one of both.
fn check_target(metric: &pb::ScalingMetric, path: &Path, check: &mut Check) {
    let value = path.field("averageValue");
    match (metric.average_utilization, metric.average_value.as_str()) {
        (0, "") => {
            let description = "must have averageUtilization or averageValue";
            check.add(path, reason::REQUIRED, description);
        }
        (0, text) => {
            check_quantity(text, &value, check);
        }
        (percent, text) => {
            let utilization = path.field("averageUtilization");
            let most = i64::from(MAX_UTILIZATION);
            check.range(&utilization, i64::from(percent), 1, most);
            if !text.is_empty() {
                check.add(&value, reason::CONFLICT, "excludes averageUtilization");
            }
        }
    }
}

/// A part of nothing is nothing: where no service says what it needs, nothing is ever scaled.
fn check_requested(resource: &str, services: &[pb::Service], check: &mut Check) {
    let root = Path::root().field("services");
    for (index, service) in services.iter().enumerate() {
        let names = |resources: &pb::Resources| {
            // Kubernetes takes the limit where no request is given.
            resources.requests.contains_key(resource) || resources.limits.contains_key(resource)
        };
        if !service.resources.as_ref().is_some_and(names) {
            let path = root.index(index).field("resources").field("requests");
            let description = "must be set: autoscaling by averageUtilization is a part of it";
            check.add(&path.field(resource), reason::REQUIRED, description);
        }
    }
}

fn check_disruption_budget(
    message: &pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let Some(budget) = message
        .disruption_budget
        .as_ref()
        .filter(|_| has_pods(kind))
    else {
        return;
    };
    let path = Path::root().field("disruptionBudget");
    if !is_scalable(message) {
        check.absent(&path, true, "belongs to deployments and statefulsets");
    }
    let fields = [
        ("minAvailable", &budget.min_available),
        ("maxUnavailable", &budget.max_unavailable),
    ];
    if fields.iter().all(|(_, text)| text.is_empty()) {
        let description = "must have minAvailable or maxUnavailable";
        check.add(&path, reason::REQUIRED, description);
    }
    if fields.iter().all(|(_, text)| !text.is_empty()) {
        let path = path.field("maxUnavailable");
        check.add(&path, reason::CONFLICT, "excludes minAvailable");
    }
    for (field, text) in fields {
        if !text.is_empty() && !is_count_or_percent(text) {
            let description = "must be a count such as 1, or percent up to 100%";
            check.add(&path.field(field), reason::INVALID_FORMAT, description);
        }
    }
}

fn is_count_or_percent(text: &str) -> bool {
    let (number, most) = match text.strip_suffix('%') {
        Some(number) => (number, 100),
        None => (text, MAX_REPLICAS),
    };
    let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && number.parse::<u32>().is_ok_and(|number| number <= most)
}
