//! The status of a pod, in the words of the kubelet.

use serde_json::{Value, json};

use super::container::{Container, Ended, State};
use super::image;
use super::pod::PodState;
use crate::controllers::machine;
use crate::controllers::view::{Said, items, now, stamp, text, with_condition};

pub(super) fn of(state: &PodState, pod: &Value) -> Value {
    let init_specs = items(pod, "/spec/initContainers");
    let specs = items(pod, "/spec/containers");
    let phase = phase(state, pod);
    let host = machine::address(text(pod, "/spec/nodeName"));
    let mut status = json!({
        "phase": phase,
        "hostIP": host,
        "hostIPs": [{ "ip": host }],
        "startTime": stamp(state.started),
        "qosClass": quality(specs),
        "conditions": conditions(state, pod, phase),
    });
    if let Some(message) = &state.eviction {
        status["reason"] = "Evicted".into();
        status["message"] = message.as_str().into();
    }
    let is_up = phase == "Running" || !state.init.is_empty();
    if is_up {
        status["podIP"] = state.address.as_str().into();
        status["podIPs"] = json!([{ "ip": state.address }]);
    }
    let list = |containers: &[Container], specs: &[Value], is_init: bool| -> Vec<Value> {
        let pairs = containers.iter().zip(specs);
        pairs
            .map(|(container, spec)| entry(container, spec, pod, is_init))
            .collect()
    };
    if !init_specs.is_empty() {
        status["initContainerStatuses"] = list(&state.init, init_specs, true).into();
    }
    status["containerStatuses"] = list(&state.containers, specs, false).into();
    status
}

fn phase(state: &PodState, pod: &Value) -> &'static str {
    if state.eviction.is_some() {
        return "Failed";
    }
    let policy = text(pod, "/spec/restartPolicy");
    for container in &state.init {
        match container.end() {
            Some(end) if end.code == 0 => {}
            Some(_) if policy == "Never" => return "Failed",
            _ => return "Pending",
        }
    }
    let (mut waiting, mut running, mut stopped, mut good) = (0, 0, 0, 0);
    for container in &state.containers {
        match &container.state {
            State::Waiting { .. } if container.last.is_none() => waiting += 1,
            State::Waiting { .. } => stopped += 1,
            State::Running(_) => running += 1,
            State::Ended(end) => {
                stopped += 1;
                good += u32::from(end.code == 0);
            }
        }
    }
    match policy {
        _ if waiting > 0 => "Pending",
        _ if running > 0 => "Running",
        "Never" | "OnFailure" if stopped == good => "Succeeded",
        "Never" => "Failed",
        _ => "Running",
    }
}

fn conditions(state: &PodState, pod: &Value, phase: &str) -> Vec<Value> {
    let mut conditions = items(pod, "/status/conditions").to_vec();
    let unready: Vec<&str> = state
        .containers
        .iter()
        .zip(items(pod, "/spec/containers"))
        .filter(|(container, _)| !container.is_ready)
        .map(|(_, spec)| text(spec, "/name"))
        .collect();
    let incomplete: Vec<&str> = state
        .init
        .iter()
        .zip(items(pod, "/spec/initContainers"))
        .filter(|(container, _)| container.end().is_none_or(|end| end.code != 0))
        .map(|(_, spec)| text(spec, "/name"))
        .collect();
    let (reason, message) = match phase {
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            ("ContainersNotReady", message)
        }
    };
    let is_ready = unready.is_empty() && phase == "Running";
    let (initialised, not_initialised) = (
        incomplete.is_empty(),
        format!(
            "containers with incomplete status: [{}]",
            incomplete.join(" ")
        ),
    );
    let is_up = phase != "Pending" || state.init.iter().any(|one| one.end().is_some());
    let said = [
        ("PodReadyToStartContainers", is_up, "", ""),
        (
            "Initialized",
            initialised,
            "ContainersNotInitialized",
            not_initialised.as_str(),
        ),
        ("Ready", is_ready, reason, message.as_str()),
        ("ContainersReady", is_ready, reason, message.as_str()),
        ("PodScheduled", true, "", ""),
    ];
    for (kind, is_true, reason, message) in said {
        let said = Said {
            kind,
            is_true,
            reason: if is_true { "" } else { reason },
            message: if is_true { "" } else { message },
        };
        with_condition(&mut conditions, &said, &now());
    }
    conditions
}

fn entry(container: &Container, spec: &Value, pod: &Value, is_init: bool) -> Value {
    let own = text(spec, "/name");
    let image_name = text(spec, "/image");
    let has_run = !matches!(container.state, State::Waiting { .. }) || container.last.is_some();
    let id = format!(
        "containerd://{}-{own}-{}",
        text(pod, "/metadata/uid"),
        container.restarts
    );
    let is_ready = if is_init {
        container.end().is_some_and(|end| end.code == 0)
    } else {
        container.is_ready
    };
    let state = match &container.state {
        State::Waiting { reason, message } if message.is_empty() => {
            json!({ "waiting": { "reason": reason } })
        }
        State::Waiting { reason, message } => {
            json!({ "waiting": { "reason": reason, "message": message } })
        }
        State::Running(running) => json!({ "running": { "startedAt": stamp(running.since) } }),
        State::Ended(ended) => json!({ "terminated": terminated(ended, &id) }),
    };
    json!({
        "name": own,
        "image": image_name,
        "imageID": if has_run { image::id(image_name) } else { String::new() },
        "containerID": if has_run { id.as_str() } else { "" },
        "ready": is_ready,
        "started": container.is_running() && container.is_started,
        "restartCount": container.restarts,
        "state": state,
        "lastState": match &container.last {
            Some(ended) => json!({ "terminated": terminated(ended, &id) }),
            None => json!({}),
        },
    })
}

fn terminated(ended: &Ended, id: &str) -> Value {
    let mut entry = json!({
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": stamp(ended.since),
        "finishedAt": stamp(ended.at),
        "containerID": id,
    });
    if !ended.message.is_empty() {
        entry["message"] = ended.message.as_str().into();
    }
    entry
}

/// How much the containers of a pod are sure to get.
fn quality(specs: &[Value]) -> &'static str {
    let of = |spec: &Value, field: &str| {
        let values = spec.pointer(&format!("/resources/{field}"));
        values.cloned().filter(|values| values != &json!({}))
    };
    let has = |field: &str| specs.iter().any(|spec| of(spec, field).is_some());
    if !has("limits") && !has("requests") {
        return "BestEffort";
    }
    let is_sure = specs.iter().all(|spec| {
        let limits = of(spec, "limits");
        let is_whole = limits
            .as_ref()
            .is_some_and(|limits| limits.get("cpu").is_some() && limits.get("memory").is_some());
        is_whole && of(spec, "requests").is_none_or(|requests| Some(requests) == limits)
    });
    if is_sure { "Guaranteed" } else { "Burstable" }
}
