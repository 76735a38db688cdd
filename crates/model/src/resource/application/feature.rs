//! What a core must be able to do to run an application. A core that lacks one of these leaves
//! the application as it is and says so, instead of dropping a field.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;
use pb::volume::Source;

use super::scope;

/// Images in pods.
pub const CONTAINER: &str = "container.v1";
/// Functions in a runtime.
pub const FUNCTION: &str = "function.v1";
/// Helm charts.
pub const HELM: &str = "helm.v1";
/// Raw objects.
pub const MANIFEST: &str = "manifest.v1";
/// Programs.
pub const PROCESS: &str = "process.v1";
/// Instances that run to their end.
pub const JOB: &str = "job.v1";
/// Jobs by a timetable.
pub const CRONJOB: &str = "cronjob.v1";
/// Instances with names and volumes of their own.
pub const STATEFULSET: &str = "statefulset.v1";
/// One instance on every machine.
pub const DAEMONSET: &str = "daemonset.v1";
/// A number of instances that follows their usage.
pub const AUTOSCALING: &str = "autoscaling.v1";
/// Folders that outlive instances.
pub const PERSISTENT_VOLUME: &str = "persistent-volume.v1";
/// Certificates as files.
pub const CERTIFICATE: &str = "certificate.v1";
/// Credentials for registries of images.
pub const REGISTRY: &str = "registry.v1";
/// A function application that says where in a cluster and as whom it runs.
pub const KUBE: &str = "kube.v1";

/// Every feature with what it means, sorted.
pub const ALL: [(&str, &str); 14] = [
    (
        AUTOSCALING,
        "a number of instances that follows their usage",
    ),
    (CERTIFICATE, "certificates as files"),
    (CONTAINER, "images in pods"),
    (CRONJOB, "jobs by a timetable"),
    (DAEMONSET, "one instance on every machine"),
    (FUNCTION, "functions in a runtime"),
    (HELM, "Helm charts"),
    (JOB, "instances that run to their end"),
    (KUBE, "functions that say where in a cluster they run"),
    (MANIFEST, "raw Kubernetes objects"),
    (PERSISTENT_VOLUME, "folders that outlive instances"),
    (PROCESS, "programs"),
    (REGISTRY, "credentials for registries of images"),
    (STATEFULSET, "instances with names and volumes of their own"),
];

/// Returns the features that an application needs, sorted.
pub(super) fn of(message: &pb::Application) -> Vec<&'static str> {
    let mut features = BTreeSet::new();
    match message.r#type() {
        pb::ApplicationType::Container => features.insert(CONTAINER),
        pb::ApplicationType::Function => {
            if scope::needs_cluster(message) {
                features.insert(KUBE);
            }
            features.insert(FUNCTION)
        }
        pb::ApplicationType::Helm => features.insert(HELM),
        pb::ApplicationType::Manifest => features.insert(MANIFEST),
        pb::ApplicationType::Process => features.insert(PROCESS),
        pb::ApplicationType::Unspecified => false,
    };
    match message.workload() {
        pb::Workload::Unspecified | pb::Workload::Deployment => false,
        pb::Workload::Job => features.insert(JOB),
        pb::Workload::Statefulset => features.insert(STATEFULSET),
        pb::Workload::Daemonset => features.insert(DAEMONSET),
        pb::Workload::Cronjob => features.insert(CRONJOB),
    };
    for volume in &message.volumes {
        match &volume.source {
            Some(Source::Persistent(_)) => features.insert(PERSISTENT_VOLUME),
            Some(Source::Certificate(_)) => features.insert(CERTIFICATE),
            Some(
                Source::Config(_) | Source::Secret(_) | Source::HostPath(_) | Source::EmptyDir(_),
            )
            | None => false,
        };
    }
    if message.autoscaling.is_some() {
        features.insert(AUTOSCALING);
    }
    if !message.registries.is_empty() {
        features.insert(REGISTRY);
    }
    features.into_iter().collect()
}
