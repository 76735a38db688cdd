//! The order of kinds, and which of them are replaced.

use super::super::super::object::ObjectKey;
use super::{Replacing, replacing, wave};

fn key(api_version: &str, kind: &str) -> ObjectKey {
    ObjectKey::namespaced(api_version, kind, "edge", "x")
}

#[test]
fn when_kinds_are_sorted_then_each_comes_after_what_it_needs() {
    let ordered = [
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("v1", "ServiceAccount"),
        ("v1", "ConfigMap"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("networking.k8s.io/v1", "Ingress"),
        ("apps/v1", "Deployment"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1", "PodDisruptionBudget"),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        ),
        ("example.com/v1", "Widget"),
    ];
    let waves: Vec<_> = ordered.map(|(v, k)| wave(&key(v, k))).into();

    assert!(waves.is_sorted_by(|a, b| a < b), "{waves:?}");
}

#[test]
fn when_kinds_belong_together_then_they_share_a_wave() {
    let pairs = [
        (
            ("v1", "ServiceAccount"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ),
        (
            ("v1", "ServiceAccount"),
            ("storage.k8s.io/v1", "StorageClass"),
        ),
        (("v1", "ConfigMap"), ("v1", "Secret")),
        (("apps/v1", "Deployment"), ("batch/v1", "CronJob")),
        (("apps/v1", "Deployment"), ("v1", "Pod")),
        (
            ("v1", "LimitRange"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
        ),
        (
            ("example.com/v1", "Deployment"),
            ("gateway.networking.k8s.io/v1", "Gateway"),
        ),
    ];
    for ((v1, k1), (v2, k2)) in pairs {
        assert_eq!(wave(&key(v1, k1)), wave(&key(v2, k2)), "{k1} {k2}");
    }
}

#[test]
fn when_data_could_go_then_an_object_is_not_replaced() {
    let rows = [
        ("apps/v1", "StatefulSet", Some(Replacing::LeavingPods)),
        ("apps/v1", "DaemonSet", Some(Replacing::LeavingPods)),
        ("batch/v1", "Job", Some(Replacing::Anew)),
        ("v1", "ConfigMap", Some(Replacing::Anew)),
        ("v1", "Service", Some(Replacing::Anew)),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            Some(Replacing::Anew),
        ),
        ("v1", "PersistentVolumeClaim", None),
        ("v1", "Namespace", None),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", None),
        ("example.com/v1", "Database", None),
    ];
    for (version, kind, expected) in rows {
        assert_eq!(replacing(&key(version, kind)), expected, "{kind}");
    }
}
