//! What the host holds: the desired state goes in, levels come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_proto::function::v1::Route;
use baetyl_proto::resource::v1::{ApplicationStatus, MachineStatus};
use baetyl_service_kit::telemetry::propagation;
use baetyl_shadow::Fence;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::dependency::DependencyError;
use crate::desired::{DesiredSet, Wanted};
use crate::driver::DriverError;
use crate::logs::{LogLines, LogQuery, LogReader};

/// Where the node stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineStatus {
    /// The desired state that is being worked on; `None` before the first one.
    pub desired: Option<Fence>,
    /// The newest desired state that ran completely: every application was healthy in its desired
    /// revision with its desired inputs (or a job), and nothing was left of others.
    pub converged: Option<Fence>,
    /// Every application that is desired or still there, by name.
    pub applications: BTreeMap<String, Arc<ApplicationStatus>>,
}

/// Routes of the function services, sorted by service.
pub type Routes = Vec<Route>;

/// The machines of a cluster by name.
pub type Machines = BTreeMap<String, MachineStatus>;

/// What becomes of the applications when the engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// They go on, and the next engine adopts them.
    LeaveRunning,
    /// They are stopped in good order; the next engine starts them again. In a cluster they go on:
    /// it is the cluster that keeps instances running, with and without an engine.
    StopAll,
}

/// A command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// No application of that name is on the node.
    #[error("application {0:?} is not on this node")]
    UnknownApplication(String),
    /// The records could not be read or removed.
    #[error("the records of the engine cannot be used")]
    Store(#[from] DependencyError),
    /// Instances or folders could not be removed in time.
    #[error("the applications could not be removed")]
    Driver(#[from] DriverError),
}

impl EngineError {
    /// Stable name of the kind of failure.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stopped => "ENGINE_STOPPED",
            Self::UnknownApplication(_) => "APPLICATION_NOT_FOUND",
            Self::Store(_) => crate::reason::STORE_UNAVAILABLE,
            Self::Driver(_) => "DRIVER_FAILED",
        }
    }
}

/// An order to the engine's supervisor, answered when it is carried out.
#[derive(Debug)]
pub(crate) enum Command {
    /// Forgets that the desired revision of an application failed.
    Retry(String, oneshot::Sender<Result<(), EngineError>>),
    /// Ends the engine.
    Stop(StopMode, oneshot::Sender<()>),
    /// Stops and removes everything.
    Decommission {
        remove_data: bool,
        done: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// The running engine. Clones share it; when the last one is dropped, the engine ends and leaves
/// the applications running.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) desired: watch::Sender<Option<Arc<Wanted>>>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Arc<EngineStatus>>,
    pub(crate) routes: watch::Receiver<Option<Arc<Routes>>>,
    pub(crate) logs: Box<dyn LogReader>,
    pub(crate) machines: Option<watch::Receiver<Arc<Machines>>>,
    pub(crate) features: &'static [&'static str],
    pub(crate) tasks: TaskTracker,
    pub(crate) _end: DropGuard,
}

impl EngineHandle {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Says what is wanted from now on. A level: the newest replaces all before it, and the same
    /// again changes nothing. What is started for it belongs to the trace of the current span.
    pub fn set_desired(&self, desired: DesiredSet) {
        let wanted = Wanted {
            set: desired,
            cause: propagation::traceparent().map(Arc::from),
        };
        self.shared.desired.send_replace(Some(Arc::new(wanted)));
    }

    /// Returns the status, and tells of every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Arc<EngineStatus>> {
        self.shared.status.clone()
    }

    /// Returns the route table, and tells of every change; `None` until it is known, so that an
    /// empty table never replaces a good one at start.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<Option<Arc<Routes>>> {
        self.shared.routes.clone()
    }

    /// Reads the log of an application: all of its instances merged, the ended ones that are kept
    /// included. Dropping the stream is always safe.
    ///
    /// # Errors
    /// [`EngineError::UnknownApplication`] when nothing of that name is on the node.
    pub fn logs(&self, query: LogQuery) -> Result<LogLines, EngineError> {
        let application = query.application.clone();
        let lines = self.shared.logs.read(query);
        lines.ok_or(EngineError::UnknownApplication(application))
    }

    /// Returns the machines of the cluster, and tells of every change; `None` where the node is
    /// the machine that it runs on.
    #[must_use]
    pub fn machines(&self) -> Option<watch::Receiver<Arc<Machines>>> {
        self.shared.machines.clone()
    }

    /// Returns the features of desired items that this engine understands, for Hello. An item
    /// that needs another one is left as it is and reported with
    /// [`crate::reason::UNSUPPORTED_FEATURE`].
    #[must_use]
    pub fn features(&self) -> &'static [&'static str] {
        self.shared.features
    }

    /// Tries the desired revision of an application again, after it failed.
    ///
    /// # Errors
    /// [`EngineError::UnknownApplication`] and [`EngineError::Stopped`].
    pub async fn retry(&self, application: &str) -> Result<(), EngineError> {
        let application = application.to_owned();
        self.order(|done| Command::Retry(application, done)).await?
    }

    /// Ends the engine, and returns when it has ended. Ending twice is fine.
    pub async fn stop(&self, mode: StopMode) {
        // Not answered means that it has ended already.
        let _ = self.order(|done| Command::Stop(mode, done)).await;
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Stops every application and forgets it, with its data when that is wanted; the engine goes
    /// on without any. Call [`Self::stop`] afterwards.
    ///
    /// # Errors
    /// Something is still there; call it again.
    pub async fn decommission(&self, remove_data: bool) -> Result<(), EngineError> {
        self.order(|done| Command::Decommission { remove_data, done })
            .await?
    }

    async fn order<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, EngineError> {
        let (done, answer) = oneshot::channel();
        let sent = self.shared.commands.send(command(done)).await;
        sent.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }
}
