//! Workloads.

use serde_json::{Value, json};

use super::{metadata, not_negative, one_of, pod};
use crate::object::{fields, items, text};
use crate::refusal::Cause;
use crate::selector::LabelSelector;

/// The template of pods, and the policy of restarts that it may have.
fn template(spec: &Value, path: &str, policies: &[&str], causes: &mut Vec<Cause>) {
    let template = &spec["template"];
    let at = format!("{path}.template");
    let labels = format!("{at}.metadata.labels");
    metadata::labels(template, &labels, "/metadata/labels", causes);
    pod::check(&template["spec"], &format!("{at}.spec"), causes);
    one_of(
        &template["spec"],
        "restartPolicy",
        policies,
        &format!("{at}.spec"),
        causes,
    );
}

/// A workload that keeps pods running and finds them by a selector.
pub(super) fn selecting(spec: &Value, causes: &mut Vec<Cause>) {
    not_negative(spec, "replicas", "spec", causes);
    not_negative(spec, "minReadySeconds", "spec", causes);
    not_negative(spec, "revisionHistoryLimit", "spec", causes);
    metadata::labels(
        spec,
        "spec.selector.matchLabels",
        "/selector/matchLabels",
        causes,
    );
    let selector = &spec["selector"];
    let is_empty = fields(selector, "/matchLabels").next().is_none()
        && items(selector, "/matchExpressions").is_empty();
    if selector.is_object() && is_empty {
        let detail = "empty selector is invalid for deployment";
        causes.push(Cause::invalid("spec.selector", selector, detail));
    } else if selector.is_object() {
        let labels = &spec["template"]["metadata"]["labels"];
        if !LabelSelector::of_object(selector).matches_labels(labels) {
            let found = if labels.is_null() { &json!({}) } else { labels };
            let detail = "`selector` does not match template `labels`";
            causes.push(Cause::invalid(
                "spec.template.metadata.labels",
                found,
                detail,
            ));
        }
    }
    template(spec, "spec", &["Always"], causes);
}

pub(super) fn deployment(spec: &Value, causes: &mut Vec<Cause>) {
    selecting(spec, causes);
    let strategy = &spec["strategy"];
    let path = "spec.strategy";
    one_of(
        strategy,
        "type",
        &["Recreate", "RollingUpdate"],
        path,
        causes,
    );
    let rolling = &strategy["rollingUpdate"];
    if strategy["type"] == "Recreate" && rolling.is_object() {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden(format!("{path}.rollingUpdate"), detail));
    } else if rolling.is_object() {
        let path = format!("{path}.rollingUpdate");
        for field in ["maxUnavailable", "maxSurge"] {
            share(rolling, field, &path, causes);
        }
        let is_zero = |field: &str| rolling[field] == 0 || rolling[field] == "0%";
        if is_zero("maxUnavailable") && is_zero("maxSurge") {
            let field = format!("{path}.maxUnavailable");
            let value = &rolling["maxUnavailable"];
            let detail = "may not be 0 when `maxSurge` is 0";
            causes.push(Cause::invalid(field, value, detail));
        }
    }
    let deadline = spec["progressDeadlineSeconds"].as_i64();
    let soak = spec["minReadySeconds"].as_i64().unwrap_or(0);
    if deadline.is_some_and(|deadline| deadline <= soak) {
        let field = "spec.progressDeadlineSeconds";
        let detail = "must be greater than minReadySeconds";
        causes.push(Cause::invalid(
            field,
            &spec["progressDeadlineSeconds"],
            detail,
        ));
    }
}

/// A number, or a share such as `25%`.
fn share(parent: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    not_negative(parent, field, path, causes);
    let Some(word) = parent[field].as_str() else {
        return;
    };
    let number = word.strip_suffix('%').map(str::parse::<u32>);
    if !matches!(number, Some(Ok(_))) {
        let detail = "a valid percent string must be a numeric string followed by an ending '%' \
                      (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
        causes.push(Cause::invalid(
            format!("{path}.{field}"),
            &parent[field],
            detail,
        ));
    }
}

pub(super) fn stateful_set(spec: &Value, causes: &mut Vec<Cause>) {
    // Each pod gets its claims as volumes, which the template names where they are mounted only.
    let mut whole = spec.clone();
    let mut volumes = items(spec, "/template/spec/volumes").to_vec();
    for claim in items(spec, "/volumeClaimTemplates") {
        let name = text(claim, "/metadata/name");
        if !volumes.iter().any(|volume| volume["name"] == name) {
            volumes.push(json!({ "name": name, "emptyDir": {} }));
        }
    }
    if !volumes.is_empty() {
        whole["template"]["spec"]["volumes"] = volumes.into();
    }
    selecting(&whole, causes);
    let policies = ["OrderedReady", "Parallel"];
    one_of(spec, "podManagementPolicy", &policies, "spec", causes);
    let strategy = &spec["updateStrategy"];
    let kinds = ["OnDelete", "RollingUpdate"];
    one_of(strategy, "type", &kinds, "spec.updateStrategy", causes);
    for (index, claim) in items(spec, "/volumeClaimTemplates").iter().enumerate() {
        let path = format!("spec.volumeClaimTemplates[{index}].spec");
        super::others::claim(&claim["spec"], &path, causes);
    }
}

pub(super) fn job(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        not_negative(spec, field, path, causes);
    }
    let modes = ["NonIndexed", "Indexed"];
    one_of(spec, "completionMode", &modes, path, causes);
    template(spec, path, &["OnFailure", "Never"], causes);
}

pub(super) fn cron_job(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let schedule = text(spec, "/schedule");
    let count = schedule.split_whitespace().count();
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if !schedule.starts_with('@') && count != 5 {
        let words: Vec<_> = schedule.split_whitespace().collect();
        let detail = format!(
            "expected exactly 5 fields, found {count}: [{}]",
            words.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", &spec["schedule"], &detail));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    one_of(spec, "concurrencyPolicy", &policies, "spec", causes);
    not_negative(spec, "startingDeadlineSeconds", "spec", causes);
    not_negative(spec, "successfulJobsHistoryLimit", "spec", causes);
    not_negative(spec, "failedJobsHistoryLimit", "spec", causes);
    job(
        &spec["jobTemplate"]["spec"],
        "spec.jobTemplate.spec",
        causes,
    );
}

pub(super) fn autoscaler(spec: &Value, causes: &mut Vec<Cause>) {
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    let mut invalid = |field: &str, detail: &str| {
        let value = &spec[field];
        causes.push(Cause::invalid(format!("spec.{field}"), value, detail));
    };
    if least < 1 {
        invalid("minReplicas", "must be greater than or equal to 1");
    }
    if most < 1 {
        invalid("maxReplicas", "must be greater than 0");
    } else if most < least {
        invalid(
            "maxReplicas",
            "must be greater than or equal to `minReplicas`",
        );
    }
}
