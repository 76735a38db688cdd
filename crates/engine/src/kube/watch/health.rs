//! What the status of an object says of its health, by kind. Pure.
//!
//! The workloads of Kubernetes are judged by their counts and conditions; what this page does not
//! know is judged by the conventions that controllers share: `observedGeneration`, and conditions
//! that say that it is ready.

use serde_json::Value;

use super::kinds::group;
use super::pod::MAX_MESSAGE;
use super::wire::{Condition, shortened};
use crate::kube::facts::{Health, KindName};
use crate::reason;

/// One object's generation, spec and status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) generation: i64,
    pub(crate) spec: &'a Value,
    pub(crate) status: &'a Value,
}

/// Says how an object is.
pub(crate) fn judge(kind: &KindName, situation: Situation<'_>) -> Health {
    let (group, kind) = (group(&kind.0), kind.1.as_str());
    match (group, kind) {
        // Its metrics may be missing; its target runs all the same. A cron job waits for its time.
        ("autoscaling", "HorizontalPodAutoscaler") | ("batch", "CronJob") => Health::Ready,
        ("" | "networking.k8s.io", "Endpoints" | "Ingress") => Health::Ready,
        ("batch", "Job") => job(situation),
        ("", "Service") => service(situation),
        ("", "PersistentVolumeClaim") => claim(situation),
        ("", "Namespace") => namespace(situation),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(situation),
        _ if is_behind(situation) => unseen(),
        ("apps", "Deployment") => deployment(situation),
        ("apps", "StatefulSet") => stateful_set(situation),
        ("apps", "DaemonSet") => daemon_set(situation),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replica_set(situation),
        _ => custom(situation),
    }
}

/// Whether the status is about an older generation.
fn is_behind(situation: Situation<'_>) -> bool {
    let observed = situation.status["observedGeneration"].as_i64();
    observed.is_some_and(|observed| observed < situation.generation)
}

fn unseen() -> Health {
    progressing("its controller has not looked at it yet")
}

fn progressing(message: impl Into<String>) -> Health {
    Health::Progressing {
        message: shortened(message.into(), MAX_MESSAGE),
    }
}

fn failed(reason: &'static str, message: impl Into<String>) -> Health {
    Health::Failed {
        reason,
        message: shortened(message.into(), MAX_MESSAGE),
    }
}

fn count(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or(0)
}

/// What a workload was asked for: one when nothing is said.
fn wanted(situation: Situation<'_>) -> i64 {
    situation.spec["replicas"].as_i64().unwrap_or(1)
}

/// The condition of a name, as it is written.
fn written<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let mut all = status["conditions"].as_array()?.iter();
    all.find(|condition| condition["type"].as_str() == Some(name))
}

/// Whoever defines a kind may write what he likes into its conditions.
fn read(written: &Value) -> Condition {
    let text = |name: &str| written[name].as_str().unwrap_or_default().to_owned();
    Condition {
        name: text("type"),
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        last_transition_time: None,
    }
}

fn condition(status: &Value, name: &str) -> Option<Condition> {
    written(status, name).map(read)
}

fn holding(status: &Value, name: &str) -> Option<Condition> {
    condition(status, name).filter(|condition| condition.status == "True")
}

/// What a condition says, for people.
fn sentence(condition: &Condition) -> String {
    match (condition.reason.as_str(), condition.message.as_str()) {
        ("", "") => format!("{} is {}", condition.name, condition.status),
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

fn deployment(situation: Situation<'_>) -> Health {
    let (status, wanted) = (situation.status, wanted(situation));
    if status["observedGeneration"].is_null() {
        return unseen();
    }
    let updated = count(status, "updatedReplicas");
    let left = count(status, "replicas") - updated;
    let available = count(status, "availableReplicas");
    if updated >= wanted && left <= 0 && available >= wanted {
        return Health::Ready;
    }
    if let Some(refused) = holding(status, "ReplicaFailure") {
        return refusal(&refused);
    }
    let late = condition(status, "Progressing");
    if let Some(late) = late.filter(|late| late.reason == "ProgressDeadlineExceeded") {
        return failed(reason::DEADLINE_EXCEEDED, late.message);
    }
    if updated < wanted {
        return progressing(format!("{updated} of {wanted} pods are of the newest spec"));
    }
    if left > 0 {
        return progressing(format!("{left} pods of the previous spec are left"));
    }
    progressing(format!("{available} of {wanted} pods are available"))
}

/// What admission says when it will say so again. Other refusals may pass by themselves, such as a
/// service account that is not there yet.
const DENIALS: [&str; 2] = ["violates PodSecurity", "denied the request"];

/// The cluster refuses to make pods.
fn refusal(refused: &Condition) -> Health {
    if refused.message.contains("exceeded quota") {
        return failed(reason::QUOTA_EXCEEDED, &*refused.message);
    }
    if DENIALS.iter().any(|words| refused.message.contains(words)) {
        return failed(reason::FORBIDDEN, &*refused.message);
    }
    progressing(sentence(refused))
}

fn stateful_set(situation: Situation<'_>) -> Health {
    let (status, wanted) = (situation.status, wanted(situation));
    if status["observedGeneration"].is_null() {
        return unseen();
    }
    let ready = count(status, "readyReplicas");
    let available = status["availableReplicas"].as_i64().unwrap_or(ready);
    let updated = count(status, "updatedReplicas");
    let strategy = &situation.spec["updateStrategy"];
    let kept = strategy["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    let is_rolling = strategy["type"].as_str() != Some("OnDelete");
    let of_newest = (wanted - kept).max(0);
    if count(status, "replicas") < wanted || available < wanted {
        let some = available.min(wanted);
        return progressing(format!("{some} of {wanted} pods are available"));
    }
    if is_rolling && updated < of_newest {
        return progressing(format!(
            "{updated} of {of_newest} pods are of the newest spec"
        ));
    }
    if is_rolling && kept == 0 && status["updateRevision"] != status["currentRevision"] {
        return progressing("pods of the previous spec are left");
    }
    let surplus = count(status, "replicas") - wanted;
    if surplus > 0 {
        return progressing(format!("{surplus} pods too many are left"));
    }
    Health::Ready
}

fn daemon_set(situation: Situation<'_>) -> Health {
    let status = situation.status;
    if status["observedGeneration"].is_null() {
        return unseen();
    }
    let wanted = count(status, "desiredNumberScheduled");
    let updated = count(status, "updatedNumberScheduled");
    let available = count(status, "numberAvailable");
    let is_rolling = situation.spec["updateStrategy"]["type"].as_str() != Some("OnDelete");
    if is_rolling && updated < wanted {
        return progressing(format!(
            "pods on {updated} of {wanted} machines are of the newest spec"
        ));
    }
    if available < wanted {
        return progressing(format!(
            "pods on {available} of {wanted} machines are available"
        ));
    }
    Health::Ready
}

fn replica_set(situation: Situation<'_>) -> Health {
    let (available, wanted) = (
        count(situation.status, "availableReplicas"),
        wanted(situation),
    );
    if available >= wanted {
        return Health::Ready;
    }
    match holding(situation.status, "ReplicaFailure") {
        Some(refused) => refusal(&refused),
        None => progressing(format!("{available} of {wanted} pods are available")),
    }
}

fn job(situation: Situation<'_>) -> Health {
    let status = situation.status;
    if holding(status, "Complete").is_some() {
        return Health::Completed;
    }
    if let Some(end) = holding(status, "Failed") {
        let reason = match end.reason.as_str() {
            "DeadlineExceeded" => reason::DEADLINE_EXCEEDED,
            _ => reason::JOB_FAILED,
        };
        return failed(reason, sentence(&end));
    }
    if holding(status, "Suspended").is_some() {
        return progressing("it is suspended");
    }
    let (active, done) = (count(status, "active"), count(status, "succeeded"));
    match count(status, "failed") {
        0 => progressing(format!("{active} pods run, {done} have ended well")),
        failed => progressing(format!(
            "{active} pods run, {done} have ended well, {failed} have failed"
        )),
    }
}

fn service(situation: Situation<'_>) -> Health {
    let is_balanced = situation.spec["type"].as_str() == Some("LoadBalancer");
    let given = situation.status["loadBalancer"]["ingress"].as_array();
    if is_balanced && given.is_none_or(Vec::is_empty) {
        return progressing("it waits for an address of the load balancer");
    }
    Health::Ready
}

fn claim(situation: Situation<'_>) -> Health {
    match situation.status["phase"].as_str() {
        Some("Bound") => Health::Ready,
        Some("Lost") => failed(reason::STORAGE_FAILED, "its volume is lost"),
        Some(_) | None => progressing("it waits for a volume"),
    }
}

fn namespace(situation: Situation<'_>) -> Health {
    match situation.status["phase"].as_str() {
        Some("Terminating") => progressing("it is being deleted"),
        Some(_) | None => Health::Ready,
    }
}

fn definition(situation: Situation<'_>) -> Health {
    let status = situation.status;
    let names = condition(status, "NamesAccepted");
    if let Some(names) = names.filter(|names| names.status == "False") {
        return failed(reason::INVALID_OBJECT, sentence(&names));
    }
    match condition(status, "Established") {
        Some(established) if established.status == "True" => Health::Ready,
        Some(_) | None => progressing("its resources are not served yet"),
    }
}

/// Conditions by which controllers say that something works, the plainest first.
const GOOD: [&str; 5] = ["Ready", "Available", "Healthy", "Established", "Succeeded"];

/// Conditions by which controllers say that they have given up.
const BAD: [&str; 2] = ["Stalled", "Failed"];

fn custom(situation: Situation<'_>) -> Health {
    let status = situation.status;
    if let Some(end) = BAD.iter().find_map(|name| holding(status, name)) {
        return failed(reason::OBJECT_FAILED, sentence(&end));
    }
    if let Some(work) = holding(status, "Reconciling") {
        return progressing(sentence(&work));
    }
    let Some(raw) = GOOD.iter().find_map(|name| written(status, name)) else {
        return Health::Ready;
    };
    let observed = raw["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| observed < situation.generation) {
        return unseen();
    }
    let condition = read(raw);
    match condition.status.as_str() {
        "True" => Health::Ready,
        _ => progressing(sentence(&condition)),
    }
}

#[cfg(test)]
mod tests;
