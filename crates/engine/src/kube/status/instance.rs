//! Pods as instances, with their containers.

use baetyl_proto::resource::v1 as pb;
use pb::InstanceState;

use crate::driver::Termination;
use crate::kube::facts::{ContainerFacts, ContainerState, PodFacts};
use crate::kube::health::{Trouble, inspect, pod_name};
use crate::kube::plan::Situation;
use crate::reason;
use crate::status::timestamp;

/// Every pod, sorted by name.
pub(super) fn all(situation: &Situation<'_>) -> Vec<pb::InstanceStatus> {
    let pods = situation.facts.pods.iter().zip(0..);
    pods.map(|((name, pod), index)| instance(situation, name, pod, index))
        .collect()
}

fn instance(
    situation: &Situation<'_>,
    name: &str,
    pod: &PodFacts,
    index: u32,
) -> pb::InstanceStatus {
    let specs = [situation.serving, situation.candidate].into_iter();
    let is_job = specs.flatten().any(|spec| spec.is_job());
    let trouble = match pod.is_deleting {
        true => None,
        false => inspect(pod_name(name), pod, situation.facts, is_job).trouble,
    };
    let last = pod
        .containers
        .iter()
        .filter_map(|one| one.last_termination.as_ref());
    let last = last.max_by_key(|last| last.finished_at);
    let state = state(pod, trouble.as_ref());
    let trouble = trouble.filter(|trouble| trouble.is_problem());
    let sum = |count: fn(&ContainerFacts) -> u64| pod.containers.iter().map(count).sum();
    pb::InstanceStatus {
        id: name.to_owned(),
        service: String::new(),
        index,
        state: state.into(),
        reason: trouble
            .as_ref()
            .map(|one| one.reason.to_owned())
            .unwrap_or_default(),
        message: trouble.map(|one| one.message).unwrap_or_default(),
        start_time: pod.started_at.map(timestamp),
        restart_count: pod.containers.iter().map(|one| one.restarts).sum(),
        last_termination: last.map(termination),
        memory_bytes: sum(|container| container.memory_bytes),
        revision: revision(situation, pod),
        machine: pod.machine.clone(),
        containers: pod.containers.iter().map(container).collect(),
        cpu_millis: sum(|container| container.cpu_millis),
        ..pb::InstanceStatus::default()
    }
}

/// The revision that a pod belongs to; 0 when that is none of those that are known.
fn revision(situation: &Situation<'_>, pod: &PodFacts) -> u64 {
    let record = situation.record;
    if pod.release.is_empty() {
        // Pods of raw objects do not say.
        let candidate = record.candidate.as_ref();
        let newer = candidate.filter(|one| !one.older_pods.contains(&pod.uid));
        let release = newer.map(|one| &one.release).or(record.serving.as_ref());
        return release.map_or(0, |release| release.pin.revision);
    }
    let releases: Vec<_> = record.releases().collect();
    let own = releases.iter().rev().find(|one| one.label == pod.release);
    own.map_or(0, |release| release.pin.revision)
}

fn state(pod: &PodFacts, trouble: Option<&Trouble>) -> InstanceState {
    if pod.is_deleting {
        return InstanceState::Stopping;
    }
    if matches!(pod.phase.as_str(), "Succeeded" | "Failed") {
        return InstanceState::Exited;
    }
    if pod.is_ready {
        return InstanceState::Ready;
    }
    let mut containers = pod.containers.iter().map(state_of);
    if containers.any(|state| state == InstanceState::BackingOff) {
        return InstanceState::BackingOff;
    }
    match trouble.map(|trouble| trouble.reason) {
        Some(reason::PROBE_FAILED) => InstanceState::Unready,
        Some(_) | None => InstanceState::Starting,
    }
}

fn state_of(container: &ContainerFacts) -> InstanceState {
    match &container.state {
        ContainerState::Waiting { reason, .. } if reason.ends_with("BackOff") => {
            InstanceState::BackingOff
        }
        ContainerState::Waiting { .. } => InstanceState::Starting,
        ContainerState::Running { .. } if container.is_ready => InstanceState::Ready,
        ContainerState::Running { .. } if !container.probe_message.is_empty() => {
            InstanceState::Unready
        }
        ContainerState::Running { .. } => InstanceState::Starting,
        ContainerState::Ended(_) => InstanceState::Exited,
    }
}

fn container(container: &ContainerFacts) -> pb::ContainerStatus {
    let (reason, message, since) = match &container.state {
        ContainerState::Waiting { reason, message } => {
            let (word, message) = held_back(container, reason, message);
            (word.to_owned(), message, None)
        }
        ContainerState::Running { since } if container.probe_message.is_empty() => {
            (String::new(), String::new(), *since)
        }
        ContainerState::Running { since } => {
            let message = container.probe_message.clone();
            (reason::PROBE_FAILED.to_owned(), message, *since)
        }
        ContainerState::Ended(end) if end.exit_code == 0 => (String::new(), String::new(), None),
        ContainerState::Ended(end) => (end.reason.clone(), end.message.clone(), None),
    };
    let ended = match &container.state {
        ContainerState::Ended(end) => Some(end),
        ContainerState::Waiting { .. } | ContainerState::Running { .. } => None,
    };
    pb::ContainerStatus {
        service: container.name.clone(),
        state: state_of(container).into(),
        reason,
        message,
        image: container.image.clone(),
        restart_count: container.restarts,
        last_termination: ended
            .or(container.last_termination.as_ref())
            .map(termination),
        start_time: since.map(timestamp),
        is_init: container.is_init,
        memory_bytes: container.memory_bytes,
        cpu_millis: container.cpu_millis,
    }
}

/// Why the kubelet holds a container back.
fn held_back(container: &ContainerFacts, word: &str, message: &str) -> (&'static str, String) {
    let reason = crate::kube::health::reason_of(container, word);
    let last = container.last_termination.as_ref();
    let is_loop = word == "CrashLoopBackOff";
    let message = match last.filter(|_| is_loop) {
        Some(last) => last.message.clone(),
        None if reason == reason::STARTING => String::new(),
        None => message.to_owned(),
    };
    match reason {
        reason::STARTING => ("", message),
        reason => (reason, message),
    }
}

fn termination(last: &Termination) -> pb::Termination {
    pb::Termination {
        exit_code: last.exit_code,
        signal: last.signal,
        reason: last.reason.clone(),
        finish_time: Some(timestamp(last.finished_at)),
    }
}
