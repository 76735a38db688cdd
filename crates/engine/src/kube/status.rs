//! From what is recorded and seen to what is reported. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use baetyl_proto::resource::v1 as pb;
use pb::ApplicationState;

use super::facts::{ClusterFacts, Health};
use super::health::{self, Trouble, Verdict, judge};
use super::object::ObjectKey;
use super::plan::Situation;
use super::record::{KubeRecord, Release, Role};
use crate::desired::Pin;
use crate::reason;
use crate::status::{Obstacle, timestamp};

mod condition;
mod instance;

/// Events that are reported, the cluster's and the engine's own together.
const MAX_EVENTS: usize = 20;

/// Objects that are reported.
const MAX_OBJECTS: usize = 512;

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
    /// Why the cluster has not been seen for longer than a moment.
    pub(crate) blindness: Option<&'a str>,
}

/// Why an application of a namespace cannot be judged, when that has been so for long enough.
pub(crate) fn blindness<'a>(
    cluster: &'a ClusterFacts,
    namespace: &str,
    patience: Duration,
    now: SystemTime,
) -> Option<&'a str> {
    if let Some(permission) = cluster.forbidden.get(namespace) {
        return Some(permission);
    }
    let since = cluster.blind_since?;
    let is_long = now
        .duration_since(since)
        .is_ok_and(|blind| blind >= patience);
    is_long.then_some(cluster.blind_reason.as_str())
}

/// State, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Headline {
    state: ApplicationState,
    reason: String,
    message: String,
}

impl Headline {
    fn new(state: ApplicationState, reason: &str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    fn of(state: ApplicationState, trouble: Trouble) -> Self {
        Self::new(state, trouble.reason, trouble.message)
    }
}

/// Describes an application; times of transitions are left to the caller.
pub(crate) fn describe(situation: &Situation<'_>, asked: Asked<'_>) -> pb::ApplicationStatus {
    let record = situation.record;
    let headline = summarise(situation, asked);
    let serving = record.serving.as_ref();
    let conditions = condition::all(situation, asked, headline.state);
    pb::ApplicationStatus {
        name: record.application.clone(),
        desired_revision: asked.revision,
        serving_revision: serving.map_or(0, |release| release.pin.revision),
        state: headline.state.into(),
        reason: headline.reason,
        message: headline.message,
        instances: instance::all(situation),
        transition_time: None,
        input_digests: input_digests(record),
        conditions,
        events: events(situation),
        objects: objects(situation),
    }
}

/// Whether the desired revision runs with the desired inputs.
pub(crate) fn is_converged(status: &pb::ApplicationStatus) -> bool {
    crate::status::is_converged(status)
}

fn summarise(situation: &Situation<'_>, asked: Asked<'_>) -> Headline {
    let record = situation.record;
    if let Some(why) = asked.blindness {
        return Headline::new(ApplicationState::Unknown, reason::OBSERVATION_FAILED, why);
    }
    if asked.is_removed {
        let pods = situation.facts.pods.len();
        let message = format!("no longer desired; {pods} instances are left");
        return Headline::new(ApplicationState::Removing, reason::REMOVING, message);
    }
    if asked.is_store_failing {
        let message = "the record could not be stored; it is tried again";
        let state = ApplicationState::Progressing;
        return Headline::new(state, reason::STORE_UNAVAILABLE, message);
    }
    let failed_state = match record.serving.is_some() && !record.is_candidate_failed() {
        true => ApplicationState::RolledBack,
        false => ApplicationState::Failed,
    };
    if let Some(obstacle) = asked.obstacle {
        let state = match (obstacle.is_passing, &record.serving) {
            (true, Some(_)) => ApplicationState::Progressing,
            (true, None) => ApplicationState::Pending,
            (false, _) => failed_state,
        };
        return Headline::new(state, obstacle.reason, &*obstacle.message);
    }
    let failed = record.failed.as_ref();
    let is_asked = |pin: &Pin| asked.pin.is_none_or(|asked| asked == pin);
    if let Some(failed) = failed.filter(|failed| is_asked(&failed.pin)) {
        return Headline::new(failed_state, &failed.reason, &*failed.message);
    }
    match record.current() {
        // What is wanted is on its way to a draft.
        Some((_, release)) if !is_asked(&release.pin) => preparing(situation, asked.pin),
        Some((Role::Candidate, release)) => progress(situation, release),
        Some((Role::Serving, release)) => served(situation, release),
        None => preparing(situation, asked.pin),
    }
}

/// Where a pin is that has no draft yet.
fn preparing(situation: &Situation<'_>, pin: Option<&Pin>) -> Headline {
    let state = match situation.record.serving {
        Some(_) => ApplicationState::Progressing,
        None => ApplicationState::Pending,
    };
    match pin.and_then(|pin| situation.work.refused(pin)) {
        Some(refused) => {
            let refusal = &refused.refusal;
            let state = ApplicationState::Progressing;
            Headline::new(state, refusal.reason, &*refusal.message)
        }
        None => {
            let revision = pin.map_or(0, |pin| pin.revision);
            let message = format!("revision {revision} is being rendered and checked");
            Headline::new(state, reason::PREPARING, message)
        }
    }
}

/// Where objects are that are being applied.
fn applying(situation: &Situation<'_>, release: &Release) -> Headline {
    let state = ApplicationState::Progressing;
    match situation.work.refused(&release.pin) {
        Some(refused) => Headline::new(state, refused.refusal.reason, &*refused.refusal.message),
        None => {
            let message = format!("revision {} is being applied", release.pin.revision);
            Headline::new(state, reason::PREPARING, message)
        }
    }
}

/// Where a candidate is, and what it waits for.
fn progress(situation: &Situation<'_>, release: &Release) -> Headline {
    let state = ApplicationState::Progressing;
    if !release.is_applied {
        return applying(situation, release);
    }
    let Some(subject) = situation.subject(Role::Candidate) else {
        return unreadable(state);
    };
    match judge(&subject) {
        Verdict::Waiting(trouble) | Verdict::Doomed(trouble) | Verdict::GivenUp(trouble) => {
            Headline::of(state, trouble)
        }
        Verdict::Ready | Verdict::Completed => {
            let message = format!("revision {} is ready", release.pin.revision);
            Headline::new(state, reason::SOAKING, message)
        }
    }
}

/// How well the serving release does.
fn served(situation: &Situation<'_>, release: &Release) -> Headline {
    if release.is_completed {
        return Headline::new(ApplicationState::Succeeded, "", "");
    }
    if !release.is_applied {
        return applying(situation, release);
    }
    if release.reload.is_some() || release.taken != release.pin.inputs {
        let message = "changed files are being handed to running instances";
        return Headline::new(ApplicationState::Progressing, reason::RELOADING, message);
    }
    let Some(subject) = situation.subject(Role::Serving) else {
        return unreadable(ApplicationState::Progressing);
    };
    match judge(&subject) {
        Verdict::Completed => Headline::new(ApplicationState::Succeeded, "", ""),
        Verdict::GivenUp(trouble) | Verdict::Doomed(trouble) => {
            Headline::of(ApplicationState::Degraded, trouble)
        }
        Verdict::Waiting(trouble) if trouble.is_problem() => {
            Headline::of(ApplicationState::Degraded, trouble)
        }
        Verdict::Waiting(trouble) => Headline::of(ApplicationState::Progressing, trouble),
        Verdict::Ready if subject.spec.is_job() => {
            let message = "the job runs";
            Headline::new(ApplicationState::Progressing, reason::JOB_RUNNING, message)
        }
        Verdict::Ready => {
            if let Some(message) = situation.record.conflicts.values().next() {
                let state = ApplicationState::Degraded;
                return Headline::new(state, reason::FIELD_CONFLICT, message.as_str());
            }
            match last_run(situation, release) {
                Some(trouble) => Headline::of(ApplicationState::Degraded, trouble),
                None => Headline::new(ApplicationState::Healthy, "", ""),
            }
        }
    }
}

fn unreadable(state: ApplicationState) -> Headline {
    let message = "the body of the application is not on this node";
    Headline::new(state, reason::BODY_MISSING, message)
}

/// Why the last run of a cron job failed, if it did.
fn last_run(situation: &Situation<'_>, release: &Release) -> Option<Trouble> {
    let mut cron_jobs = release.objects.iter();
    let parent = cron_jobs.find(|key| key.kind == "CronJob" && key.group() == "batch")?;
    // The controller names a run after its minute.
    let number = |key: &ObjectKey| {
        let number = key.name.strip_prefix(&parent.name)?.strip_prefix('-')?;
        number.parse::<u64>().ok()
    };
    let objects = situation.facts.objects.iter();
    let runs = objects.filter(|(key, object)| key.kind == "Job" && object.is_controlled);
    let ended = runs.filter(|(_, run)| !matches!(run.health, Health::Progressing { .. }));
    let (key, last) = ended.max_by_key(|(key, _)| number(key))?;
    match &last.health {
        Health::Failed { message, .. } => {
            let message = format!("the last run failed: {key}: {message}");
            Some(Trouble::new(reason::JOB_FAILED, message))
        }
        Health::Ready | Health::Progressing { .. } | Health::Completed => None,
    }
}

/// The newest events, the engine's own and the cluster's, oldest first.
fn events(situation: &Situation<'_>) -> Vec<pb::ApplicationEvent> {
    let own = situation
        .record
        .events
        .iter()
        .map(|event| pb::ApplicationEvent {
            time: Some(timestamp(event.at)),
            is_warning: event.is_warning,
            reason: event.reason.clone(),
            message: event.message.clone(),
            object: event.object.clone(),
            count: event.count,
        });
    let mut all: Vec<_> = own.chain(situation.facts.events.iter().cloned()).collect();
    all.sort_by_key(|event| {
        let time = event.time.as_ref();
        time.map_or((0, 0), |time| (time.seconds, time.nanos))
    });
    let excess = all.len().saturating_sub(MAX_EVENTS);
    all.split_off(excess)
}

fn objects(situation: &Situation<'_>) -> Vec<pb::ObjectStatus> {
    let inventory = situation.record.inventory().into_iter();
    inventory
        .take(MAX_OBJECTS)
        .map(|key| object(situation, key))
        .collect()
}

fn object(situation: &Situation<'_>, key: &ObjectKey) -> pb::ObjectStatus {
    let (is_ready, message) = match health::health(key, situation.facts) {
        Some(Health::Ready | Health::Completed) => (true, String::new()),
        Some(Health::Progressing { message } | Health::Failed { message, .. }) => (false, message),
        None => (false, "it is not there".to_owned()),
    };
    pb::ObjectStatus {
        api_version: key.api_version.clone(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone().unwrap_or_default(),
        name: key.name.clone(),
        is_ready,
        message,
    }
}

/// Fills in since when state and conditions are what they are, and notes it for the next time.
pub(crate) fn stamp(status: &mut pb::ApplicationStatus, record: &mut KubeRecord, now: SystemTime) {
    let shown = record.reported.take();
    let since = match &shown {
        Some(shown) if shown.state == status.state => shown.since,
        Some(_) | None => now,
    };
    status.transition_time = Some(timestamp(since));
    let mut conditions = BTreeMap::new();
    for condition in &mut status.conditions {
        let before = shown
            .as_ref()
            .and_then(|shown| shown.conditions.get(&condition.r#type));
        let since = match before {
            Some((status, since)) if *status == condition.status => *since,
            Some(_) | None => now,
        };
        condition.last_transition_time = Some(timestamp(since));
        conditions.insert(condition.r#type.clone(), (condition.status, since));
    }
    record.reported = Some(super::record::Reported {
        state: status.state,
        reason: status.reason.clone(),
        message: status.message.clone(),
        since,
        conditions,
    });
}

/// What is reported until the cluster was seen for the first time: what was reported before.
pub(crate) fn recall(record: &KubeRecord, revision: u64) -> pb::ApplicationStatus {
    let serving = record.serving.as_ref();
    let shown = record.reported.as_ref();
    let pending = ApplicationState::Pending.into();
    pb::ApplicationStatus {
        name: record.application.clone(),
        desired_revision: revision,
        serving_revision: serving.map_or(0, |release| release.pin.revision),
        state: shown.map_or(pending, |shown| shown.state),
        reason: shown.map(|shown| shown.reason.clone()).unwrap_or_default(),
        message: shown.map(|shown| shown.message.clone()).unwrap_or_default(),
        transition_time: shown.map(|shown| timestamp(shown.since)),
        input_digests: input_digests(record),
        ..pb::ApplicationStatus::default()
    }
}

/// The inputs that what serves has taken.
fn input_digests(record: &KubeRecord) -> BTreeMap<String, String> {
    let serving = record.serving.iter();
    serving
        .flat_map(|release| &release.taken)
        .map(|(key, digest)| (key.to_string(), digest.to_string()))
        .collect()
}

#[cfg(test)]
mod tests;
