//! The supervisor: one task per application, and what concerns several of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baetyl_shadow::{Digest, Fence};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Client;
use super::application::{Application, Departed, Order, Start, Target, View};
use super::cluster::Cluster;
use super::context::{Context, Dependencies};
use super::logs;
use super::object::ObjectKey;
use super::record::{KubeRecord, is_data};
use super::settings::KubeSettings;
use super::spec::KubeSpec;
use super::watch::Watches;
use crate::dependency::{DependencyError, StoredRecord};
use crate::desired::Wanted;
use crate::driver::{DriverError, Refusal};
use crate::handle::{Command, EngineError, EngineHandle, EngineStatus, Shared};
use crate::logs::{LogLines, LogQuery, LogReader};

mod publish;
mod target;

/// Orders that wait; a host sends few.
const MAX_COMMANDS: usize = 16;

/// Views that wait; each application sends one when it changed.
const MAX_VIEWS: usize = 64;

/// How long everything may take to go: the longest grace, and then some.
const LEAVE_BOUND: Duration = Duration::from_secs(900);

/// How long tasks may take to end by themselves.
const END_BOUND: Duration = Duration::from_secs(35);

/// Starts the engine for a cluster.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Reads the records, and starts to watch the cluster and to keep what is there. Returns at
    /// once; nothing is done before everything has been listed.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the records cannot be read.
    pub async fn start(
        settings: KubeSettings,
        client: Client,
        dependencies: Dependencies,
    ) -> Result<EngineHandle, EngineError> {
        let stored = dependencies.store.load().await?;
        let decode = |stored: &StoredRecord| KubeRecord::decode(&stored.bytes);
        let records: Result<Vec<_>, _> = stored.iter().map(decode).collect();
        let records = records.map_err(|error| DependencyError::new("read a record", error))?;
        let settings = Arc::new(settings);
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let watches = Watches::start(client.clone(), settings.clone(), &tasks, end.child_token());
        let (desired, wanted) = watch::channel(None);
        let (commands, orders) = mpsc::channel(MAX_COMMANDS);
        let (publisher, levels) = publish::channels();
        let (listed, is_listed) = watch::channel(false);
        let cluster = Cluster::new(client.clone(), settings.clone());
        let context = Arc::new(Context::new(
            settings,
            dependencies,
            cluster,
            watches.clone(),
        ));
        let (ready, until) = (watches.clone(), end.clone());
        tasks.spawn(async move {
            if until.run_until_cancelled(ready.ready()).await.is_some() {
                listed.send_replace(true);
                // Applications look at it for as long as they live.
                until.cancelled().await;
            }
        });
        let supervisor = Supervisor::new(context, publisher, is_listed, end.clone());
        tasks.spawn(supervisor.run(records, wanted, orders));
        let logs = KubeLogs {
            watches: watches.clone(),
            client,
            status: levels.status.clone(),
        };
        Ok(EngineHandle::new(Shared {
            desired,
            commands,
            status: levels.status,
            routes: levels.routes,
            logs: Box::new(logs),
            machines: Some(watches.machines()),
            features: super::FEATURES,
            tasks,
            _end: end.drop_guard(),
        }))
    }
}

/// Reads the logs of pods.
struct KubeLogs {
    watches: Watches,
    client: Client,
    status: watch::Receiver<Arc<EngineStatus>>,
}

impl LogReader for KubeLogs {
    fn read(&self, query: LogQuery) -> Option<LogLines> {
        let status = self.status.borrow();
        let is_known = status.applications.contains_key(&query.application);
        is_known.then(|| logs::read(self.watches.clone(), self.client.clone(), query))
    }
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
    applications: JoinSet<Departed>,
    desired: Option<Arc<Wanted>>,
    /// Applications by the digest of their body, as far as they are desired.
    specs: BTreeMap<Digest, Result<Arc<KubeSpec>, Refusal>>,
    /// When to look again for what was missing.
    retry_at: Option<Instant>,
    mode: Mode,
    sequence: u64,
    converged: Option<Fence>,
    views: (mpsc::Sender<View>, mpsc::Receiver<View>),
    publisher: publish::Publisher,
    /// Whether everything has been listed once.
    listed: watch::Receiver<bool>,
    /// Every application of which something is there.
    seen: watch::Receiver<Arc<BTreeSet<String>>>,
    /// Objects of applications that went, left since things of others would go with them.
    abandoned: BTreeSet<ObjectKey>,
    end: CancellationToken,
}

/// What woke the supervisor.
enum Woken {
    End,
    Wanted,
    Command(Option<Command>),
    View(Box<View>),
    Removed(Departed),
    Seen,
    Timer,
}

impl Supervisor {
    fn new(
        context: Arc<Context>,
        publisher: publish::Publisher,
        listed: watch::Receiver<bool>,
        end: CancellationToken,
    ) -> Self {
        let seen = context.watches.applications();
        Self {
            context,
            members: BTreeMap::new(),
            applications: JoinSet::new(),
            desired: None,
            specs: BTreeMap::new(),
            retry_at: None,
            mode: Mode::Follow,
            sequence: 0,
            converged: None,
            views: mpsc::channel(MAX_VIEWS),
            publisher,
            listed,
            seen,
            abandoned: BTreeSet::new(),
            end,
        }
    }

    async fn run(
        mut self,
        records: Vec<KubeRecord>,
        mut wanted: watch::Receiver<Option<Arc<Wanted>>>,
        mut orders: mpsc::Receiver<Command>,
    ) {
        for record in records {
            self.add(record, Target::Unknown);
        }
        self.desired = wanted.borrow_and_update().clone();
        self.reorder().await;
        self.publish();
        loop {
            match self.next(&mut wanted, &mut orders).await {
                Woken::End | Woken::Command(None) => break,
                Woken::Wanted => {
                    if matches!(self.mode, Mode::Empty) {
                        self.mode = Mode::Follow;
                    }
                    self.desired = wanted.borrow_and_update().clone();
                    self.reorder().await;
                }
                // The cluster keeps instances running, whoever watches: there is nothing to stop.
                Woken::Command(Some(Command::Stop(_, done))) => {
                    self.finish().await;
                    let _ = done.send(());
                    return;
                }
                Woken::Command(Some(command)) => self.take_command(command).await,
                Woken::View(view) => self.take_view(*view).await,
                Woken::Removed(departed) => {
                    self.members.remove(&departed.name);
                    self.abandoned.extend(departed.kept);
                    self.reorder().await;
                }
                Woken::Seen => {
                    if !self.strays().is_empty() {
                        self.reorder().await;
                    }
                }
                Woken::Timer => self.reorder().await,
            }
            self.publish();
            self.conclude();
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
            Mode::Leaving { until, .. } => Some(*until),
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
            Some(departed) = self.applications.join_next() => match departed {
                Ok(departed) => Woken::Removed(departed),
                Err(error) => {
                    tracing::error!(error = %error, "task of an application died");
                    Woken::Timer
                }
            },
            Ok(()) = self.seen.changed() => Woken::Seen,
            Ok(()) = self.listed.changed() => Woken::Seen,
            () = sleep => Woken::Timer,
        }
    }

    fn add(&mut self, record: KubeRecord, target: Target) {
        let name = record.application.clone();
        let (orders, receiver) = watch::channel(Order {
            sequence: self.sequence,
            retries: 0,
            target,
            cause: self.cause(),
        });
        let start = Start {
            record,
            orders: receiver,
            views: self.views.0.clone(),
            listed: self.listed.clone(),
            kept: self.abandoned.clone(),
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
            }
            Command::Stop(_, done) => {
                let _ = done.send(());
            }
            Command::Decommission { remove_data, done } => {
                self.mode = Mode::Leaving {
                    remove_data,
                    done,
                    until: Instant::now() + LEAVE_BOUND,
                };
            }
        }
        self.reorder().await;
    }

    /// Ends what the mode waits for.
    fn conclude(&mut self) {
        let Mode::Leaving { until, .. } = &self.mode else {
            return;
        };
        let is_late = Instant::now() >= *until;
        let is_listed = *self.listed.borrow();
        let is_gone = is_listed && self.members.is_empty() && self.strays().is_empty();
        if !is_gone && !is_late {
            return;
        }
        if let Mode::Leaving { done, .. } = std::mem::replace(&mut self.mode, Mode::Empty) {
            let answer = match is_gone {
                true => {
                    self.desired = None;
                    Ok(())
                }
                false => {
                    let doing = "remove every application in time";
                    Err(DriverError::new(doing, "some are still there").into())
                }
            };
            let _ = done.send(answer);
        }
    }

    /// Applications that are there without a task: somebody lost their records.
    fn strays(&self) -> Vec<String> {
        let remove_data = match &self.mode {
            Mode::Leaving { remove_data, .. } => *remove_data,
            // Data of applications that went stays.
            Mode::Follow | Mode::Empty => false,
        };
        if !*self.listed.borrow() {
            return Vec::new();
        }
        let seen = self.seen.borrow().clone();
        let unknown = seen.iter().filter(|name| !self.members.contains_key(*name));
        unknown
            .filter(|name| self.has_leftovers(name, remove_data))
            .cloned()
            .collect()
    }

    fn has_leftovers(&self, name: &str, remove_data: bool) -> bool {
        let facts = self.context.watches.facts(name).borrow().clone();
        let mut objects = facts.objects.iter();
        let goes =
            |key: &ObjectKey| !self.abandoned.contains(key) && (remove_data || !is_data(key));
        !facts.pods.is_empty() || objects.any(|(key, object)| !object.is_controlled && goes(key))
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
    }
}
