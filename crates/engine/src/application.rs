//! The state machine of one application: one task that owns everything about it.
//!
//! Orders come as a level, what happens to instances as events. After each the task plans, makes
//! the changed record durable, and only then starts what is visible, in operations that run beside
//! it; so it never waits for a process, and nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_process::InstanceId;
use baetyl_shadow::Digest;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::desired::Pin;
use crate::driver::{Found, Refusal};
use crate::observed::{Health, Observed, Phase};
use crate::plan::{Plan, Situation, Wish, plan};
use crate::record::{AppRecord, Role};
use crate::spec::{AppSpec, Claim};
use crate::status::{Asked, Obstacle};

mod adopt;
mod event;
mod execute;
mod monitor;
mod operation;
mod view;

pub(crate) use adopt::DEFAULT_GRACE;
use monitor::Event;
use operation::Outcome;
pub(crate) use view::View;

/// Rounds of planning before the task looks at its events again; each changes the record or starts
/// an operation, so more than a few mean that rules contradict each other.
const MAX_ROUNDS: usize = 32;

/// Events of one application that wait; probes send few, and only changes.
const MAX_EVENTS: usize = 64;

/// How long the store may take.
const STORE_BOUND: Duration = Duration::from_secs(30);

/// What the supervisor wants of an application.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Counts orders; comes back in the view.
    pub(crate) sequence: u64,
    /// Counts requests to forget a failure.
    pub(crate) retries: u64,
    pub(crate) target: Target,
    /// Trace context of the change that set this target.
    pub(crate) cause: Option<Arc<str>>,
}

/// What an application should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// Nothing was said yet.
    Unknown,
    /// Running as pinned.
    Run { pin: Pin, spec: Arc<AppSpec> },
    /// Something that cannot be done.
    Blocked { revision: u64, obstacle: Obstacle },
    /// Stopped for now.
    Halted,
    /// Gone.
    Absent { remove_data: bool },
}

/// What a new task starts from.
pub(crate) struct Start {
    pub(crate) record: AppRecord,
    pub(crate) found: Vec<Found>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) views: mpsc::Sender<View>,
    pub(crate) end: CancellationToken,
}

/// One application.
pub(crate) struct Application {
    context: Arc<Context>,
    record: AppRecord,
    /// The record differs from what is stored.
    is_dirty: bool,
    /// The store failed; nothing is done before this time.
    blocked_until: Option<Instant>,
    specs: Specs,
    orders: watch::Receiver<Order>,
    order: Order,
    observed: Observed,
    /// Health of running instances that cannot be observed for a while.
    suspended: BTreeMap<InstanceId, Health>,
    operations: JoinSet<Outcome>,
    monitors: JoinSet<()>,
    watched: BTreeMap<InstanceId, AbortHandle>,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    views: mpsc::Sender<View>,
    shown: Option<View>,
    /// When the credentials of each service must be renewed.
    renewals: BTreeMap<String, Instant>,
    needs_tidying: bool,
    /// Why files could not be prepared, as it was logged last.
    told: Option<Refusal>,
    /// What only one application can have, and this one still has.
    claims: BTreeSet<Claim>,
    is_removed: bool,
    end: CancellationToken,
}

/// What the releases are made of.
#[derive(Debug, Default)]
struct Specs {
    known: BTreeMap<Digest, Arc<AppSpec>>,
    /// A body was missing; when to look again.
    retry_at: Option<Instant>,
}

impl Application {
    pub(crate) fn new(context: Arc<Context>, start: Start) -> Self {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let mut orders = start.orders;
        let order = orders.borrow_and_update().clone();
        let mut application = Self {
            context,
            record: start.record,
            is_dirty: false,
            blocked_until: None,
            specs: Specs::default(),
            orders,
            order,
            observed: Observed::default(),
            suspended: BTreeMap::new(),
            operations: JoinSet::new(),
            monitors: JoinSet::new(),
            watched: BTreeMap::new(),
            sender,
            events,
            views: start.views,
            shown: None,
            renewals: BTreeMap::new(),
            needs_tidying: true,
            told: None,
            claims: BTreeSet::new(),
            is_removed: false,
            end: start.end,
        };
        application.observe_found(start.found);
        application
    }

    /// Runs until the application is removed, or the engine ends. Returns its name.
    pub(crate) async fn run(mut self) -> String {
        self.load_specs().await;
        self.adopt();
        let mut samples = self.context.samples.clone();
        loop {
            let wake_at = self.reconcile().await;
            self.show().await;
            if self.is_removed {
                return self.record.application;
            }
            let sleep = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Each arm only takes something off a queue or a level: all are cancel safe.
            tokio::select! {
                () = self.end.cancelled() => return self.record.application,
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return self.record.application;
                    }
                    self.take_order();
                }
                Some(event) = self.events.recv() => self.take_event(event),
                Some(outcome) = self.operations.join_next() => self.take_outcome(outcome),
                // Monitors end with their instances.
                Some(_) = self.monitors.join_next() => {}
                Ok(()) = samples.changed() => self.take_samples(&samples.borrow_and_update()),
                () = sleep => {}
            }
            // Whatever else happened meanwhile belongs into the same plan.
            while let Ok(event) = self.events.try_recv() {
                self.take_event(event);
            }
            while let Some(outcome) = self.operations.try_join_next() {
                self.take_outcome(outcome);
            }
        }
    }

    fn take_order(&mut self) {
        let mut order = self.orders.borrow_and_update().clone();
        if order.target == self.order.target {
            order.cause = self.order.cause.take();
        }
        if order.retries != self.order.retries && self.record.failed.take().is_some() {
            self.is_dirty = true;
        }
        self.order = order;
    }

    /// Plans and acts until there is nothing to do; returns when to plan again.
    async fn reconcile(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if let Some(until) = self.blocked_until {
            if now < until {
                return Some(until);
            }
            self.blocked_until = None;
        }
        for _ in 0..MAX_ROUNDS {
            self.load_specs().await;
            let plan = self.plan();
            let has_work = !plan.actions.is_empty() || self.is_dirty;
            if !has_work {
                self.renew();
                self.tidy().await;
                return self.wake_at(plan.wake_at);
            }
            if !self.execute(plan.actions).await {
                let until = Instant::now() + self.context.config.retry_period;
                self.blocked_until = Some(until);
                return Some(until);
            }
        }
        tracing::error!(
            app.name = self.record.application,
            rounds = MAX_ROUNDS,
            "planning does not come to an end"
        );
        Some(Instant::now() + self.context.config.retry_period)
    }

    fn plan(&mut self) -> Plan {
        let now = Instant::now();
        let (serving, candidate) = (self.spec(Role::Serving), self.spec(Role::Candidate));
        let mut observed = std::mem::take(&mut self.observed);
        let is_blocked = self
            .situation(&observed, serving.as_deref(), candidate.as_deref(), now)
            .is_gate_blocked();
        observed.settle(&self.record, is_blocked, now);
        let plan = plan(&self.situation(&observed, serving.as_deref(), candidate.as_deref(), now));
        self.observed = observed;
        plan
    }

    fn situation<'a>(
        &'a self,
        observed: &'a Observed,
        serving: Option<&'a AppSpec>,
        candidate: Option<&'a AppSpec>,
        now: Instant,
    ) -> Situation<'a> {
        Situation {
            wish: self.wish(),
            record: &self.record,
            serving,
            candidate,
            observed,
            now,
        }
    }

    fn wish(&self) -> Wish<'_> {
        match &self.order.target {
            Target::Unknown => Wish::Unknown,
            Target::Run { pin, spec } => Wish::Run { pin, spec },
            Target::Blocked { .. } => Wish::Hold,
            Target::Halted => Wish::Halt,
            Target::Absent { .. } => Wish::Absent,
        }
    }

    fn asked(&self) -> Asked<'_> {
        let none = Asked {
            revision: 0,
            pin: None,
            obstacle: None,
            is_removed: false,
            is_store_failing: self.blocked_until.is_some(),
            keeps_cpu_limits: self.context.dependencies.driver.support().cpu_limits,
        };
        match &self.order.target {
            Target::Unknown | Target::Halted => Asked {
                revision: self
                    .record
                    .releases()
                    .last()
                    .map_or(0, |last| last.pin.revision),
                ..none
            },
            Target::Run { pin, .. } => Asked {
                revision: pin.revision,
                pin: Some(pin),
                ..none
            },
            Target::Blocked { revision, obstacle } => Asked {
                revision: *revision,
                obstacle: Some(obstacle),
                ..none
            },
            Target::Absent { .. } => Asked {
                is_removed: true,
                ..none
            },
        }
    }

    fn spec(&self, role: Role) -> Option<Arc<AppSpec>> {
        let digest = self.record.release(role)?.pin.digest;
        self.specs.known.get(&digest).cloned()
    }

    /// Reads what the releases are made of, as far as it is not known.
    async fn load_specs(&mut self) {
        let wanted: BTreeSet<Digest> = self
            .record
            .releases()
            .map(|release| release.pin.digest)
            .collect();
        if let Target::Run { pin, spec } = &self.order.target {
            self.specs.known.insert(pin.digest, spec.clone());
        }
        let is_due = self.specs.retry_at.is_none_or(|at| Instant::now() >= at);
        if is_due {
            self.specs.retry_at = None;
            for digest in &wanted {
                if !self.specs.known.contains_key(digest) {
                    self.load_spec(digest).await;
                }
            }
        }
        let ordered = match &self.order.target {
            Target::Run { pin, .. } => Some(pin.digest),
            Target::Unknown | Target::Blocked { .. } | Target::Halted | Target::Absent { .. } => {
                None
            }
        };
        self.specs
            .known
            .retain(|digest, _| wanted.contains(digest) || ordered == Some(*digest));
    }

    async fn load_spec(&mut self, digest: &Digest) {
        match read_spec(&self.context, digest).await {
            Ok(spec) => {
                self.specs.known.insert(*digest, Arc::new(spec));
            }
            Err(refusal) => {
                tracing::warn!(
                    app.name = self.record.application,
                    error = refusal.message,
                    "the application of a release cannot be read"
                );
                self.specs.retry_at = Some(Instant::now() + self.context.config.retry_period);
            }
        }
    }

    fn wake_at(&self, planned: Option<Instant>) -> Option<Instant> {
        [planned, self.renewal_at(), self.specs.retry_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Makes the record durable; false when that failed.
    async fn save(&mut self, record: &AppRecord) -> bool {
        let store = &self.context.dependencies.store;
        let failure = match timeout(STORE_BOUND, store.save(&record.stored())).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => baetyl_service_kit::fault::chain(&error),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::error!(
            app.name = record.application,
            error = failure,
            "the record of an application was not stored"
        );
        false
    }

    /// Removes files that no release needs any more, once nothing runs from them.
    async fn tidy(&mut self) {
        let is_busy = self
            .observed
            .instances
            .iter()
            .any(|(id, seen)| seen.phase.is_live() && self.record.slot_of(id).is_none())
            || self.is_preparing();
        if !self.needs_tidying || is_busy || !matches!(self.order.target, Target::Run { .. }) {
            return;
        }
        self.needs_tidying = false;
        let numbers: BTreeSet<u64> = self.record.releases().map(|one| one.number).collect();
        self.observed
            .files
            .retain(|number, _| numbers.contains(number));
        let keep = self
            .record
            .releases()
            .map(|release| crate::driver::Kept {
                number: release.number,
                digests: release.pin.inputs.values().copied().collect(),
            })
            .collect();
        let driver = self.context.dependencies.driver.clone();
        if let Err(error) = driver.tidy(&self.record.application, keep).await {
            tracing::warn!(
                app.name = self.record.application,
                error = baetyl_service_kit::fault::chain(&error),
                "files that are no longer needed were not removed"
            );
        }
    }

    fn is_preparing(&self) -> bool {
        let mut files = self.observed.files.values();
        files.any(|prepared| matches!(prepared, crate::observed::Prepared::Running(_)))
    }

    fn has_live(&self) -> bool {
        let mut instances = self.observed.instances.values();
        instances.any(|seen| seen.phase.is_live() && !matches!(seen.phase, Phase::Unknown { .. }))
    }

    fn now() -> SystemTime {
        SystemTime::now()
    }
}

/// Reads what an application is made of.
pub(crate) async fn read_spec(context: &Context, digest: &Digest) -> Result<AppSpec, Refusal> {
    let Some(body) = context.dependencies.bodies.body(digest).await? else {
        return Err(Refusal::passing(
            crate::reason::BODY_MISSING,
            "the body of the application is not on this node",
        ));
    };
    AppSpec::parse(&body)
}
