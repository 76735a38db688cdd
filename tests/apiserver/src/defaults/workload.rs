//! Defaults of workloads.

use serde_json::{Value, json};

use super::pod::pod_spec;
use crate::object::{child, meta_text, set_default};

const JOB_LABELS: [&str; 4] = [
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
    "batch.kubernetes.io/job-name",
    "job-name",
];

fn template(spec: &mut Value) {
    if let Some(template) = spec.pointer_mut("/template/spec") {
        pod_spec(template);
    }
}

pub(super) fn deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
    set_default(spec, "strategy", json!({}));
    let strategy = &mut spec["strategy"];
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set_default(strategy, "rollingUpdate", json!({}));
        let rolling = &mut strategy["rollingUpdate"];
        set_default(rolling, "maxUnavailable", "25%");
        set_default(rolling, "maxSurge", "25%");
    }
    template(spec);
}

pub(super) fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "podManagementPolicy", "OrderedReady");
    set_default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set_default(strategy, "rollingUpdate", json!({}));
        set_default(&mut strategy["rollingUpdate"], "partition", 0);
    }
    let retention = "persistentVolumeClaimRetentionPolicy";
    set_default(spec, retention, json!({}));
    set_default(&mut spec[retention], "whenDeleted", "Retain");
    set_default(&mut spec[retention], "whenScaled", "Retain");
    let claims = spec.get_mut("volumeClaimTemplates");
    for claim in claims.and_then(Value::as_array_mut).into_iter().flatten() {
        set_default(claim, "apiVersion", "v1");
        set_default(claim, "kind", "PersistentVolumeClaim");
        super::others::claim(claim);
    }
    template(spec);
}

pub(super) fn daemon_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set_default(strategy, "rollingUpdate", json!({}));
        let rolling = &mut strategy["rollingUpdate"];
        set_default(rolling, "maxUnavailable", 1);
        set_default(rolling, "maxSurge", 0);
    }
    template(spec);
}

pub(super) fn replica_set(object: &mut Value) {
    set_default(&mut object["spec"], "replicas", 1);
    template(&mut object["spec"]);
}

pub(super) fn job(object: &mut Value) {
    let uid = meta_text(object, "uid").to_owned();
    let name = meta_text(object, "name").to_owned();
    let spec = &mut object["spec"];
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set_default(spec, "completions", 1);
    }
    set_default(spec, "parallelism", 1);
    set_default(spec, "backoffLimit", 6);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    set_default(spec, "manualSelector", false);
    set_default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    if spec["manualSelector"] == false && spec["selector"].is_null() && spec["template"].is_object()
    {
        spec["selector"] = json!({ "matchLabels": { JOB_LABELS[0]: uid } });
        if let Some(metadata) = child(&mut spec["template"], "metadata") {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            for (label, value) in JOB_LABELS.iter().zip([&uid, &uid, &name, &name]) {
                labels[*label] = json!(value);
            }
        }
    }
    template(spec);
}

pub(super) fn cron_job(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "concurrencyPolicy", "Allow");
    set_default(spec, "suspend", false);
    set_default(spec, "successfulJobsHistoryLimit", 3);
    set_default(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = spec.pointer_mut("/jobTemplate/spec/template/spec") {
        pod_spec(template);
    }
}

pub(super) fn autoscaler(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "minReplicas", 1);
    set_default(
        spec,
        "metrics",
        json!([{
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } },
        }]),
    );
}
