//! The object that keeps the pods of an application.

use std::time::Duration;

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::pod::{self, seconds};
use super::scene::Scene;
use super::{At, count, metadata, names, some, text, volume};
use crate::driver::Refusal;
use crate::kube::object::Object;

/// The least time that pods must live when nothing tells that they are ready: kubelets look about
/// once a second whether a container still runs.
const SILENT_SOAK_SECONDS: i32 = 2;

const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
const DEFAULT_BACKOFF_LIMIT: u32 = 6;

/// Revisions that the cluster keeps: the one that serves and the one before. To go back is to
/// apply the old objects, which finds the old pods when they are still there.
const KEPT_REVISIONS: i32 = 2;

/// The workload of an application, named like it.
pub(super) fn object(scene: &Scene<'_>) -> Result<Object, Refusal> {
    Ok(match scene.application.workload() {
        pb::Workload::Deployment | pb::Workload::Unspecified => deployment(scene)?,
        pb::Workload::Statefulset => stateful_set(scene)?,
        pb::Workload::Daemonset => daemon_set(scene)?,
        pb::Workload::Job => job(scene)?,
        pb::Workload::Cronjob => cron_job(scene)?,
    })
}

/// What cannot change without new pods.
pub(super) fn replaced_by(scene: &Scene<'_>) -> Result<Value, Refusal> {
    Ok(match scene.application.workload() {
        // A job runs once per revision, with all that it says.
        pb::Workload::Job => json!(job_spec(scene)?),
        pb::Workload::Deployment
        | pb::Workload::Unspecified
        | pb::Workload::Statefulset
        | pb::Workload::Daemonset
        | pb::Workload::Cronjob => json!(pod::template(scene)?),
    })
}

/// API version, kind and name of what an autoscaler scales.
pub(super) fn scaled(scene: &Scene<'_>) -> Option<(&'static str, String)> {
    match scene.application.workload() {
        pb::Workload::Deployment | pb::Workload::Unspecified => {
            Some(("Deployment", names::workload(scene.name())))
        }
        pb::Workload::Statefulset => Some(("StatefulSet", names::stateful_set(scene.name()))),
        pb::Workload::Daemonset | pb::Workload::Job | pb::Workload::Cronjob => None,
    }
}

fn deployment(scene: &Scene<'_>) -> Result<Object, Refusal> {
    let (soak, deadline) = gate(scene);
    let (surge, unavailable) = overlap(scene);
    Ok(super::object(&apps::Deployment {
        metadata: workload_metadata(scene, names::workload(scene.name())),
        spec: Some(apps::DeploymentSpec {
            replicas: replicas(scene),
            selector: selector(scene),
            template: pod::template(scene)?,
            strategy: Some(apps::DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(apps::RollingUpdateDeployment {
                    max_surge: Some(surge),
                    max_unavailable: Some(unavailable),
                }),
            }),
            min_ready_seconds: Some(soak),
            progress_deadline_seconds: Some(deadline),
            revision_history_limit: Some(KEPT_REVISIONS),
            ..apps::DeploymentSpec::default()
        }),
        ..apps::Deployment::default()
    }))
}

fn stateful_set(scene: &Scene<'_>) -> Result<Object, Refusal> {
    let (soak, _) = gate(scene);
    Ok(super::object(&apps::StatefulSet {
        metadata: workload_metadata(scene, names::stateful_set(scene.name())),
        spec: Some(apps::StatefulSetSpec {
            replicas: replicas(scene),
            selector: selector(scene),
            service_name: Some(names::headless(scene.name())),
            template: pod::template(scene)?,
            volume_claim_templates: some(volume::claim_templates(scene)),
            // The other policy waits for ever for a pod of a bad revision, and so never goes back
            // to a good one. Updates are one pod after the other with both.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(apps::StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..apps::StatefulSetUpdateStrategy::default()
            }),
            min_ready_seconds: Some(soak),
            revision_history_limit: Some(KEPT_REVISIONS),
            ..apps::StatefulSetSpec::default()
        }),
        ..apps::StatefulSet::default()
    }))
}

fn daemon_set(scene: &Scene<'_>) -> Result<Object, Refusal> {
    let (soak, _) = gate(scene);
    let (surge, unavailable) = overlap(scene);
    Ok(super::object(&apps::DaemonSet {
        metadata: workload_metadata(scene, names::workload(scene.name())),
        spec: Some(apps::DaemonSetSpec {
            selector: selector(scene),
            template: pod::template(scene)?,
            update_strategy: Some(apps::DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(apps::RollingUpdateDaemonSet {
                    max_surge: Some(surge),
                    max_unavailable: Some(unavailable),
                }),
            }),
            min_ready_seconds: Some(soak),
            revision_history_limit: Some(KEPT_REVISIONS),
        }),
        ..apps::DaemonSet::default()
    }))
}

fn job(scene: &Scene<'_>) -> Result<Object, Refusal> {
    Ok(super::object(&batch::Job {
        metadata: workload_metadata(scene, names::job(scene.name(), scene.release)),
        spec: Some(job_spec(scene)?),
        ..batch::Job::default()
    }))
}

fn cron_job(scene: &Scene<'_>) -> Result<Object, Refusal> {
    let Some(cron) = &scene.application.cron else {
        return Err(At::root("cron").wrong("must be set in a cronjob"));
    };
    let concurrency = match cron.concurrency_policy() {
        pb::ConcurrencyPolicy::Allow => "Allow",
        pb::ConcurrencyPolicy::Replace => "Replace",
        pb::ConcurrencyPolicy::Forbid | pb::ConcurrencyPolicy::Unspecified => "Forbid",
    };
    Ok(super::object(&batch::CronJob {
        metadata: workload_metadata(scene, names::cron_job(scene.name())),
        spec: Some(batch::CronJobSpec {
            schedule: cron.schedule.clone(),
            time_zone: text(&cron.time_zone),
            concurrency_policy: Some(concurrency.to_owned()),
            starting_deadline_seconds: cron
                .starting_deadline
                .map(|given| seconds(Some(given), Duration::ZERO)),
            suspend: Some(cron.suspend),
            job_template: batch::JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(scene.labels_with_release()),
                    ..ObjectMeta::default()
                }),
                spec: Some(job_spec(scene)?),
            },
            ..batch::CronJobSpec::default()
        }),
        ..batch::CronJob::default()
    }))
}

fn job_spec(scene: &Scene<'_>) -> Result<batch::JobSpec, Refusal> {
    let policy = scene.application.job.unwrap_or_default();
    // Without a policy each copy runs once, as on a process node.
    let copies = scene.application.replicas.unwrap_or(1).max(1);
    Ok(batch::JobSpec {
        completions: Some(count(policy.completions.unwrap_or(copies))),
        parallelism: Some(count(policy.parallelism.unwrap_or(copies))),
        backoff_limit: Some(count(policy.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT))),
        active_deadline_seconds: policy
            .active_deadline
            .map(|given| seconds(Some(given), Duration::ZERO)),
        template: pod::template(scene)?,
        ..batch::JobSpec::default()
    })
}

fn workload_metadata(scene: &Scene<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        labels: Some(scene.labels_with_release()),
        ..metadata(scene, name)
    }
}

fn selector(scene: &Scene<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(scene.selector()),
        ..LabelSelector::default()
    }
}

/// None where an autoscaler decides.
fn replicas(scene: &Scene<'_>) -> Option<i32> {
    if scene.application.autoscaling.is_some() {
        return None;
    }
    Some(count(scene.application.replicas.unwrap_or(1)))
}

/// How long a pod must be ready, and how long its progress may take, which is longer.
fn gate(scene: &Scene<'_>) -> (i32, i32) {
    let update = scene.application.update.unwrap_or_default();
    let whole = |given, default| i32::try_from(seconds(given, default)).unwrap_or(i32::MAX - 1);
    let soak = whole(update.soak, Duration::ZERO).min(i32::MAX - 1);
    let soak = soak.max(if has_silent_service(scene) {
        SILENT_SOAK_SECONDS
    } else {
        0
    });
    let deadline = whole(update.deadline, DEFAULT_DEADLINE);
    (soak, deadline.max(soak + 1))
}

/// Whether a container is called ready as soon as it runs, even if it ends at once.
fn has_silent_service(scene: &Scene<'_>) -> bool {
    let mut services = scene.application.services.iter();
    !scene.is_function() && services.any(|service| service.readiness_probe.is_none())
}

/// How many pods there may be above and below the wanted number while they are replaced: an old
/// one goes when a new one serves, unless the two would fight for a port of their machine, or for
/// a volume that only one machine can use.
fn overlap(scene: &Scene<'_>) -> (IntOrString, IntOrString) {
    let application = scene.application;
    let has_host_port = application
        .services
        .iter()
        .any(|service| service.ports.iter().any(|port| port.host_port != 0));
    let is_exclusive =
        application.host_network || has_host_port || volume::is_bound_to_one_machine(application);
    let (surge, unavailable) = if is_exclusive { (0, 1) } else { (1, 0) };
    (IntOrString::Int(surge), IntOrString::Int(unavailable))
}
