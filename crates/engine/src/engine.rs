//! The supervisor: one task per application, and what concerns several of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_process::InstanceId;
use baetyl_shadow::{Digest, Fence};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::application::{Application, Order, Start, Target, View};
use crate::config::EngineConfig;
use crate::context::{Context, Samples};
use crate::dependency::{Dependencies, DependencyError, StoredRecord};
use crate::desired::Wanted;
use crate::driver::{Driver, Found};
use crate::handle::{Command, EngineError, EngineHandle, Shared, StopMode};
use crate::logs::ProcessLogs;
use crate::record::AppRecord;
use crate::spec::AppSpec;

mod publish;
mod sampler;
mod target;

/// Orders that wait; a host sends few.
const MAX_COMMANDS: usize = 16;

/// Views that wait; each application sends one when it changed.
const MAX_VIEWS: usize = 64;

/// How long everything may take to stop or go: the longest grace, and then some.
const STOP_BOUND: Duration = Duration::from_secs(900);

/// How long tasks may take to end by themselves.
const END_BOUND: Duration = Duration::from_secs(35);

/// Starts the engine.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Reads the records, and starts to adopt and to keep what runs. Returns at once; nothing new
    /// is started before it is known what runs already.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the records cannot be read.
    pub async fn start(
        config: EngineConfig,
        dependencies: Dependencies,
    ) -> Result<EngineHandle, EngineError> {
        let stored = dependencies.store.load().await?;
        let decode = |stored: &StoredRecord| AppRecord::decode(&stored.bytes);
        let records: Result<Vec<_>, _> = stored.iter().map(decode).collect();
        let records = records.map_err(|error| DependencyError::new("read a record", error))?;
        let end = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (desired, wanted) = watch::channel(None);
        let (commands, orders) = mpsc::channel(MAX_COMMANDS);
        let (publisher, levels) = publish::channels();
        let (sampled, samples) = watch::channel(Samples::default());
        let driver = dependencies.driver.clone();
        let supervisor = Supervisor::new(config, dependencies, samples, publisher, end.clone());
        let inputs = Inputs {
            records,
            wanted,
            orders,
            sampled,
        };
        tasks.spawn(supervisor.run(inputs));
        Ok(EngineHandle::new(Shared {
            desired,
            commands,
            status: levels.status,
            routes: levels.routes,
            logs: Box::new(ProcessLogs {
                driver,
                sources: levels.logs,
            }),
            machines: None,
            features: crate::FEATURES,
            tasks,
            _end: end.drop_guard(),
        }))
    }
}

/// What the supervisor reads.
struct Inputs {
    records: Vec<AppRecord>,
    wanted: watch::Receiver<Option<Arc<Wanted>>>,
    orders: mpsc::Receiver<Command>,
    sampled: watch::Sender<Samples>,
}

/// One application as the supervisor knows it.
struct Member {
    orders: watch::Sender<Order>,
    view: Option<View>,
    retries: u64,
}

/// What the supervisor does about the desired state.
enum Mode {
    Follow,
    /// Everything is being stopped, then the engine ends.
    Halting(oneshot::Sender<()>, Instant),
    /// Everything is being removed.
    Leaving {
        remove_data: bool,
        done: oneshot::Sender<Result<(), EngineError>>,
        until: Instant,
    },
    /// Everything was removed; nothing is wanted until somebody says so again.
    Empty,
}

struct Supervisor {
    context: Arc<Context>,
    members: BTreeMap<String, Member>,
    applications: JoinSet<String>,
    leftovers: JoinSet<()>,
    desired: Option<Arc<Wanted>>,
    /// Applications by the digest of their body, as far as they are desired.
    specs: BTreeMap<Digest, Result<Arc<AppSpec>, crate::driver::Refusal>>,
    /// When to look again for what was missing.
    retry_at: Option<Instant>,
    mode: Mode,
    sequence: u64,
    converged: Option<Fence>,
    views: (mpsc::Sender<View>, mpsc::Receiver<View>),
    publisher: publish::Publisher,
    end: CancellationToken,
}

/// What woke the supervisor.
enum Woken {
    End,
    Wanted,
    Command(Option<Command>),
    View(Box<View>),
    Removed(String),
    LeftoverGone,
    Timer,
}

impl Supervisor {
    fn new(
        config: EngineConfig,
        dependencies: Dependencies,
        samples: watch::Receiver<Samples>,
        publisher: publish::Publisher,
        end: CancellationToken,
    ) -> Self {
        Self {
            context: Arc::new(Context {
                config,
                dependencies,
                ports: crate::context::PortLedger::default(),
                samples,
            }),
            members: BTreeMap::new(),
            applications: JoinSet::new(),
            leftovers: JoinSet::new(),
            desired: None,
            specs: BTreeMap::new(),
            retry_at: None,
            mode: Mode::Follow,
            sequence: 0,
            converged: None,
            views: mpsc::channel(MAX_VIEWS),
            publisher,
            end,
        }
    }

    async fn run(mut self, mut inputs: Inputs) {
        let end = self.end.clone();
        let found = tokio::select! {
            found = self.scan() => found,
            () = end.cancelled() => return,
        };
        self.adopt(std::mem::take(&mut inputs.records), found);
        let mut helpers = JoinSet::new();
        helpers.spawn(sampler::run(
            self.context.clone(),
            self.publisher.running(),
            inputs.sampled,
        ));
        self.desired = inputs.wanted.borrow_and_update().clone();
        self.reorder().await;
        self.publish();
        loop {
            let woken = self.next(&mut inputs.wanted, &mut inputs.orders).await;
            match woken {
                Woken::End | Woken::Command(None) => break,
                Woken::Wanted => {
                    if matches!(self.mode, Mode::Empty) {
                        self.mode = Mode::Follow;
                    }
                    self.desired = inputs.wanted.borrow_and_update().clone();
                    self.reorder().await;
                }
                Woken::Command(Some(Command::Stop(StopMode::LeaveRunning, done))) => {
                    self.finish().await;
                    let _ = done.send(());
                    return;
                }
                Woken::Command(Some(command)) => self.take_command(command).await,
                Woken::View(view) => self.take_view(*view).await,
                Woken::Removed(name) => {
                    self.members.remove(&name);
                    self.reorder().await;
                }
                Woken::LeftoverGone => {}
                Woken::Timer => self.reorder().await,
            }
            self.publish();
            if self.conclude().await {
                return;
            }
        }
        self.finish().await;
    }

    /// Every branch takes something off a queue or a level, and so is cancel safe.
    async fn next(
        &mut self,
        wanted: &mut watch::Receiver<Option<Arc<Wanted>>>,
        orders: &mut mpsc::Receiver<Command>,
    ) -> Woken {
        let until = match &self.mode {
            Mode::Halting(_, until) | Mode::Leaving { until, .. } => Some(*until),
            Mode::Follow | Mode::Empty => None,
        };
        let timer = [until, self.retry_at].into_iter().flatten().min();
        let sleep = async {
            match timer {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.end.cancelled() => Woken::End,
            command = orders.recv() => Woken::Command(command),
            Ok(()) = wanted.changed() => Woken::Wanted,
            Some(view) = self.views.1.recv() => Woken::View(Box::new(view)),
            Some(name) = self.applications.join_next() => match name {
                Ok(name) => Woken::Removed(name),
                Err(error) => {
                    tracing::error!(error = %error, "task of an application died");
                    Woken::Timer
                }
            },
            Some(_) = self.leftovers.join_next() => Woken::LeftoverGone,
            () = sleep => Woken::Timer,
        }
    }

    /// Looks for what runs until that is known: before, nothing may be started or removed.
    async fn scan(&self) -> Vec<Found> {
        let mut failures = 0_u32;
        loop {
            match self.context.dependencies.driver.scan().await {
                Ok(found) => return found,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::error!(
                        error = baetyl_service_kit::fault::chain(&error),
                        failures,
                        "instances cannot be found; nothing is started"
                    );
                }
            }
            sleep(self.context.config.retry_period).await;
        }
    }

    /// Gives every record a task with what was found of it; the rest is stopped.
    fn adopt(&mut self, records: Vec<AppRecord>, found: Vec<Found>) {
        let mut found: BTreeMap<InstanceId, Found> = found
            .into_iter()
            .map(|found| (found.id.clone(), found))
            .collect();
        for record in records {
            let is_own = |id: &InstanceId| record.slot_of(id).is_some() || record.is_past(id);
            let ids: Vec<InstanceId> = found.keys().filter(|id| is_own(id)).cloned().collect();
            let own = ids.iter().filter_map(|id| found.remove(id)).collect();
            self.add(record, own, Target::Unknown);
        }
        for id in found.into_keys() {
            tracing::warn!(
                instance.id = id.as_str(),
                "instance belongs to no application and is removed"
            );
            let driver = self.context.dependencies.driver.clone();
            let pause = self.context.config.retry_period;
            self.leftovers.spawn(clear(driver, id, pause));
        }
    }

    fn add(&mut self, record: AppRecord, found: Vec<Found>, target: Target) {
        let name = record.application.clone();
        let (orders, receiver) = watch::channel(Order {
            sequence: self.sequence,
            retries: 0,
            target,
            cause: self.cause(),
        });
        let start = Start {
            record,
            found,
            orders: receiver,
            views: self.views.0.clone(),
            end: self.end.child_token(),
        };
        let application = Application::new(self.context.clone(), start);
        self.applications.spawn(application.run());
        self.members.insert(
            name,
            Member {
                orders,
                view: None,
                retries: 0,
            },
        );
    }

    async fn take_view(&mut self, view: View) {
        let Some(member) = self.members.get_mut(&view.name) else {
            return;
        };
        let old = member.view.replace(view);
        let claims_changed =
            old.map(|old| old.claims) != member.view.as_ref().map(|view| view.claims.clone());
        if claims_changed {
            self.reorder().await;
        }
    }

    async fn take_command(&mut self, command: Command) {
        match command {
            Command::Retry(name, done) => {
                let answer = match self.members.get_mut(&name) {
                    Some(member) => {
                        member.retries += 1;
                        Ok(())
                    }
                    None => Err(EngineError::UnknownApplication(name)),
                };
                let _ = done.send(answer);
                self.reorder().await;
            }
            Command::Stop(_, done) => {
                self.mode = Mode::Halting(done, Instant::now() + STOP_BOUND);
                self.reorder().await;
            }
            Command::Decommission { remove_data, done } => {
                self.mode = Mode::Leaving {
                    remove_data,
                    done,
                    until: Instant::now() + STOP_BOUND,
                };
                self.reorder().await;
            }
        }
    }

    /// Ends what the mode waits for; true when the engine ends with it.
    async fn conclude(&mut self) -> bool {
        let now = Instant::now();
        match std::mem::replace(&mut self.mode, Mode::Follow) {
            Mode::Halting(done, until) => {
                let is_halted = |member: &Member| {
                    let view = member.view.as_ref();
                    view.is_some_and(|view| view.sequence == self.sequence && !view.has_live)
                };
                if now < until && !self.members.values().all(is_halted) {
                    self.mode = Mode::Halting(done, until);
                    return false;
                }
                self.finish().await;
                let _ = done.send(());
                return true;
            }
            Mode::Leaving {
                remove_data,
                done,
                until,
            } => {
                let is_gone = self.members.is_empty() && self.leftovers.is_empty();
                if !is_gone && now < until {
                    self.mode = Mode::Leaving {
                        remove_data,
                        done,
                        until,
                    };
                    return false;
                }
                let _ = done.send(self.depart(is_gone, remove_data).await);
                self.mode = Mode::Empty;
            }
            mode @ (Mode::Follow | Mode::Empty) => self.mode = mode,
        }
        false
    }

    async fn depart(&mut self, is_gone: bool, remove_data: bool) -> Result<(), EngineError> {
        if !is_gone {
            let doing = "remove every application in time";
            return Err(crate::driver::DriverError::new(doing, "some are still there").into());
        }
        self.desired = None;
        if remove_data {
            self.context.dependencies.driver.forget_all().await?;
        }
        Ok(())
    }

    /// Lets every task end in good order, so that no record is half way to the store.
    async fn finish(&mut self) {
        self.end.cancel();
        // Views are not read any more, and a full queue must not hold a task back.
        self.views.1.close();
        let ended = async { while self.applications.join_next().await.is_some() {} };
        if timeout(END_BOUND, ended).await.is_err() {
            tracing::warn!("tasks of applications did not end in time");
        }
        self.applications.shutdown().await;
        self.leftovers.shutdown().await;
    }
}

/// Stops and removes what belongs to nobody.
async fn clear(driver: Arc<dyn Driver>, id: InstanceId, pause: Duration) {
    loop {
        let cleared = async {
            driver.stop(&id, crate::application::DEFAULT_GRACE).await?;
            driver.remove(&id).await
        };
        match cleared.await {
            Ok(()) => return,
            Err(error) => tracing::warn!(
                instance.id = id.as_str(),
                error = baetyl_service_kit::fault::chain(&error),
                "leftover was not removed; trying again"
            ),
        }
        sleep(pause).await;
    }
}
