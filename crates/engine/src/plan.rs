//! Decides what to do next for one application. Pure: the same situation gives the same plan, and
//! a plan that was carried out leaves nothing to plan until something happens.
//!
//! The rules, in order:
//! 1. What a release needs and cannot be observed stops everything: unknown is not absent.
//! 2. Whatever lives and belongs to no release is stopped; what ended and is not kept is removed.
//! 3. The record follows the wish: an equal template goes on under the new pin, changed reloaded
//!    inputs are switched in place, all else becomes a candidate, unless it failed before.
//! 4. The candidate is started and watched through its gate (module `gate`).
//! 5. What serves is kept running, unless the candidate excludes it (module `keep`).

use std::time::Duration;

use baetyl_process::InstanceId;
use tokio::time::Instant;

use crate::desired::Pin;
use crate::observed::{Observed, Phase, Prepared};
use crate::record::{AppRecord, Release, Role, SlotKey};
use crate::spec::AppSpec;

mod gate;
mod keep;

#[cfg(test)]
mod tests;

/// What is wanted of an application.
#[derive(Clone, Debug)]
pub enum Wish<'a> {
    /// Nothing was said yet: keep what is there.
    Unknown,
    /// This is to run.
    Run {
        /// Pinned down.
        pin: &'a Pin,
        /// What it is made of.
        spec: &'a AppSpec,
    },
    /// Something else is wanted that cannot be done (now): keep what serves.
    Hold,
    /// All instances are stopped; the record stays.
    Halt,
    /// The application is removed.
    Absent,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// What is wanted.
    pub wish: Wish<'a>,
    /// What is durable.
    pub record: &'a AppRecord,
    /// What the serving release is made of; `None` when that cannot be read.
    pub serving: Option<&'a AppSpec>,
    /// The same of the candidate.
    pub candidate: Option<&'a AppSpec>,
    /// What is known now.
    pub observed: &'a Observed,
    /// The time.
    pub now: Instant,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start to try a pin.
    Begin {
        /// What.
        pin: Pin,
        /// Whether what serves must be stopped first.
        is_exclusive: bool,
    },
    /// Stop trying the candidate: something else is wanted.
    Drop,
    /// Go on under another pin that changes nothing that runs.
    Repin(Role, Pin),
    /// Make the files of a release what a pin says.
    Prepare(Role, Pin),
    /// Start an instance for a slot.
    Start(Role, SlotKey),
    /// Stop an instance.
    Stop(InstanceId),
    /// Remove the files of an ended instance.
    Discard(InstanceId),
    /// The candidate passed its gate.
    Promote,
    /// A pin failed.
    Fail(Verdict),
    /// Remove the files of the application, and its record.
    Remove,
}

/// Why a pin failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The pin.
    pub pin: Pin,
    /// Stable word from [`crate::reason`].
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// Whether what serves goes on, or comes back.
    pub keeps_serving: bool,
}

/// What to do now, and when to plan again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// When time alone changes the plan.
    pub wake_at: Option<Instant>,
}

impl Plan {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

impl Situation<'_> {
    /// Whether the candidate must still wait for others to be gone.
    #[must_use]
    pub fn is_gate_blocked(&self) -> bool {
        let excludes = self
            .record
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.is_exclusive);
        let has_claims = self.candidate.is_some_and(|spec| !spec.claims().is_empty());
        (excludes || has_claims) && self.has_rivals(Role::Candidate, excludes)
    }

    /// Whether something lives outside of a release that could want the same.
    fn has_rivals(&self, role: Role, is_exclusive: bool) -> bool {
        let other = match role {
            Role::Serving => Role::Candidate,
            Role::Candidate => Role::Serving,
        };
        self.observed.instances.iter().any(|(id, seen)| {
            let owner = self.record.slot_of(id).map(|(owner, _)| owner);
            let is_rival = owner.is_none() || (is_exclusive && owner == Some(other));
            is_rival && seen.phase.is_live()
        })
    }
}

/// Decides.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    // Files that are on their way out cannot be used again; a new record starts after that.
    if situation.observed.is_removing || situation.observed.is_blind(situation.record) {
        return plan;
    }
    match situation.wish {
        Wish::Halt => {
            stop_if(situation, &mut plan, |_| true);
            return plan;
        }
        Wish::Absent => {
            remove(situation, &mut plan);
            return plan;
        }
        Wish::Unknown | Wish::Run { .. } | Wish::Hold => {}
    }
    clear_strays(situation, &mut plan);
    if let Some(action) = follow(situation, &mut plan) {
        // It changes the record, and with it all that follows.
        plan.act(action);
        return plan;
    }
    let is_displaced = gate::advance(situation, &mut plan);
    if !is_displaced {
        keep::run(situation, &mut plan);
    }
    plan
}

/// Stops live instances; those on their way up or down are waited for.
fn stop_if(situation: &Situation<'_>, plan: &mut Plan, wanted: impl Fn(&InstanceId) -> bool) {
    for (id, seen) in &situation.observed.instances {
        let can_stop = match seen.phase {
            Phase::Running(_) | Phase::Broken => true,
            Phase::Launching
            | Phase::Stopping
            | Phase::Ended { .. }
            | Phase::Refused { .. }
            | Phase::Discarding
            | Phase::Vanished
            | Phase::Unknown { .. } => false,
        };
        if can_stop && wanted(id) {
            plan.act(Action::Stop(id.clone()));
        }
    }
}

fn clear_strays(situation: &Situation<'_>, plan: &mut Plan) {
    let record = situation.record;
    stop_if(situation, plan, |id| record.slot_of(id).is_none());
    for (id, seen) in &situation.observed.instances {
        let is_wanted = record.slot_of(id).is_some() || record.is_past(id);
        if !is_wanted && can_discard(&seen.phase) {
            plan.act(Action::Discard(id.clone()));
        }
    }
}

fn can_discard(phase: &Phase) -> bool {
    !phase.is_live() && *phase != Phase::Discarding
}

fn remove(situation: &Situation<'_>, plan: &mut Plan) {
    stop_if(situation, plan, |_| true);
    for (id, seen) in &situation.observed.instances {
        if can_discard(&seen.phase) {
            plan.act(Action::Discard(id.clone()));
        }
    }
    if situation.observed.instances.is_empty() {
        plan.act(Action::Remove);
    }
}

/// The next change of the record that the wish asks for.
fn follow(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let record = situation.record;
    let (pin, spec) = match situation.wish {
        Wish::Run { pin, spec } => (pin, spec),
        Wish::Hold => return record.candidate.is_some().then_some(Action::Drop),
        Wish::Unknown | Wish::Halt | Wish::Absent => return None,
    };
    if let Some(candidate) = &record.candidate {
        if !is_same_but_reloads(spec, &candidate.release.pin, pin) {
            return Some(Action::Drop);
        }
        return adjust(situation, plan, Role::Candidate, &candidate.release, pin);
    }
    let has_failed = record
        .failed
        .as_ref()
        .is_some_and(|failed| failed.pin.is_same_try(pin));
    match &record.serving {
        Some(serving) if is_same_but_reloads(spec, &serving.pin, pin) => {
            if has_failed {
                return None;
            }
            adjust(situation, plan, Role::Serving, serving, pin)
        }
        _ if has_failed => None,
        serving => {
            let is_exclusive =
                serving.is_some() && situation.serving.is_none_or(|old| old.excludes(spec));
            Some(Action::Begin {
                pin: pin.clone(),
                is_exclusive,
            })
        }
    }
}

/// Whether one pin can go on as the other without touching a process.
fn is_same_but_reloads(spec: &AppSpec, one: &Pin, other: &Pin) -> bool {
    let restarting = |pin: &Pin| {
        let inputs = pin.inputs.clone().into_iter();
        inputs
            .filter(|(key, _)| !spec.reloaded.contains(key))
            .collect::<Vec<_>>()
    };
    one.uid == other.uid
        && one.template_digest == other.template_digest
        && restarting(one) == restarting(other)
}

/// Brings a release from its pin to one that differs in reloaded inputs at most.
fn adjust(
    situation: &Situation<'_>,
    plan: &mut Plan,
    role: Role,
    release: &Release,
    pin: &Pin,
) -> Option<Action> {
    if release.pin == *pin {
        let is_failure_outdated = role == Role::Serving && situation.record.failed.is_some();
        return is_failure_outdated.then(|| Action::Repin(role, pin.clone()));
    }
    if release.pin.inputs == pin.inputs {
        return Some(Action::Repin(role, pin.clone()));
    }
    match situation.observed.files.get(&release.number) {
        Some(Prepared::Running(_)) => None,
        Some(Prepared::Done(done)) if done.inputs == pin.inputs => {
            Some(Action::Repin(role, pin.clone()))
        }
        Some(Prepared::Refused {
            pin: refused,
            refusal,
            retry_at,
        }) if refused.is_same_try(pin) => {
            if refusal.is_final {
                return Some(Action::Fail(Verdict {
                    pin: pin.clone(),
                    reason: crate::reason::RELOAD_FAILED.to_owned(),
                    message: refusal.message.clone(),
                    keeps_serving: true,
                }));
            }
            if situation.now < *retry_at {
                plan.wake(*retry_at);
                return None;
            }
            Some(Action::Prepare(role, pin.clone()))
        }
        Some(Prepared::Done(_) | Prepared::Refused { .. }) | None => {
            Some(Action::Prepare(role, pin.clone()))
        }
    }
}

/// The files of a release.
#[derive(Clone, Debug, PartialEq)]
enum Files<'a> {
    /// Instances can start.
    Ready,
    /// They are being made, or will be tried again.
    Pending,
    /// They cannot be made.
    Refused(&'a crate::driver::Refusal),
}

/// Whether the files of a release are right; makes them so.
fn files<'a>(
    situation: &Situation<'a>,
    plan: &mut Plan,
    role: Role,
    release: &Release,
) -> Files<'a> {
    match situation.observed.files.get(&release.number) {
        Some(Prepared::Running(_)) => Files::Pending,
        Some(Prepared::Done(done)) if done.inputs == release.pin.inputs => Files::Ready,
        Some(Prepared::Refused {
            pin,
            refusal,
            retry_at,
        }) if pin.inputs == release.pin.inputs => {
            if refusal.is_final && role == Role::Candidate {
                return Files::Refused(refusal);
            }
            if situation.now < *retry_at {
                plan.wake(*retry_at);
            } else {
                plan.act(Action::Prepare(role, release.pin.clone()));
            }
            Files::Pending
        }
        // A reload that is tried again leaves the files of what serves as they were.
        Some(Prepared::Refused { retry_at, .. })
            if situation.now < *retry_at && role == Role::Serving =>
        {
            plan.wake(*retry_at);
            Files::Pending
        }
        Some(Prepared::Done(_) | Prepared::Refused { .. }) | None => {
            plan.act(Action::Prepare(role, release.pin.clone()));
            Files::Pending
        }
    }
}

/// The least time that a candidate must live when nothing tells that it is ready.
pub const SILENT_SOAK: Duration = Duration::from_millis(500);

/// How often a job is started before it has failed.
pub const JOB_ATTEMPTS: u32 = 6;
