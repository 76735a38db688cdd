//! From what is recorded and known to what is reported. Pure.

use std::time::SystemTime;

use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, InstanceState};

use crate::desired::Pin;
use crate::observed::{Phase, Prepared, Seen};
use crate::plan::Situation;
use crate::reason;
use crate::record::{Release, Slot};
use crate::spec::{AppSpec, RestartPolicy};

/// What the engine cannot do with the desired item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Stable word from [`crate::reason`].
    pub(crate) reason: &'static str,
    /// One sentence for people.
    pub(crate) message: String,
    /// Whether it goes away by itself: somebody else is on the way out.
    pub(crate) is_passing: bool,
}

/// What was asked for, as the status must show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The desired revision; 0 when none is known.
    pub(crate) revision: u64,
    /// The pin, when it can be tried.
    pub(crate) pin: Option<&'a Pin>,
    /// Why it cannot be tried.
    pub(crate) obstacle: Option<&'a Obstacle>,
    /// No longer desired.
    pub(crate) is_removed: bool,
    /// The record could not be made durable.
    pub(crate) is_store_failing: bool,
    /// The driver enforces processor limits.
    pub(crate) keeps_cpu_limits: bool,
}

/// State, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Headline {
    state: ApplicationState,
    reason: String,
    message: String,
}

fn headline(state: ApplicationState, reason: &str, message: impl Into<String>) -> Headline {
    Headline {
        state,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

/// Describes an application; `transition_time` is left to the caller.
pub(crate) fn describe(
    situation: &Situation<'_>,
    asked: Asked<'_>,
    machine: &str,
) -> pb::ApplicationStatus {
    let record = situation.record;
    let Headline {
        state,
        reason,
        message,
    } = summarise(situation, asked);
    let serving = record.serving.as_ref();
    let mut instances: Vec<pb::InstanceStatus> = record
        .releases()
        .flat_map(|release| release.slots.iter().map(move |slot| (release, slot)))
        .filter(|(_, slot)| slot.instance.is_some())
        .map(|(release, slot)| instance(situation, release, slot, machine))
        .chain(strays(situation, machine))
        .collect();
    instances.sort_by(|one, other| {
        let key = |status: &pb::InstanceStatus| {
            (
                status.service.clone(),
                status.index,
                status.revision,
                status.id.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    pb::ApplicationStatus {
        name: record.application.clone(),
        desired_revision: asked.revision,
        serving_revision: serving.map_or(0, |release| release.pin.revision),
        state: state.into(),
        reason,
        message,
        instances,
        transition_time: None,
        input_digests: serving
            .iter()
            .flat_map(|release| &release.pin.inputs)
            .map(|(key, digest)| (key.to_string(), digest.to_string()))
            .collect(),
        ..pb::ApplicationStatus::default()
    }
}

/// Whether the desired revision runs with the desired inputs.
pub(crate) fn is_converged(status: &pb::ApplicationStatus) -> bool {
    match status.state() {
        ApplicationState::Healthy | ApplicationState::Succeeded => true,
        // A job may run for long; that it runs is all that was asked for.
        ApplicationState::Progressing => status.reason == reason::JOB_RUNNING,
        ApplicationState::Unspecified
        | ApplicationState::Pending
        | ApplicationState::Degraded
        | ApplicationState::RolledBack
        | ApplicationState::Failed
        | ApplicationState::Unknown
        | ApplicationState::Removing => false,
    }
}

fn summarise(situation: &Situation<'_>, asked: Asked<'_>) -> Headline {
    let record = situation.record;
    let failed_state = match record.serving {
        Some(_) => ApplicationState::RolledBack,
        None => ApplicationState::Failed,
    };
    if situation.observed.is_blind(record) {
        let detail = situation.observed.instances.values().find_map(unknown);
        return headline(
            ApplicationState::Unknown,
            reason::OBSERVATION_FAILED,
            detail.unwrap_or_default(),
        );
    }
    if asked.is_removed {
        let live = situation.observed.instances.values();
        let live = live.filter(|seen| seen.phase.is_live()).count();
        let message = format!("no longer desired; {live} instances are left");
        return headline(ApplicationState::Removing, reason::REMOVING, message);
    }
    if asked.is_store_failing {
        return headline(
            ApplicationState::Progressing,
            reason::STORE_UNAVAILABLE,
            "the record could not be stored; it is tried again",
        );
    }
    if let Some(obstacle) = asked.obstacle {
        let state = match (obstacle.is_passing, &record.serving) {
            (true, Some(_)) => ApplicationState::Progressing,
            (true, None) => ApplicationState::Pending,
            (false, _) => failed_state,
        };
        return headline(state, obstacle.reason, &*obstacle.message);
    }
    let failed = record
        .failed
        .as_ref()
        .filter(|failed| asked.pin.is_some_and(|pin| failed.pin.is_same_try(pin)));
    if let Some(failed) = failed {
        return headline(failed_state, &failed.reason, &*failed.message);
    }
    if let Some(candidate) = &record.candidate {
        return progress(situation, &candidate.release, candidate.is_exclusive);
    }
    let Some(serving) = &record.serving else {
        return headline(ApplicationState::Pending, "", "");
    };
    if let Some(pin) = asked.pin
        && pin.inputs != serving.pin.inputs
    {
        return reloading(situation, serving);
    }
    let mut headline = served(situation, serving);
    if headline.state == ApplicationState::Healthy
        && !asked.keeps_cpu_limits
        && situation.serving.is_some_and(has_cpu_limit)
    {
        "processor limits are not kept on this node".clone_into(&mut headline.message);
    }
    headline
}

fn has_cpu_limit(spec: &AppSpec) -> bool {
    let mut services = spec.services.iter();
    services.any(|service| service.limits.cpu_millis.is_some())
}

fn unknown(seen: &Seen) -> Option<String> {
    match &seen.phase {
        Phase::Unknown { detail } => Some(detail.clone()),
        _ => None,
    }
}

fn reloading(situation: &Situation<'_>, serving: &Release) -> Headline {
    let (state, reason) = (ApplicationState::Progressing, reason::RELOADING);
    match situation.observed.files.get(&serving.number) {
        Some(Prepared::Refused { refusal, .. }) => {
            headline(state, refusal.reason, &*refusal.message)
        }
        Some(Prepared::Running(_) | Prepared::Done(_)) | None => {
            headline(state, reason, "changed files are being switched in place")
        }
    }
}

/// Where a candidate is, and what it waits for.
fn progress(situation: &Situation<'_>, release: &Release, is_exclusive: bool) -> Headline {
    let state = ApplicationState::Progressing;
    let revision = release.pin.revision;
    let observed = situation.observed;
    if is_exclusive && situation.is_gate_blocked() {
        let message = format!("the old revision is being stopped before {revision} starts");
        return headline(state, reason::STOPPING_OLD, message);
    }
    match observed.files.get(&release.number) {
        Some(Prepared::Refused { refusal, .. }) => {
            return headline(state, refusal.reason, &*refusal.message);
        }
        Some(Prepared::Running(_)) | None => {
            let message = format!("files of revision {revision} are being prepared");
            return headline(state, reason::PREPARING, message);
        }
        Some(Prepared::Done(_)) => {}
    }
    let late = release.slots.iter().find(|slot| !observed.is_ready(slot));
    let Some(late) = late else {
        let message = format!("revision {revision} is ready and must stay so");
        return headline(state, reason::SOAKING, message);
    };
    let service = &late.service;
    match observed.phase(late) {
        Some(Phase::Running(health)) => {
            let message = match health.probe_message.as_str() {
                "" => format!("service {service} is not ready yet"),
                detail => format!("service {service} is not ready yet: {detail}"),
            };
            headline(state, reason::WAITING_FOR_READY, message)
        }
        Some(Phase::Refused { refusal, .. }) => headline(state, refusal.reason, &*refusal.message),
        _ => headline(
            state,
            reason::STARTING,
            format!("service {service} is being started"),
        ),
    }
}

/// How well the serving release does.
fn served(situation: &Situation<'_>, release: &Release) -> Headline {
    let observed = situation.observed;
    let is_job = situation.serving.is_some_and(|spec| spec.is_job);
    if is_job && release.slots.iter().all(|slot| slot.is_completed) {
        return headline(ApplicationState::Succeeded, "", "");
    }
    let mut starting = None;
    for slot in release.slots.iter().filter(|slot| !observed.is_ready(slot)) {
        match ailment(situation, slot) {
            Some(headline) => return headline,
            None => starting = Some(slot),
        }
    }
    if let Some(slot) = starting {
        // Files that cannot be made are why nothing starts.
        if let Some(Prepared::Refused { refusal, .. }) = observed.files.get(&release.number) {
            let state = ApplicationState::Degraded;
            return headline(state, refusal.reason, &*refusal.message);
        }
        let message = format!("service {} is being started", slot.service);
        return headline(ApplicationState::Progressing, reason::STARTING, message);
    }
    if is_job {
        let message = "the job runs".to_owned();
        return headline(ApplicationState::Progressing, reason::JOB_RUNNING, message);
    }
    headline(ApplicationState::Healthy, "", "")
}

/// What is wrong with a slot; `None` when it is only on its way up.
fn ailment(situation: &Situation<'_>, slot: &Slot) -> Option<Headline> {
    let degraded = |reason: &str, message: &str| {
        let message = format!("service {}: {message}", slot.service);
        Some(headline(ApplicationState::Degraded, reason, message))
    };
    let (reason, message) = trouble(situation, slot)?;
    degraded(&reason, &message)
}

/// After this many failures in a row the reason is the loop, not the last failure.
const LOOP_FAILURES: u32 = 3;

/// Why a slot's instance is not ready, as far as that is a failure.
fn trouble(situation: &Situation<'_>, slot: &Slot) -> Option<(String, String)> {
    let last = slot.last_termination.as_ref();
    match situation.observed.phase(slot) {
        Some(Phase::Running(health)) => {
            if let Some(doom) = &health.doomed {
                return Some((doom.reason.to_owned(), doom.message.clone()));
            }
            if health.was_ready {
                return Some((
                    reason::PROBE_FAILED.to_owned(),
                    health.probe_message.clone(),
                ));
            }
        }
        Some(Phase::Refused { refusal, .. }) => {
            return Some((refusal.reason.to_owned(), refusal.message.clone()));
        }
        Some(
            Phase::Launching
            | Phase::Stopping
            | Phase::Ended { .. }
            | Phase::Discarding
            | Phase::Vanished
            | Phase::Broken
            | Phase::Unknown { .. },
        )
        | None => {}
    }
    let last = last.filter(|_| slot.failures > 0)?;
    if slot.failures >= LOOP_FAILURES {
        let message = format!("failed {} times in a row: {}", slot.failures, last.message);
        return Some((reason::CRASH_LOOP.to_owned(), message));
    }
    Some((last.reason.clone(), last.message.clone()))
}

fn instance(
    situation: &Situation<'_>,
    release: &Release,
    slot: &Slot,
    machine: &str,
) -> pb::InstanceStatus {
    let seen = slot
        .instance
        .as_ref()
        .and_then(|id| situation.observed.instances.get(id));
    let service = situation
        .serving
        .and_then(|spec| spec.service(&slot.service));
    let restarts = service.is_none_or(|service| service.restart != RestartPolicy::Never);
    let is_over = slot.is_completed || !restarts;
    let state = seen.map_or(InstanceState::Starting, |seen| state_of(seen, is_over));
    let is_fine = matches!(state, InstanceState::Ready | InstanceState::Starting)
        || slot.is_completed
        || state == InstanceState::Stopping;
    let (reason, message) = match seen.map(|seen| &seen.phase) {
        Some(Phase::Unknown { detail }) => (reason::OBSERVATION_FAILED.to_owned(), detail.clone()),
        _ if is_fine => (String::new(), String::new()),
        _ => trouble(situation, slot).unwrap_or_default(),
    };
    pb::InstanceStatus {
        id: slot
            .instance
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        service: slot.service.clone(),
        index: slot.index,
        state: state.into(),
        reason,
        message,
        restart_count: slot.restarts,
        last_termination: slot.last_termination.as_ref().map(|last| pb::Termination {
            exit_code: last.exit_code,
            signal: last.signal,
            reason: last.reason.clone(),
            finish_time: Some(timestamp(last.finished_at)),
        }),
        revision: release.pin.revision,
        ports: slot
            .ports
            .iter()
            .map(|(name, port)| (name.clone(), u32::from(*port)))
            .collect(),
        machine: machine.to_owned(),
        ..running(seen)
    }
}

/// What is left of what is no longer wanted.
fn strays<'a>(
    situation: &Situation<'a>,
    machine: &str,
) -> impl Iterator<Item = pb::InstanceStatus> + use<'a> {
    let machine = machine.to_owned();
    let record = situation.record;
    let live = situation.observed.instances.iter();
    live.filter(|(id, seen)| seen.phase.is_live() && record.slot_of(id).is_none())
        .map(move |(id, seen)| {
            let past = record.past.iter().find(|past| past.id == *id);
            pb::InstanceStatus {
                id: id.to_string(),
                service: past.map(|past| past.service.clone()).unwrap_or_default(),
                revision: past.map_or(0, |past| past.revision),
                state: state_of(seen, true).into(),
                machine: machine.clone(),
                ..running(Some(seen))
            }
        })
}

fn running(seen: Option<&Seen>) -> pb::InstanceStatus {
    match seen.map(|seen| (&seen.phase, seen.memory_bytes)) {
        Some((Phase::Running(health), memory_bytes)) => pb::InstanceStatus {
            pid: health.pid,
            start_time: Some(timestamp(health.started_at)),
            memory_bytes,
            ..pb::InstanceStatus::default()
        },
        _ => pb::InstanceStatus::default(),
    }
}

/// `is_over` tells that nothing follows once it has ended.
fn state_of(seen: &Seen, is_over: bool) -> InstanceState {
    match &seen.phase {
        Phase::Launching | Phase::Vanished => InstanceState::Starting,
        Phase::Running(health) if health.doomed.is_some() => InstanceState::Unready,
        Phase::Running(health) if health.is_ready => InstanceState::Ready,
        Phase::Running(health) if health.was_ready => InstanceState::Unready,
        Phase::Running(_) => InstanceState::Starting,
        Phase::Stopping | Phase::Broken => InstanceState::Stopping,
        Phase::Ended { .. } if is_over => InstanceState::Exited,
        Phase::Ended { .. } | Phase::Refused { .. } => InstanceState::BackingOff,
        Phase::Discarding => InstanceState::Exited,
        Phase::Unknown { .. } => InstanceState::Unready,
    }
}

pub(crate) fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(time)
}

#[cfg(test)]
mod tests;
