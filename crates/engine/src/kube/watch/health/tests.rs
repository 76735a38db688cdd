//! One table: what a status says.

use serde_json::{Value, json};

use super::{Situation, judge};
use crate::kube::facts::Health;
use crate::reason;

/// What is expected: a word, and words that the message has.
fn expected(health: &Health) -> (&'static str, String) {
    match health {
        Health::Ready => ("ready", String::new()),
        Health::Progressing { message } => ("progressing", message.clone()),
        Health::Failed { reason, message } => (reason, message.clone()),
        Health::Completed => ("completed", String::new()),
    }
}

type Case = (&'static str, Value, Value, &'static str, &'static str);

fn check(api_version: &str, kind: &str, cases: &[Case]) {
    let kind = (api_version.to_owned(), kind.to_owned());
    let mut wrong = Vec::new();
    for (name, spec, status, word, part) in cases {
        let situation = Situation {
            generation: 2,
            spec,
            status,
        };
        let (seen, message) = expected(&judge(&kind, situation));
        if seen != *word || !message.contains(part) {
            wrong.push(format!("{name}: {seen} {message:?}, not {word} {part:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn condition(name: &str, status: &str, reason: &str, message: &str) -> Value {
    json!([{"type": name, "status": status, "reason": reason, "message": message}])
}

/// The status of a deployment of which three are wanted.
fn counts(replicas: u32, updated: u32, available: u32) -> Value {
    json!({
        "observedGeneration": 2,
        "replicas": replicas,
        "updatedReplicas": updated,
        "availableReplicas": available,
    })
}

#[test]
fn when_a_deployment_tells_its_counts_then_its_health_is_known() {
    let three = || json!({"replicas": 3});
    let behind = json!({"observedGeneration": 1, "updatedReplicas": 3, "availableReplicas": 3});
    check(
        "apps/v1",
        "Deployment",
        &[
            ("new", three(), json!({}), "progressing", "looked at"),
            ("behind", three(), behind, "progressing", "looked at"),
            ("done", three(), counts(3, 3, 3), "ready", ""),
            ("rolling", three(), counts(4, 2, 3), "progressing", "2 of 3"),
            (
                "old left",
                three(),
                counts(4, 3, 3),
                "progressing",
                "1 pods",
            ),
            ("not yet", three(), counts(3, 3, 2), "progressing", "2 of 3"),
            (
                "none wanted",
                json!({"replicas": 0}),
                counts(0, 0, 0),
                "ready",
                "",
            ),
            ("default is one", json!({}), counts(1, 1, 1), "ready", ""),
        ],
    );
}

#[test]
fn when_a_deployment_gets_no_pods_then_the_reason_is_known() {
    let three = || json!({"replicas": 3});
    let with = |mut status: Value, conditions: &Value| {
        status["conditions"] = conditions.clone();
        status
    };
    let refused = |message: &str| {
        let failure = condition("ReplicaFailure", "True", "FailedCreate", message);
        with(counts(3, 0, 3), &failure)
    };
    let quota = refused("pods \"a\" is forbidden: exceeded quota: few");
    let admission = refused("pods \"a\" is forbidden: violates PodSecurity \"restricted\"");
    let account = refused("pods \"a\" is forbidden: error looking up service account");
    let late = condition(
        "Progressing",
        "False",
        "ProgressDeadlineExceeded",
        "too late",
    );
    let (too_late, after_all) = (with(counts(4, 1, 3), &late), with(counts(3, 3, 3), &late));
    check(
        "apps/v1",
        "Deployment",
        &[
            (
                "late",
                three(),
                too_late,
                reason::DEADLINE_EXCEEDED,
                "too late",
            ),
            ("late, then done", three(), after_all, "ready", ""),
            (
                "quota",
                three(),
                quota,
                reason::QUOTA_EXCEEDED,
                "exceeded quota",
            ),
            (
                "admission",
                three(),
                admission,
                reason::FORBIDDEN,
                "PodSecurity",
            ),
            (
                "account comes later",
                three(),
                account,
                "progressing",
                "service account",
            ),
        ],
    );
}

#[test]
fn when_a_stateful_set_tells_its_counts_then_its_health_is_known() {
    let spec = || json!({"replicas": 2});
    let counts = |replicas: u32, updated: u32, available: u32, current: &str| {
        json!({
            "observedGeneration": 2,
            "replicas": replicas,
            "readyReplicas": available,
            "availableReplicas": available,
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": "r2",
        })
    };
    let by_hand = json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}});
    let half = json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
    check(
        "apps/v1",
        "StatefulSet",
        &[
            ("new", spec(), json!({}), "progressing", "looked at"),
            ("done", spec(), counts(2, 2, 2, "r2"), "ready", ""),
            (
                "starting",
                spec(),
                counts(1, 1, 1, "r2"),
                "progressing",
                "1 of 2",
            ),
            (
                "rolling",
                spec(),
                counts(2, 1, 2, "r1"),
                "progressing",
                "1 of 2",
            ),
            (
                "last step",
                spec(),
                counts(2, 2, 2, "r1"),
                "progressing",
                "previous",
            ),
            ("by hand", by_hand, counts(2, 0, 2, "r1"), "ready", ""),
            ("partition", half, counts(2, 1, 2, "r1"), "ready", ""),
            (
                "surplus",
                spec(),
                counts(3, 3, 3, "r2"),
                "progressing",
                "1 pods",
            ),
            (
                "older servers do not tell what is available",
                spec(),
                json!({
                    "observedGeneration": 2,
                    "replicas": 2,
                    "readyReplicas": 2,
                    "updatedReplicas": 2,
                }),
                "ready",
                "",
            ),
        ],
    );
}

#[test]
fn when_a_daemon_set_tells_its_counts_then_its_health_is_known() {
    let counts = |wanted: u32, updated: u32, available: u32| {
        json!({
            "observedGeneration": 2,
            "desiredNumberScheduled": wanted,
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
        })
    };
    check(
        "apps/v1",
        "DaemonSet",
        &[
            ("new", json!({}), json!({}), "progressing", "looked at"),
            ("done", json!({}), counts(2, 2, 2), "ready", ""),
            ("no machine", json!({}), counts(0, 0, 0), "ready", ""),
            (
                "rolling",
                json!({}),
                counts(2, 1, 2),
                "progressing",
                "1 of 2",
            ),
            (
                "not yet",
                json!({}),
                counts(2, 2, 1),
                "progressing",
                "1 of 2",
            ),
            (
                "by hand",
                json!({"updateStrategy": {"type": "OnDelete"}}),
                counts(2, 0, 2),
                "ready",
                "",
            ),
        ],
    );
}

#[test]
fn when_a_job_tells_its_end_then_its_health_is_known() {
    let ended =
        |name: &str, reason: &str| json!({"conditions": condition(name, "True", reason, "m")});
    check(
        "batch/v1",
        "Job",
        &[
            ("new", json!({}), json!({}), "progressing", "0 pods run"),
            (
                "tries",
                json!({}),
                json!({"active": 1, "failed": 2}),
                "progressing",
                "2 have failed",
            ),
            ("done", json!({}), ended("Complete", ""), "completed", ""),
            (
                "failed",
                json!({}),
                ended("Failed", "BackoffLimitExceeded"),
                reason::JOB_FAILED,
                "BackoffLimitExceeded: m",
            ),
            (
                "too long",
                json!({}),
                ended("Failed", "DeadlineExceeded"),
                reason::DEADLINE_EXCEEDED,
                "",
            ),
            (
                "suspended",
                json!({}),
                ended("Suspended", ""),
                "progressing",
                "suspended",
            ),
        ],
    );
}

#[test]
fn when_other_kinds_of_the_cluster_tell_their_phase_then_their_health_is_known() {
    let none = || json!({});
    check(
        "v1",
        "PersistentVolumeClaim",
        &[
            (
                "pending",
                none(),
                json!({"phase": "Pending"}),
                "progressing",
                "volume",
            ),
            ("bound", none(), json!({"phase": "Bound"}), "ready", ""),
            (
                "lost",
                none(),
                json!({"phase": "Lost"}),
                reason::STORAGE_FAILED,
                "lost",
            ),
        ],
    );
    let balanced = || json!({"type": "LoadBalancer"});
    let given = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    check(
        "v1",
        "Service",
        &[
            ("plain", json!({"type": "ClusterIP"}), none(), "ready", ""),
            (
                "waiting",
                balanced(),
                json!({"loadBalancer": {}}),
                "progressing",
                "address",
            ),
            ("given", balanced(), given, "ready", ""),
        ],
    );
}

#[test]
fn when_kinds_without_pods_tell_their_conditions_then_their_health_is_known() {
    let none = || json!({});
    let definition = |name: &str, status: &str| {
        let conditions = condition(name, status, "NoConflicts", "m");
        json!({"conditions": conditions})
    };
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &[
            ("new", none(), none(), "progressing", "not served"),
            (
                "served",
                none(),
                definition("Established", "True"),
                "ready",
                "",
            ),
            (
                "not yet",
                none(),
                definition("Established", "False"),
                "progressing",
                "",
            ),
            (
                "names taken",
                none(),
                definition("NamesAccepted", "False"),
                reason::INVALID_OBJECT,
                "m",
            ),
        ],
    );
    let inactive = json!({"conditions": condition("ScalingActive", "False", "FailedGet", "m")});
    check(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        &[("without metrics", none(), inactive, "ready", "")],
    );
    check(
        "batch/v1",
        "CronJob",
        &[("idle", none(), none(), "ready", "")],
    );
    check(
        "v1",
        "Namespace",
        &[
            ("there", none(), json!({"phase": "Active"}), "ready", ""),
            (
                "going",
                none(),
                json!({"phase": "Terminating"}),
                "progressing",
                "deleted",
            ),
        ],
    );
}

#[test]
fn when_a_custom_resource_follows_the_conventions_then_its_health_is_known() {
    let none = || json!({});
    let status = |conditions: Value| json!({"observedGeneration": 2, "conditions": conditions});
    let old = json!([{"type": "Ready", "status": "True", "observedGeneration": 1}]);
    check(
        "example.com/v1",
        "Widget",
        &[
            ("no status", none(), json!(null), "ready", ""),
            (
                "no conditions",
                none(),
                json!({"phase": "Anything"}),
                "ready",
                "",
            ),
            (
                "behind",
                none(),
                json!({"observedGeneration": 1}),
                "progressing",
                "looked at",
            ),
            (
                "ready",
                none(),
                status(condition("Ready", "True", "", "")),
                "ready",
                "",
            ),
            (
                "unready",
                none(),
                status(condition("Ready", "False", "Waiting", "for its turn")),
                "progressing",
                "Waiting: for its turn",
            ),
            (
                "unknown",
                none(),
                status(condition("Ready", "Unknown", "", "")),
                "progressing",
                "Ready is Unknown",
            ),
            (
                "old condition",
                none(),
                status(old),
                "progressing",
                "looked at",
            ),
        ],
    );
}

#[test]
fn when_a_custom_resource_says_other_things_then_they_are_understood_or_left() {
    let none = || json!({});
    let status = |conditions: Value| json!({"observedGeneration": 2, "conditions": conditions});
    check(
        "example.com/v1",
        "Widget",
        &[
            (
                "available",
                none(),
                status(condition("Available", "True", "", "")),
                "ready",
                "",
            ),
            (
                "stalled",
                none(),
                status(condition("Stalled", "True", "Bad", "input")),
                reason::OBJECT_FAILED,
                "Bad: input",
            ),
            (
                "at work",
                none(),
                status(condition("Reconciling", "True", "Busy", "")),
                "progressing",
                "Busy",
            ),
            (
                "nonsense",
                none(),
                json!({"conditions": [1, {"type": 2}, null]}),
                "ready",
                "",
            ),
            ("more nonsense", json!("text"), json!([1, 2]), "ready", ""),
            (
                "odd types",
                none(),
                status(json!([{"type": "Ready", "status": true, "message": 3}])),
                "progressing",
                "",
            ),
        ],
    );
}
