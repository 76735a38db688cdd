//! The seam to what runs instances: operating system processes, or a fake.
//!
//! The engine decides; a driver knows files, folders, programs and ports. Every call may be
//! repeated: preparing what is prepared, stopping what is stopped and removing what is gone
//! succeed. A driver never reports something as gone because it could not look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_process::InstanceId;
use baetyl_process::logs::{LogQuery, LogRecord};
use baetyl_shadow::Digest;
use futures::stream::BoxStream;

use crate::dependency::{DependencyError, ServiceCredentials};
use crate::desired::InputKey;
use crate::inputs::{Files, Inputs};
use crate::reason;
use crate::spec::{AppSpec, Check, Protocol, ServiceSpec};

pub mod process;

/// What a driver can do for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Whether it enforces memory limits by itself; otherwise the engine samples.
    pub memory_limits: bool,
    /// Whether it enforces processor limits.
    pub cpu_limits: bool,
}

/// What is known of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It runs.
    Running {
        /// Process id.
        pid: u32,
        /// When it was started.
        started_at: SystemTime,
    },
    /// It ended by itself or was stopped.
    Ended(Termination),
    /// Nothing is left of it and nobody knows how it ended, or it was never started. Not a
    /// failure of the application.
    Vanished,
    /// Something of it is left that must be stopped before another one takes its place.
    Broken,
    /// It could not be observed.
    Unknown {
        /// Why, for people.
        detail: String,
    },
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Termination {
    /// Exit code, or 128 and the signal's number; 127 when it was never started.
    pub exit_code: i32,
    /// The signal that ended it; 0 for none.
    pub signal: i32,
    /// Stable word from [`crate::reason`].
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// When.
    pub finished_at: SystemTime,
}

/// An instance that was there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: InstanceId,
    /// What it was doing.
    pub observation: Observation,
}

/// A driver could not do what it was asked for; it may work later.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct DriverError {
    doing: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl DriverError {
    /// Wraps a failure with what was being done: `stop the instance`.
    pub fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            source: source.into(),
        }
    }
}

/// Something of an application could not be prepared or started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
    /// Whether the same will fail again until the application changes.
    pub is_final: bool,
}

impl Refusal {
    /// The application is at fault.
    pub fn lasting(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            is_final: true,
        }
    }

    /// The node is at fault, or somebody else, perhaps only now.
    pub fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            is_final: false,
        }
    }
}

impl From<DependencyError> for Refusal {
    fn from(error: DependencyError) -> Self {
        Self::passing(
            reason::BODY_MISSING,
            baetyl_service_kit::fault::chain(&error),
        )
    }
}

/// Everything that the instances of one release share.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Which release.
    pub release: ReleaseKey,
    /// What the release is made of.
    pub spec: Arc<AppSpec>,
    /// Its inputs as they should be now.
    pub inputs: Inputs,
    /// New credentials, by service.
    pub credentials: BTreeMap<String, ServiceCredentials>,
}

/// Names a release of an application: numbers are never used twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseKey {
    /// Name of the application.
    pub application: String,
    /// Counter in the application's record.
    pub number: u64,
}

impl ReleaseKey {
    /// Returns what runtimes of functions and their routes call it.
    #[must_use]
    pub fn label(&self) -> String {
        self.number.to_string()
    }
}

/// One instance to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its id, which is durable already.
    pub id: InstanceId,
    /// The release that it belongs to, prepared.
    pub release: ReleaseKey,
    /// Revision of the application.
    pub revision: u64,
    /// What to run.
    pub service: Arc<ServiceSpec>,
    /// Which copy of the service, from 0.
    pub index: u32,
    /// Its ports by name, fixed and allocated ones.
    pub ports: BTreeMap<String, u16>,
    /// Values of its environment.
    pub inputs: Inputs,
}

/// A probe to make once.
#[derive(Clone, Debug)]
pub struct ProbeCall {
    /// The instance.
    pub id: InstanceId,
    /// What to look at.
    pub check: Check,
    /// Ports of the instance by name.
    pub ports: BTreeMap<String, u16>,
    /// How long it may take; the driver keeps to it.
    pub timeout: Duration,
}

/// Runs instances. See the module for what is expected of every call.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Returns what it can do for limits.
    fn support(&self) -> Support;

    /// Whether nobody listens on a port now.
    fn is_free(&self, port: u16, protocol: Protocol) -> bool;

    /// Returns every instance that exists, ended ones included.
    ///
    /// # Errors
    /// That cannot be found out.
    async fn scan(&self) -> Result<Vec<Found>, DriverError>;

    /// Makes the files of a release what its inputs say: folders named by content, and stable
    /// folders that are switched atomically. Touches nothing that is right already.
    ///
    /// # Errors
    /// [`Refusal`]; what was right before is still right.
    async fn prepare(&self, preparation: Preparation) -> Result<(), Refusal>;

    /// Starts an instance of a prepared release; returns when its program runs. When dropped, the
    /// start may go on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of it runs.
    async fn start(&self, launch: Launch) -> Result<Observation, Refusal>;

    /// Says how an instance is.
    async fn observe(&self, id: &InstanceId) -> Observation;

    /// Waits until an instance does not run (any more), and says how it is then. Cancel safe.
    async fn ended(&self, id: &InstanceId) -> Observation;

    /// Stops an instance: asks, waits for `grace`, kills all that is left. Returns what it is
    /// afterwards, never `Running` or `Broken`.
    ///
    /// # Errors
    /// Something of it may still be there.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<Observation, DriverError>;

    /// Removes all files of an instance that has ended, its log included.
    ///
    /// # Errors
    /// Something of it is still there, perhaps running.
    async fn remove(&self, id: &InstanceId) -> Result<(), DriverError>;

    /// Makes a probe.
    ///
    /// # Errors
    /// Why it failed, one sentence for people.
    async fn probe(&self, call: ProbeCall) -> Result<(), String>;

    /// Removes what no release in `keep` needs.
    ///
    /// # Errors
    /// Something is still there.
    async fn tidy(&self, application: &str, keep: Vec<Kept>) -> Result<(), DriverError>;

    /// Removes everything of an application but its persistent folders, and those too when that
    /// is wanted.
    ///
    /// # Errors
    /// Something is still there.
    async fn forget(&self, application: &str, remove_data: bool) -> Result<(), DriverError>;

    /// Removes everything of everybody, persistent folders of applications that went before
    /// included. Called when no instance is left.
    ///
    /// # Errors
    /// Something is still there.
    async fn forget_all(&self) -> Result<(), DriverError>;

    /// Reads the captured output of an instance.
    fn logs(
        &self,
        id: &InstanceId,
        query: LogQuery,
    ) -> BoxStream<'static, Result<LogRecord, DriverError>>;

    /// Samples the resident bytes of instances; those that cannot be sampled are left out.
    async fn memory(&self, ids: Vec<InstanceId>) -> BTreeMap<InstanceId, u64>;
}

/// A release whose files are still needed.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// The digests of its inputs.
    pub digests: Vec<Digest>,
}

/// Returns the text under a key of an input.
///
/// # Errors
/// [`Refusal`] when the key is not there, or its value is no text that a variable can hold.
pub(crate) fn text_of(files: &Files, input: &InputKey, key: &str) -> Result<String, Refusal> {
    let Some(value) = files.get(key) else {
        let message = format!("{input} has no key {key:?}");
        return Err(Refusal::lasting(reason::KEY_NOT_FOUND, message));
    };
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        Ok(_) | Err(_) => {
            let message = format!("key {key:?} of {input} is no text");
            Err(Refusal::lasting(reason::KEY_NOT_FOUND, message))
        }
    }
}
