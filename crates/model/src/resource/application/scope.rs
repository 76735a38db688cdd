//! Which types of applications have which fields.

use baetyl_proto::resource::v1 as pb;
use pb::ApplicationType::{self, Container, Function, Helm, Manifest, Process};
use pb::volume::Source;

use super::placement::one_of;
use super::resources;
use crate::violation::{Check, Path};

/// A field of an application that not every type has.
struct Scoped {
    field: &'static str,
    is_set: bool,
    types: &'static [ApplicationType],
}

const OF_SERVICES: &[ApplicationType] = &[Container, Function, Process];
const OF_PODS: &[ApplicationType] = &[Container, Function];
const OF_CLUSTERS: &[ApplicationType] = &[Container, Function, Helm, Manifest];

fn scoped(field: &'static str, is_set: bool, types: &'static [ApplicationType]) -> Scoped {
    Scoped {
        field,
        is_set,
        types,
    }
}

/// The fields that say what runs.
fn sources(message: &pb::Application) -> [Scoped; 4] {
    [
        scoped("services", !message.services.is_empty(), OF_SERVICES),
        scoped("volumes", !message.volumes.is_empty(), OF_SERVICES),
        scoped("manifest", message.manifest.is_some(), &[Manifest]),
        scoped("helm", message.helm.is_some(), &[Helm]),
    ]
}

/// The fields that only clusters have: an application that sets one fits no other node.
fn cluster_fields(message: &pb::Application) -> [Scoped; 16] {
    let is_set = |text: &str| !text.is_empty();
    [
        scoped(
            "kubeNamespace",
            is_set(&message.kube_namespace),
            OF_CLUSTERS,
        ),
        scoped(
            "initServices",
            !message.init_services.is_empty(),
            &[Container],
        ),
        scoped("job", message.job.is_some(), &[Container]),
        scoped("cron", message.cron.is_some(), &[Container]),
        scoped("autoscaling", message.autoscaling.is_some(), OF_PODS),
        scoped(
            "disruptionBudget",
            message.disruption_budget.is_some(),
            OF_PODS,
        ),
        scoped("hostNetwork", message.host_network, OF_PODS),
        scoped("dnsPolicy", is_set(&message.dns_policy), OF_PODS),
        scoped(
            "machineSelector",
            is_set(&message.machine_selector),
            OF_PODS,
        ),
        scoped("affinity", message.affinity.is_some(), OF_PODS),
        scoped("tolerations", !message.tolerations.is_empty(), OF_PODS),
        scoped("priorityClass", is_set(&message.priority_class), OF_PODS),
        scoped("security", message.security.is_some(), OF_PODS),
        scoped("registries", !message.registries.is_empty(), OF_PODS),
        scoped("serviceAccount", is_set(&message.service_account), OF_PODS),
        scoped("forceConflicts", message.force_conflicts, OF_CLUSTERS),
    ]
}

/// Refuses the fields that a type does not have.
pub(super) fn check(message: &pb::Application, kind: Option<ApplicationType>, check: &mut Check) {
    let Some(kind) = kind else {
        return;
    };
    let root = Path::root();
    if !OF_SERVICES.contains(&kind) {
        let why = "belongs to container, function or process applications";
        check.absent(&root.field("workload"), message.workload != 0, why);
        check.absent(&root.field("replicas"), message.replicas.is_some(), why);
    }
    for scoped in sources(message).into_iter().chain(cluster_fields(message)) {
        if !scoped.types.contains(&kind) {
            let words: Vec<&str> = scoped.types.iter().map(|kind| word(*kind)).collect();
            let why = format!("belongs to {} applications", one_of(&words));
            check.absent(&root.field(scoped.field), scoped.is_set, &why);
        }
    }
}

fn word(kind: ApplicationType) -> &'static str {
    match kind {
        ApplicationType::Unspecified => "other",
        Container => "container",
        Function => "function",
        Helm => "helm",
        Manifest => "manifest",
        Process => "process",
    }
}

/// Whether something is asked for that only a cluster can give.
pub(super) fn needs_cluster(message: &pb::Application) -> bool {
    let is_workload = match message.workload() {
        pb::Workload::Unspecified | pb::Workload::Deployment | pb::Workload::Job => false,
        pb::Workload::Statefulset | pb::Workload::Daemonset | pb::Workload::Cronjob => true,
    };
    let is_claim = |volume: &pb::Volume| {
        let Some(Source::Persistent(folder)) = &volume.source else {
            return false;
        };
        let texts = [&folder.size, &folder.storage_class, &folder.access_mode];
        texts.iter().any(|text| !text.is_empty())
    };
    let is_pod = |service: &pb::Service| {
        let resources = service.resources.iter();
        let names = resources.flat_map(|given| given.limits.keys().chain(given.requests.keys()));
        service.security.is_some() || names.into_iter().any(|name| !resources::is_common(name))
    };
    is_workload
        || cluster_fields(message).iter().any(|scoped| scoped.is_set)
        || message.volumes.iter().any(is_claim)
        || message.services.iter().any(is_pod)
}
