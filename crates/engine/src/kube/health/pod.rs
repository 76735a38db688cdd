//! What is the matter with a pod.

use super::{Subject, Trouble, pod_name};
use crate::driver::Termination;
use crate::kube::facts::{AppFacts, ContainerFacts, ContainerState, PodFacts};
use crate::reason;

/// After so many restarts a crash loop is one.
const LOOP_RESTARTS: u32 = 2;

/// What was found about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kube) struct Found {
    /// What is the matter; `None` when it is ready or done.
    pub(in crate::kube) trouble: Option<Trouble>,
    /// Whether that lasts.
    is_lasting: bool,
    /// Whether one of its services has run.
    pub(in crate::kube) has_started: bool,
}

impl Found {
    /// What lasts.
    pub(super) fn doom(&self) -> Option<Trouble> {
        self.trouble.clone().filter(|_| self.is_lasting)
    }
}

/// Looks at a pod of a release.
pub(super) fn look(name: &str, pod: &PodFacts, subject: &Subject<'_>) -> Found {
    inspect(pod_name(name), pod, subject.facts, subject.spec.is_job())
}

/// Looks at a pod. In a job a container that ends badly is its controller's business.
pub(in crate::kube) fn inspect(
    name: &str,
    pod: &PodFacts,
    facts: &AppFacts,
    is_job: bool,
) -> Found {
    let has_started = pod.containers.iter().any(|container| {
        !container.is_init && !matches!(container.state, ContainerState::Waiting { .. })
    }) || matches!(pod.phase.as_str(), "Succeeded" | "Failed");
    let (trouble, is_lasting) = match trouble(name, pod, facts, is_job) {
        Some(ailment) => (Some(ailment.trouble), ailment.is_lasting),
        None => (None, false),
    };
    Found {
        trouble,
        is_lasting,
        has_started,
    }
}

struct Ailment {
    trouble: Trouble,
    is_lasting: bool,
}

impl Ailment {
    fn lasting(reason: &'static str, message: String) -> Self {
        Self {
            trouble: Trouble { reason, message },
            is_lasting: true,
        }
    }

    fn passing(reason: &'static str, message: String) -> Self {
        Self {
            trouble: Trouble { reason, message },
            is_lasting: false,
        }
    }
}

fn trouble(name: &str, pod: &PodFacts, facts: &AppFacts, is_job: bool) -> Option<Ailment> {
    if pod.is_ready || pod.phase == "Succeeded" {
        return None;
    }
    if !pod.unschedulable.is_empty() {
        let message = format!("no machine for pod {name}: {}", pod.unschedulable);
        return Some(Ailment::passing(reason::UNSCHEDULABLE, message));
    }
    if pod.phase == "Failed" {
        return failed(name, pod, is_job);
    }
    let ailments = pod
        .containers
        .iter()
        .filter_map(|container| ailment(name, container, facts, is_job));
    let worst = ailments.reduce(|worst, other| {
        let rank = |ailment: &Ailment| (ailment.is_lasting, ailment.trouble.is_problem());
        if rank(&other) > rank(&worst) {
            other
        } else {
            worst
        }
    });
    let is_starting = worst
        .as_ref()
        .is_none_or(|worst| worst.trouble.reason == reason::STARTING);
    if is_starting && let Some(message) = event(name, facts, &["FailedMount", "FailedAttachVolume"])
    {
        let message = format!("a volume of pod {name} is not there: {message}");
        return Some(Ailment::passing(reason::VOLUME_UNAVAILABLE, message));
    }
    worst.or_else(|| {
        let message = format!("pod {name} is being started");
        Some(Ailment::passing(reason::STARTING, message))
    })
}

/// A pod that ended as a whole; its controller makes another one.
fn failed(name: &str, pod: &PodFacts, is_job: bool) -> Option<Ailment> {
    if is_job {
        return None;
    }
    let detail = match (pod.reason.as_str(), pod.message.as_str()) {
        ("", "") => {
            last_of(pod).map_or_else(|| "it failed".to_owned(), |last| last.message.clone())
        }
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    };
    let reason = match pod.reason.as_str() {
        "" => last_of(pod).map_or(reason::EXITED, |last| reason::known(&last.reason)),
        _ => reason::EVICTED,
    };
    Some(Ailment::passing(
        reason,
        format!("pod {name} ended: {detail}"),
    ))
}

fn last_of(pod: &PodFacts) -> Option<&Termination> {
    pod.containers
        .iter()
        .find_map(|container| match &container.state {
            ContainerState::Ended(termination) if termination.exit_code != 0 => Some(termination),
            ContainerState::Ended(_)
            | ContainerState::Waiting { .. }
            | ContainerState::Running { .. } => None,
        })
}

fn ailment(
    pod: &str,
    container: &ContainerFacts,
    facts: &AppFacts,
    is_job: bool,
) -> Option<Ailment> {
    let name = &container.name;
    let said = |message: &str| format!("service {name} in pod {pod}: {message}");
    match &container.state {
        ContainerState::Waiting { reason, message } => {
            waiting(pod, container, facts, (reason, message), is_job)
        }
        ContainerState::Ended(end) if end.exit_code == 0 && (container.is_init || is_job) => None,
        ContainerState::Ended(_) if is_job => None,
        ContainerState::Ended(end) => Some(Ailment::passing(
            reason::known(&end.reason),
            said(&end.message),
        )),
        ContainerState::Running { .. } if container.is_ready => None,
        ContainerState::Running { .. } => {
            if !container.probe_message.is_empty() {
                let message = said(&container.probe_message);
                return Some(Ailment::passing(reason::PROBE_FAILED, message));
            }
            match &container.last_termination {
                Some(last) if container.restarts > 0 && !is_job => Some(Ailment::passing(
                    reason::known(&last.reason),
                    said(&last.message),
                )),
                Some(_) | None => Some(Ailment::passing(
                    reason::WAITING_FOR_READY,
                    said("it is not ready yet"),
                )),
            }
        }
    }
}

/// A container that the kubelet holds back; `why` is its word and sentence.
fn waiting(
    pod: &str,
    container: &ContainerFacts,
    facts: &AppFacts,
    why: (&str, &str),
    is_job: bool,
) -> Option<Ailment> {
    let (word, message) = why;
    let name = &container.name;
    let said = |message: &str| match message {
        "" => format!("service {name} in pod {pod}: {word}"),
        message => format!("service {name} in pod {pod}: {message}"),
    };
    Some(match (word, reason_of(container, word)) {
        ("CrashLoopBackOff", _) if is_job => return None,
        ("CrashLoopBackOff", _) => looping(pod, container, facts),
        ("ImagePullBackOff", reason) => {
            // The back-off itself says less than the attempt that failed.
            let failed = event(pod, facts, &["Failed"]).filter(|text| text.contains("image"));
            let message = failed.unwrap_or_else(|| message.to_owned());
            Ailment::lasting(reason, said(&message))
        }
        ("ErrImageNeverPull", reason)
        | (_, reason @ (reason::IMAGE_INVALID | reason::CONFIG_ERROR)) => {
            Ailment::lasting(reason, said(message))
        }
        (_, reason::STARTING) => {
            let message = format!("pod {pod} is being started");
            Ailment::passing(reason::STARTING, message)
        }
        (_, reason) => Ailment::passing(reason, said(message)),
    })
}

/// What the kubelet's word for holding a container back means.
pub(in crate::kube) fn reason_of(container: &ContainerFacts, word: &str) -> &'static str {
    match word {
        "InvalidImageName" => reason::IMAGE_INVALID,
        "ErrImageNeverPull"
        | "ImagePullBackOff"
        | "ErrImagePull"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => reason::IMAGE_PULL_FAILED,
        "CreateContainerConfigError" | "CreateContainerError" => reason::CONFIG_ERROR,
        "RunContainerError" | "PreCreateHookError" | "PreStartHookError" | "PostStartHookError" => {
            reason::START_FAILED
        }
        "CrashLoopBackOff" => {
            let last = container.last_termination.as_ref();
            match last.map_or(reason::EXITED, |last| reason::known(&last.reason)) {
                reason::OUT_OF_MEMORY => reason::OUT_OF_MEMORY,
                last if container.restarts < LOOP_RESTARTS => last,
                _ => reason::CRASH_LOOP,
            }
        }
        _ => reason::STARTING,
    }
}

fn looping(pod: &str, container: &ContainerFacts, facts: &AppFacts) -> Ailment {
    let (name, restarts) = (&container.name, container.restarts);
    let last = container.last_termination.as_ref();
    let detail = last.map_or("it ended", |last| last.message.as_str());
    // Ended by the kubelet, and not by itself.
    let was_ended = last.is_some_and(|last| [0, 137, 143].contains(&last.exit_code));
    let probe = event(pod, facts, &["Unhealthy"]).filter(|message| {
        was_ended && (message.starts_with("Liveness") || message.starts_with("Startup"))
    });
    let cause = last.map_or(reason::EXITED, |last| reason::known(&last.reason));
    if restarts < LOOP_RESTARTS {
        let message = format!("service {name} in pod {pod}: {detail}");
        let cause = probe.as_ref().map_or(cause, |_| reason::PROBE_FAILED);
        return Ailment::passing(cause, message);
    }
    let (cause, detail) = match (probe, cause) {
        (_, reason::OUT_OF_MEMORY) => (reason::OUT_OF_MEMORY, detail.to_owned()),
        (Some(message), _) => (reason::PROBE_FAILED, message),
        (None, _) => (reason::CRASH_LOOP, detail.to_owned()),
    };
    let message = format!("service {name} in pod {pod} was restarted {restarts} times: {detail}");
    Ailment::lasting(cause, message)
}

/// The newest event of the cluster about a pod with one of these reasons.
fn event(pod: &str, facts: &AppFacts, reasons: &[&str]) -> Option<String> {
    let about = format!("Pod/{pod}");
    let found = facts
        .events
        .iter()
        .rev()
        .find(|event| event.object == about && reasons.contains(&event.reason.as_str()))?;
    Some(found.message.clone())
}
