//! Decides what to do next for one application in a cluster. Pure: the same situation gives the
//! same plan, and a plan that was carried out leaves nothing to plan until something happens.
//!
//! The rules, in order:
//! 1. While the cluster cannot be seen nothing is done: unknown is not absent.
//! 2. The record follows the wish: a draft that replaces no pod is taken in place, every other one
//!    becomes a candidate, unless it failed before (module `follow`).
//! 3. What the record says is applied, the candidate before what serves.
//! 4. The candidate is watched through its gate (module `gate`).
//! 5. What is there is kept as it was applied (module `keep`).
//! 6. What no release needs any more goes, and with the last of it the application (`prune`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::facts::AppFacts;
use super::health::Subject;
use super::object::ObjectKey;
pub use super::record::Draft;
use super::record::{KubeRecord, Release, Role};
use super::spec::KubeSpec;
use crate::desired::Pin;
use crate::driver::Refusal;
use crate::reason;

mod follow;
mod gate;
mod keep;
mod prune;

#[cfg(test)]
mod tests;

/// What is wanted of an application.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish<'a> {
    /// Nothing was said yet: keep what is there.
    Unknown,
    /// This is to run.
    Run(&'a Pin),
    /// Something else is wanted that cannot be done: keep what serves. When that passes by itself,
    /// whatever is on its way goes on.
    Hold {
        /// Whether it passes by itself.
        is_passing: bool,
    },
    /// The application is removed.
    Absent {
        /// Whether its data goes, too.
        remove_data: bool,
    },
}

/// What is known beside the record and the facts; lives in memory only.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// An operation runs; the next one waits for it.
    pub is_busy: bool,
    /// What was rendered and checked last, and can be applied.
    pub draft: Option<Draft>,
    /// Pins that could not be rendered, checked or applied: that which is wanted, and releases.
    pub refused: Vec<Refused>,
    /// Objects that were applied and that the watches have not shown, and until when that is
    /// waited for.
    pub unseen: BTreeMap<ObjectKey, Instant>,
    /// Objects that were made right again, and when that may happen again.
    pub repairs: BTreeMap<ObjectKey, Attempt>,
    /// Objects that are on their way out, and when to look again.
    pub removals: BTreeMap<ObjectKey, Attempt>,
    /// Pods that were to be deleted, or may be from a time on; by uid.
    pub recycled: BTreeMap<String, Attempt>,
    /// Pods that were deleted, and that the watches may still show; by uid.
    pub deleted: BTreeSet<String>,
    /// Objects and pods that stand in the way of another attempt.
    pub obstructing: BTreeMap<ObjectKey, String>,
    /// Objects that were left where they are, since things of others would go with them.
    pub kept: BTreeSet<ObjectKey>,
    /// Calls to pods.
    pub touches: Attempt,
    /// Certificates that could not be renewed.
    pub renewals: Attempt,
}

impl Work {
    /// Returns why a pin could not be applied.
    #[must_use]
    pub fn refused(&self, pin: &Pin) -> Option<&Refused> {
        self.refused.iter().find(|refused| refused.pin == *pin)
    }

    /// Notes why a pin could not be applied.
    pub(crate) fn refuse(&mut self, refused: Refused) {
        self.accept(&refused.pin);
        self.refused.push(refused);
    }

    /// Notes that a pin was applied.
    pub(crate) fn accept(&mut self, pin: &Pin) {
        self.refused.retain(|refused| refused.pin != *pin);
    }
}

/// A pin that could not be rendered, checked or applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The pin.
    pub pin: Pin,
    /// Why.
    pub refusal: Refusal,
    /// When to try again, unless that is final.
    pub retry_at: Instant,
    /// How often in a row.
    pub failures: u32,
    /// Since when.
    pub since: Instant,
}

impl Refused {
    /// Whether the cluster answered, and said no.
    fn is_answered(&self) -> bool {
        ![
            reason::CLUSTER_UNAVAILABLE,
            reason::OBJECT_CHANGED,
            reason::BODY_MISSING,
        ]
        .contains(&self.refusal.reason)
    }
}

/// Something that is tried again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// How often.
    pub count: u32,
    /// Not before; at once when absent.
    pub next_at: Option<Instant>,
}

impl Attempt {
    /// Whether it may be tried now; otherwise the plan wakes when it may.
    fn is_due(&self, now: Instant, plan: &mut Plan) -> bool {
        match self.next_at {
            Some(at) if now < at => {
                plan.wake(at);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Notes an attempt; the next one waits, twice as long each time.
    pub fn again(&mut self, now: Instant, first: Duration, longest: Duration) {
        let factor = 1_u32.checked_shl(self.count).unwrap_or(u32::MAX);
        self.next_at = Some(now + first.saturating_mul(factor).min(longest));
        self.count = self.count.saturating_add(1);
    }
}

/// Everything that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What is wanted.
    pub wish: Wish<'a>,
    /// What is durable.
    pub record: &'a KubeRecord,
    /// What the serving release is made of; `None` when that cannot be read.
    pub serving: Option<&'a KubeSpec>,
    /// The same of the candidate.
    pub candidate: Option<&'a KubeSpec>,
    /// What would render the application now.
    pub rendering: &'a str,
    /// What the watches tell.
    pub facts: &'a AppFacts,
    /// Whether they tell nothing new.
    pub is_blind: bool,
    /// What is known beside.
    pub work: &'a Work,
    /// The time, for what is tried again.
    pub now: Instant,
    /// The time, for what is durable.
    pub clock: SystemTime,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Render a pin, and check it without changing anything.
    Prepare(Pin),
    /// Start to try a draft.
    Begin(Draft),
    /// Go on with a draft that replaces no pod.
    Repin(Role, Draft),
    /// The failure on record is about something that is no longer wanted.
    Forgive,
    /// Stop trying the candidate: something else is wanted.
    Drop,
    /// Apply the objects of a release.
    Apply(Role),
    /// The candidate passed its gate.
    Promote,
    /// A pin failed.
    Fail(Failing),
    /// What serves failed for good: a job.
    FailServing(Failing),
    /// The serving job came to its end.
    Complete,
    /// Delete what stands in the way of another attempt.
    Clear(BTreeMap<ObjectKey, String>),
    /// Apply objects again that somebody changed or removed.
    Repair(BTreeSet<ObjectKey>),
    /// Issue new certificates for services.
    Renew(BTreeSet<String>),
    /// Tell pods to look at their inputs; names with namespaces, and what they are told.
    Touch(Vec<(String, String)>, String),
    /// Every pod has what the pin says.
    Take(Role),
    /// Delete pods that hold their workload up; uids by key.
    Recycle(BTreeMap<ObjectKey, String>),
    /// The application is not wanted: all of its objects are to go.
    Leave {
        /// Objects that the record may not name.
        seen: BTreeSet<ObjectKey>,
        /// Whether data goes, too.
        remove_data: bool,
    },
    /// Delete objects; the uid where it is known.
    Prune(BTreeMap<ObjectKey, Option<String>>),
    /// Remove the record of the application: nothing is left of it.
    Remove,
}

/// Why a pin failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failing {
    /// The pin.
    pub pin: Pin,
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
    /// Whether what served before comes back.
    pub goes_back: bool,
}

/// What to do now, and when to plan again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order: changes of the record, then at most one operation.
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

impl<'a> Situation<'a> {
    /// What a release is made of, as far as it is known.
    #[must_use]
    pub fn spec(&self, role: Role) -> Option<&'a KubeSpec> {
        match role {
            Role::Serving => self.serving,
            Role::Candidate => self.candidate,
        }
    }

    /// What a release is judged by; `None` when it is not there or cannot be read.
    #[must_use]
    pub fn subject(&self, role: Role) -> Option<Subject<'a>> {
        let record = self.record;
        let older_pods = match role {
            Role::Serving => None,
            Role::Candidate => record.candidate.as_ref().map(|one| &one.older_pods),
        };
        Some(Subject {
            release: record.release(role)?,
            spec: self.spec(role)?,
            older_pods,
            marks: &record.marks,
            unseen: &self.work.unseen,
            deleted: &self.work.deleted,
            facts: self.facts,
        })
    }

    /// What was rendered of a pin, as long as that is how it is rendered.
    fn draft(&self, pin: &Pin) -> Option<&'a Draft> {
        let draft = self.work.draft.as_ref();
        draft.filter(|draft| draft.pin == *pin && draft.rendering == self.rendering)
    }
}

/// Decides.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    if situation.is_blind || situation.work.is_busy {
        return plan;
    }
    let step = match situation.wish {
        Wish::Absent { remove_data } => prune::leave(situation, remove_data),
        Wish::Unknown | Wish::Run(_) | Wish::Hold { .. } => follow::step(situation, &mut plan)
            .or_else(|| apply(situation, &mut plan))
            .or_else(|| gate::step(situation, &mut plan))
            .or_else(|| keep::step(situation, &mut plan)),
    };
    let step = step.or_else(|| prune::step(situation, &mut plan));
    if let Some(action) = step {
        plan.act(action);
    }
    plan
}

/// Applies what the record says.
fn apply(situation: &Situation<'_>, plan: &mut Plan) -> Option<Action> {
    let (role, release) = situation.record.current()?;
    if release.is_applied {
        return None;
    }
    if let Some(draft) = situation.draft(&release.pin) {
        let is_as_recorded = draft.label == release.label && draft.objects == release.objects;
        // It is rendered in another way than when the record was written.
        return Some(match is_as_recorded {
            true => Action::Apply(role),
            false => Action::Repin(role, draft.clone()),
        });
    }
    if let Some(failing) = gate::stuck(situation, plan) {
        return Some(Action::Fail(failing));
    }
    prepare(situation, plan, &release.pin, |refusal| {
        let failing = failing(situation, role, release, refusal);
        // Of what is on its way only the first failure counts, and what serves is to be made right.
        let is_judged = role == Role::Candidate && situation.record.failed.is_none();
        is_judged.then_some(failing)
    })
}

fn failing(situation: &Situation<'_>, role: Role, release: &Release, refusal: &Refusal) -> Failing {
    Failing {
        pin: release.pin.clone(),
        reason: refusal.reason,
        message: refusal.message.clone(),
        goes_back: role == Role::Candidate && gate::goes_back(situation),
    }
}

/// Renders a pin, unless that was refused: then it fails for good as `fail` says, or is tried again
/// later.
fn prepare(
    situation: &Situation<'_>,
    plan: &mut Plan,
    pin: &Pin,
    fail: impl Fn(&Refusal) -> Option<Failing>,
) -> Option<Action> {
    let Some(refused) = situation.work.refused(pin) else {
        return Some(Action::Prepare(pin.clone()));
    };
    if refused.refusal.is_final
        && let Some(failing) = fail(&refused.refusal)
    {
        return Some(Action::Fail(failing));
    }
    if situation.now < refused.retry_at {
        plan.wake(refused.retry_at);
        return None;
    }
    Some(Action::Prepare(pin.clone()))
}
