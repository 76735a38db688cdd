//! Pods to facts. Pure.

use std::time::SystemTime;

use super::wire::{
    ContainerStates, ContainerStatus, PodContainer, RawPod, Terminated, shortened, time,
};
use crate::driver::Termination;
use crate::kube::facts::{ContainerFacts, ContainerState, PodFacts};
use crate::reason;

/// The longest message of the cluster that is kept, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// The most that is kept of what a container left as its last words, in bytes.
const MAX_LAST_WORDS: usize = 256;

/// Exit codes above this are a signal's number more.
const SIGNAL_BASE: i32 = 128;

/// Returns the facts of a pod; usage and probes are not in them.
pub(crate) fn facts(pod: RawPod) -> PodFacts {
    let init = pod.spec.init_containers.iter();
    let init = init.map(|spec| container(spec, &pod.status.init_container_statuses, true));
    let services = pod.spec.containers.iter();
    let services = services.map(|spec| container(spec, &pod.status.container_statuses, false));
    let containers = init.chain(services).collect();
    let condition = |name: &str| {
        let mut conditions = pod.status.conditions.iter();
        conditions.find(|condition| condition.name == name)
    };
    let unschedulable = condition("PodScheduled")
        .filter(|scheduled| scheduled.status == "False")
        .map(|scheduled| match scheduled.message.as_str() {
            "" => scheduled.reason.clone(),
            message => message.to_owned(),
        });
    PodFacts {
        is_ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
        is_deleting: pod.metadata.deletion_timestamp.is_some(),
        unschedulable: shortened(unschedulable.unwrap_or_default(), MAX_MESSAGE),
        created_at: time(pod.metadata.creation_timestamp.as_ref()),
        started_at: time(pod.status.start_time.as_ref()),
        namespace: pod.metadata.namespace.unwrap_or_default(),
        uid: pod.metadata.uid,
        release: pod.metadata.labels.release,
        inputs: pod.metadata.annotations.inputs,
        machine: pod.spec.node_name,
        phase: match pod.status.phase.is_empty() {
            true => "Pending".to_owned(),
            false => pod.status.phase,
        },
        reason: pod.status.reason,
        message: shortened(pod.status.message, MAX_MESSAGE),
        containers,
    }
}

fn container(spec: &PodContainer, all: &[ContainerStatus], is_init: bool) -> ContainerFacts {
    let status = all.iter().find(|status| status.name == spec.name);
    let status = status.cloned().unwrap_or_default();
    let state = state(&status.state);
    let runs = matches!(state, ContainerState::Running { .. });
    // Kubernetes calls an init container that always restarts a sidecar: it is ready like a service.
    let is_sidecar = is_init && spec.restart_policy == "Always";
    let has_ended_well =
        matches!(&state, ContainerState::Ended(termination) if termination.exit_code == 0);
    ContainerFacts {
        name: spec.name.clone(),
        is_init,
        image: image(&spec.image, &status.image_id),
        is_ready: match is_init && !is_sidecar {
            true => has_ended_well,
            false => status.ready,
        },
        is_started: status
            .started
            .unwrap_or_else(|| runs && spec.startup_probe.is_none()),
        restarts: status.restart_count,
        last_termination: status.last_state.terminated.map(termination),
        state,
        probe_message: String::new(),
        memory_bytes: 0,
        cpu_millis: 0,
    }
}

fn state(states: &ContainerStates) -> ContainerState {
    if let Some(running) = &states.running {
        return ContainerState::Running {
            since: time(running.started_at.as_ref()),
        };
    }
    if let Some(terminated) = &states.terminated {
        return ContainerState::Ended(termination(terminated.clone()));
    }
    let waiting = states.waiting.clone().unwrap_or_default();
    ContainerState::Waiting {
        reason: waiting.reason,
        message: shortened(waiting.message, MAX_MESSAGE),
    }
}

/// The image as it was asked for, with the digest of what runs.
fn image(asked: &str, running: &str) -> String {
    match running.rsplit_once('@') {
        Some((_, digest)) if !asked.contains('@') => format!("{asked}@{digest}"),
        Some(_) | None => asked.to_owned(),
    }
}

fn termination(ended: Terminated) -> Termination {
    // Most runtimes tell a signal only by the exit code, as a shell does.
    let signal = match ended.signal {
        0 if (SIGNAL_BASE + 1..=SIGNAL_BASE + 64).contains(&ended.exit_code) => {
            ended.exit_code - SIGNAL_BASE
        }
        signal => signal,
    };
    let (reason, mut message) = match ended.reason.as_str() {
        "OOMKilled" => (
            reason::OUT_OF_MEMORY,
            "used more memory than its limit".to_owned(),
        ),
        "ContainerCannotRun" | "StartError" => {
            (reason::START_FAILED, "could not be started".to_owned())
        }
        "ContainerStatusUnknown" => (
            reason::LOST,
            "ended when its machine was not watching".to_owned(),
        ),
        "DeadlineExceeded" => (
            reason::DEADLINE_EXCEEDED,
            "ran longer than its deadline".to_owned(),
        ),
        _ if signal != 0 => (reason::SIGNALED, format!("ended by signal {signal}")),
        _ => (
            reason::EXITED,
            format!("exited with code {}", ended.exit_code),
        ),
    };
    let last_words = last_words(ended.message.trim());
    if !last_words.is_empty() {
        message = format!("{message}: {last_words}");
    }
    let finished_at = time(ended.finished_at.as_ref()).or_else(|| time(ended.started_at.as_ref()));
    Termination {
        exit_code: ended.exit_code,
        signal,
        reason: reason.to_owned(),
        message,
        finished_at: finished_at.unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// The end of what a container said: where that is its log, the cause stands there.
fn last_words(text: &str) -> String {
    let start = text.len().saturating_sub(MAX_LAST_WORDS);
    match text.ceil_char_boundary(start) {
        0 => text.to_owned(),
        start => format!("…{}", &text[start..]),
    }
}

#[cfg(test)]
mod tests;
