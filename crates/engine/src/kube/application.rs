//! The state machine of one application in a cluster: one task that owns everything about it.
//!
//! Orders and facts come as levels. After each change the task plans, makes the changed record
//! durable, and only then starts what is visible, in an operation that runs beside it; so it never
//! waits for the cluster, and nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_shadow::Digest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::facts::{AppFacts, ClusterFacts, KindName};
use super::object::ObjectKey;
use super::plan::{Plan, Situation, Wish, Work, plan};
use super::record::{KubeRecord, Role};
use super::spec::KubeSpec;
use crate::desired::Pin;
use crate::driver::Refusal;
use crate::reason;
use crate::spec::Claim;
use crate::status::Obstacle;

mod execute;
mod operation;
mod outcome;
mod settle;
mod view;

use operation::{Outcome, Prepared};
pub(super) use view::View;

/// Rounds of planning before the task looks at its levels again; each changes the record or starts
/// an operation, so more than a few mean that rules contradict each other.
const MAX_ROUNDS: usize = 32;

/// How long the store may take.
const STORE_BOUND: Duration = Duration::from_secs(30);

/// What the supervisor wants of an application.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Counts orders; comes back in the view.
    pub(super) sequence: u64,
    /// Counts requests to forget a failure.
    pub(super) retries: u64,
    pub(super) target: Target,
    /// Trace context of the change that set this target.
    pub(super) cause: Option<Arc<str>>,
}

/// What an application should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// Nothing was said yet.
    Unknown,
    /// Running as pinned.
    Run { pin: Pin, spec: Arc<KubeSpec> },
    /// Something that cannot be done.
    Blocked { revision: u64, obstacle: Obstacle },
    /// Gone.
    Absent { remove_data: bool },
}

/// What a new task starts from.
pub(super) struct Start {
    pub(super) record: KubeRecord,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) views: mpsc::Sender<View>,
    /// Whether everything has been listed once.
    pub(super) listed: watch::Receiver<bool>,
    /// Objects that an earlier task left where they are.
    pub(super) kept: BTreeSet<ObjectKey>,
    pub(super) end: CancellationToken,
}

/// What is left of an application that was removed.
#[derive(Debug)]
pub(super) struct Departed {
    /// Its name.
    pub(super) name: String,
    /// Objects that were left where they are, since things of others would go with them.
    pub(super) kept: BTreeSet<ObjectKey>,
}

/// One application.
pub(super) struct Application {
    context: Arc<Context>,
    record: KubeRecord,
    /// The record differs from what is stored.
    is_dirty: bool,
    /// The store failed; nothing is done before this time.
    blocked_until: Option<Instant>,
    specs: Specs,
    orders: watch::Receiver<Order>,
    order: Order,
    facts: watch::Receiver<Arc<AppFacts>>,
    cluster: watch::Receiver<Arc<ClusterFacts>>,
    listed: watch::Receiver<bool>,
    sight: Sight,
    work: Work,
    /// What was rendered and checked last, with all that it needs to be applied.
    prepared: Option<Prepared>,
    /// The kinds that the watches were asked to follow.
    followed: BTreeSet<KindName>,
    operations: JoinSet<Outcome>,
    /// What the operation under way is about, when a new order may end it.
    underway: Option<Pin>,
    views: mpsc::Sender<View>,
    shown: Option<View>,
    /// What only one application can have, and this one still has.
    claims: BTreeSet<Claim>,
    is_removed: bool,
    end: CancellationToken,
}

/// What is seen at this moment.
#[derive(Debug)]
struct Sight {
    facts: Arc<AppFacts>,
    cluster: Arc<ClusterFacts>,
    is_listed: bool,
    /// Since when nothing new is seen.
    blind_since: Option<SystemTime>,
    started: Instant,
}

/// What the releases are made of.
#[derive(Debug, Default)]
struct Specs {
    known: BTreeMap<Digest, Arc<KubeSpec>>,
    /// A body was missing; when to look again.
    retry_at: Option<Instant>,
}

impl Application {
    pub(super) fn new(context: Arc<Context>, start: Start) -> Self {
        let mut orders = start.orders;
        let order = orders.borrow_and_update().clone();
        let name = &start.record.application;
        let (facts, cluster) = (context.watches.facts(name), context.watches.cluster());
        let sight = Sight {
            facts: Arc::default(),
            cluster: Arc::default(),
            is_listed: false,
            blind_since: None,
            started: Instant::now(),
        };
        let mut application = Self {
            context,
            record: start.record,
            is_dirty: false,
            blocked_until: None,
            specs: Specs::default(),
            orders,
            order,
            facts,
            cluster,
            listed: start.listed,
            sight,
            work: Work {
                kept: start.kept,
                ..Work::default()
            },
            prepared: None,
            followed: BTreeSet::new(),
            operations: JoinSet::new(),
            underway: None,
            views: start.views,
            shown: None,
            claims: BTreeSet::new(),
            is_removed: false,
            end: start.end,
        };
        application.follow();
        application
    }

    /// Runs until the application is removed, or the engine ends.
    pub(super) async fn run(mut self) -> Departed {
        loop {
            self.look();
            let wake_at = self.reconcile().await;
            self.show().await;
            if self.is_removed {
                return self.departed();
            }
            // What was shown is to be stored.
            let wake_at = match self.is_dirty && self.blocked_until.is_none() {
                true => Some(Instant::now()),
                false => wake_at,
            };
            let sleep = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Each arm only takes something off a queue or a level: all are cancel safe.
            tokio::select! {
                () = self.end.cancelled() => return self.departed(),
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return self.departed();
                    }
                    self.take_order();
                }
                Ok(()) = self.facts.changed() => {}
                Ok(()) = self.cluster.changed() => {}
                Ok(()) = self.listed.changed() => {}
                Some(outcome) = self.operations.join_next() => self.take_outcome(outcome),
                () = sleep => {}
            }
        }
    }

    fn departed(self) -> Departed {
        Departed {
            name: self.record.application,
            kept: self.work.kept,
        }
    }

    fn take_order(&mut self) {
        let mut order = self.orders.borrow_and_update().clone();
        if order.target == self.order.target {
            order.cause = self.order.cause.take();
        }
        if order.retries != self.order.retries {
            self.retry();
        }
        let is_overtaken = order.target != self.order.target
            && match &order.target {
                Target::Run { pin, .. } => self.underway.as_ref().is_some_and(|one| one != pin),
                Target::Absent { .. } => self.underway.is_some(),
                Target::Unknown | Target::Blocked { .. } => false,
            };
        self.order = order;
        // Rendering, checking and applying may be repeated from anywhere; nothing else is ended.
        if is_overtaken {
            self.operations.abort_all();
        }
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
            self.settle();
            let plan = self.plan();
            let has_work = !plan.actions.is_empty() || self.is_dirty;
            if !has_work {
                return self.wake_at(plan.wake_at);
            }
            if !self.execute(plan.actions).await {
                let until = Instant::now() + self.context.pause(0);
                self.blocked_until = Some(until);
                return Some(until);
            }
            if self.is_removed {
                return None;
            }
        }
        tracing::error!(
            app.name = self.record.application,
            rounds = MAX_ROUNDS,
            "planning does not come to an end"
        );
        Some(Instant::now() + self.context.pause(MAX_FAILURES))
    }

    fn plan(&self) -> Plan {
        let (serving, candidate) = (self.spec(Role::Serving), self.spec(Role::Candidate));
        plan(&self.situation(serving.as_deref(), candidate.as_deref()))
    }

    fn situation<'a>(
        &'a self,
        serving: Option<&'a KubeSpec>,
        candidate: Option<&'a KubeSpec>,
    ) -> Situation<'a> {
        Situation {
            wish: self.wish(),
            record: &self.record,
            serving,
            candidate,
            rendering: &self.context.rendering,
            facts: &self.sight.facts,
            is_blind: self.is_blind(),
            work: &self.work,
            now: Instant::now(),
            clock: SystemTime::now(),
        }
    }

    fn wish(&self) -> Wish<'_> {
        match &self.order.target {
            Target::Unknown => Wish::Unknown,
            Target::Run { pin, .. } => Wish::Run(pin),
            Target::Blocked { obstacle, .. } => Wish::Hold {
                is_passing: obstacle.is_passing,
            },
            Target::Absent { remove_data } => Wish::Absent {
                remove_data: *remove_data,
            },
        }
    }

    fn spec(&self, role: Role) -> Option<Arc<KubeSpec>> {
        let digest = self.record.release(role)?.pin.digest;
        self.specs.known.get(&digest).cloned()
    }

    /// Reads what the releases are made of, as far as it is not known.
    async fn load_specs(&mut self) {
        let releases = self.record.releases();
        let mut wanted: BTreeSet<Digest> = releases.map(|release| release.pin.digest).collect();
        if let Target::Run { pin, spec } = &self.order.target {
            self.specs.known.insert(pin.digest, spec.clone());
            wanted.insert(pin.digest);
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
        self.specs.known.retain(|digest, _| wanted.contains(digest));
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
                self.specs.retry_at = Some(Instant::now() + self.context.pause(MAX_FAILURES));
            }
        }
    }

    fn wake_at(&self, planned: Option<Instant>) -> Option<Instant> {
        let unseen = self.work.unseen.values().min().copied();
        [planned, self.specs.retry_at, unseen, self.patience_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Makes the record durable; false when that failed.
    async fn save(&mut self, record: &KubeRecord) -> bool {
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

    /// Asks the watches for kinds that they would not look at by themselves.
    fn follow(&mut self) {
        let kinds: BTreeSet<KindName> = self
            .record
            .inventory()
            .into_iter()
            .map(|key| (key.api_version.clone(), key.kind.clone()))
            .collect();
        if kinds != self.followed {
            let name = &self.record.application;
            self.context.watches.follow(name, kinds.clone());
            self.followed = kinds;
        }
    }
}

/// Failures after which a pause is as long as it gets.
const MAX_FAILURES: u32 = 5;

/// Reads the stored body of an application.
pub(super) async fn read_spec(context: &Context, digest: &Digest) -> Result<KubeSpec, Refusal> {
    let Some(body) = context.dependencies.bodies.body(digest).await? else {
        let message = "the body of the application is not on this node";
        return Err(Refusal::passing(reason::BODY_MISSING, message));
    };
    KubeSpec::parse(&body)
}
