//! The built-in kinds.

use super::{Generation, Kind, Version};
use crate::schema::Schema;

/// One row: what cannot be told from the name of the type.
struct Row {
    /// Type in the committed schema; its version and kind are those of the resource.
    type_name: &'static str,
    group: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    marks: u8,
}

/// It has a namespace.
const NAMESPACED: u8 = 1;
/// Its status is written by a path of its own.
const STATUS: u8 = 1 << 1;
/// It can be scaled.
const SCALE: u8 = 1 << 2;
/// It counts generations.
const GENERATION: u8 = 1 << 3;
/// It counts its annotations too.
const ANNOTATIONS: u8 = 1 << 4;
/// Deleting answers with the object.
const RETURNS: u8 = 1 << 5;
/// Listed in the category `all`.
const ALL: u8 = 1 << 6;

const WORKLOAD: u8 = NAMESPACED | STATUS | GENERATION | ALL;

const fn row(
    type_name: &'static str,
    group: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    marks: u8,
) -> Row {
    Row {
        type_name,
        group,
        plural,
        short_names,
        marks,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

#[rustfmt::skip]
const ROWS: [Row; 36] = [
    row("core.v1.Namespace", "", "namespaces", &["ns"], STATUS | RETURNS),
    row("core.v1.Node", "", "nodes", &["no"], STATUS),
    row("core.v1.PersistentVolume", "", "persistentvolumes", &["pv"], STATUS | RETURNS),
    row("core.v1.Pod", "", "pods", &["po"], NAMESPACED | STATUS | RETURNS | ALL),
    row("core.v1.ConfigMap", "", "configmaps", &["cm"], NAMESPACED),
    row("core.v1.Secret", "", "secrets", &[], NAMESPACED),
    row("core.v1.Service", "", "services", &["svc"], NAMESPACED | STATUS | RETURNS | ALL),
    row("core.v1.ServiceAccount", "", "serviceaccounts", &["sa"], NAMESPACED | RETURNS),
    row("core.v1.PersistentVolumeClaim", "", "persistentvolumeclaims", &["pvc"], NAMESPACED | STATUS | RETURNS),
    row("core.v1.Event", "", "events", &["ev"], NAMESPACED),
    row("core.v1.Endpoints", "", "endpoints", &["ep"], NAMESPACED),
    row("core.v1.LimitRange", "", "limitranges", &["limits"], NAMESPACED),
    row("core.v1.ResourceQuota", "", "resourcequotas", &["quota"], NAMESPACED | STATUS | RETURNS),
    row("apps.v1.Deployment", "apps", "deployments", &["deploy"], WORKLOAD | SCALE | ANNOTATIONS),
    row("apps.v1.StatefulSet", "apps", "statefulsets", &["sts"], WORKLOAD | SCALE),
    row("apps.v1.DaemonSet", "apps", "daemonsets", &["ds"], WORKLOAD),
    row("apps.v1.ReplicaSet", "apps", "replicasets", &["rs"], WORKLOAD | SCALE),
    row("apps.v1.ControllerRevision", "apps", "controllerrevisions", &[], NAMESPACED),
    row("batch.v1.Job", "batch", "jobs", &[], WORKLOAD),
    row("batch.v1.CronJob", "batch", "cronjobs", &["cj"], WORKLOAD),
    row("autoscaling.v2.HorizontalPodAutoscaler", "autoscaling", "horizontalpodautoscalers", &["hpa"], NAMESPACED | STATUS | ALL),
    row("policy.v1.PodDisruptionBudget", "policy", "poddisruptionbudgets", &["pdb"], NAMESPACED | STATUS | GENERATION),
    row("rbac.v1.Role", RBAC, "roles", &[], NAMESPACED),
    row("rbac.v1.RoleBinding", RBAC, "rolebindings", &[], NAMESPACED),
    row("rbac.v1.ClusterRole", RBAC, "clusterroles", &[], 0),
    row("rbac.v1.ClusterRoleBinding", RBAC, "clusterrolebindings", &[], 0),
    row("scheduling.v1.PriorityClass", "scheduling.k8s.io", "priorityclasses", &["pc"], GENERATION),
    row("storage.v1.StorageClass", "storage.k8s.io", "storageclasses", &["sc"], RETURNS),
    row("coordination.v1.Lease", "coordination.k8s.io", "leases", &[], NAMESPACED),
    row("discovery.v1.EndpointSlice", "discovery.k8s.io", "endpointslices", &[], NAMESPACED | GENERATION),
    row("networking.v1.Ingress", "networking.k8s.io", "ingresses", &["ing"], NAMESPACED | STATUS | GENERATION),
    row("networking.v1.IngressClass", "networking.k8s.io", "ingressclasses", &[], GENERATION),
    row("networking.v1.NetworkPolicy", "networking.k8s.io", "networkpolicies", &["netpol"], NAMESPACED | GENERATION),
    row("apiextensions.v1.CustomResourceDefinition", "apiextensions.k8s.io", "customresourcedefinitions", &["crd", "crds"], STATUS | GENERATION),
    row("authorization.v1.SelfSubjectAccessReview", "authorization.k8s.io", "selfsubjectaccessreviews", &[], 0),
    row("authorization.v1.SelfSubjectRulesReview", "authorization.k8s.io", "selfsubjectrulesreviews", &[], 0),
];

/// Every built-in kind.
pub(super) fn kinds() -> impl Iterator<Item = Kind> {
    ROWS.iter().map(kind)
}

fn kind(row: &Row) -> Kind {
    let schema = Schema::kubernetes();
    let mut parts = row.type_name.split('.').skip(1);
    let (version, kind) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let has = |mark: u8| row.marks & mark != 0;
    let generation = match (has(GENERATION), has(ANNOTATIONS)) {
        (true, true) => Generation::SpecAndAnnotations,
        (true, false) => Generation::Spec,
        (false, _) => Generation::Never,
    };
    let resource = match row.group {
        "" => row.plural.to_owned(),
        group => format!("{}.{group}", row.plural),
    };
    Kind {
        resource: resource.into(),
        group: row.group.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: row.plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: row
            .short_names
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        categories: has(ALL).then(|| "all".to_owned()).into_iter().collect(),
        is_namespaced: has(NAMESPACED),
        has_scale: has(SCALE),
        generation,
        returns_deleted: has(RETURNS),
        versions: vec![Version {
            name: version.to_owned(),
            has_status: has(STATUS),
            root: schema
                .named(row.type_name)
                .expect("every row names a committed type"),
            schema,
        }],
    }
}
