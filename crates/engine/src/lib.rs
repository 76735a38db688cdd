//! The engine: makes the applications of a node what its desired state says.
//!
//! [`Engine::start`] adopts what runs already and gives an [`EngineHandle`]. The desired state goes
//! in as a level ([`EngineHandle::set_desired`]), the status and the route table of the functions
//! come out as levels. Each application is a state machine of its own: prepare the files, start the
//! new revision, watch it through its gate, switch, retire the old one. A failure leaves the old
//! revision serving and blocks nobody else; what could not be observed is left alone.
//!
//! | module | what |
//! |---|---|
//! | [`desired`] | the input: pinned applications and inputs |
//! | [`record`] | what is durable about one application |
//! | [`plan`] | pure: what to do next |
//! | [`driver`] | the seam to what runs things, with the process driver |
//! | `kube` | the engine for a cluster, with the feature of that name |
//! | [`memory`] | fakes of every seam, for tests |
//!
//! Persisted first, visible second: a record names an instance before that is started, so that the
//! next engine finds all of its own again.

mod application;
pub mod config;
mod conflict;
mod context;
pub mod crash;
pub mod dependency;
pub mod desired;
pub mod driver;
mod engine;
mod handle;
mod inputs;
#[cfg(feature = "kube")]
pub mod kube;
pub mod logs;
pub mod memory;
pub mod observed;
pub mod plan;
pub mod reason;
pub mod record;
mod route;
pub mod spec;
mod status;

pub use baetyl_process::{InstanceId, ShimCommand};
pub use config::{EngineConfig, RestartBackoff};
pub use dependency::{
    BodySource, CertificateIssuer, Dependencies, DependencyError, ServiceCredentials, StateStore,
    StoredRecord,
};
pub use desired::{DesiredSet, InputKey, InputKind, Pin};
pub use driver::DriverError;
pub use engine::Engine;
pub use handle::{EngineError, EngineHandle, EngineStatus, Machines, Routes, StopMode};
pub use inputs::{Content, Files, Inputs};
pub use logs::{LogLines, LogQuery};
pub use record::AppRecord;

/// Features of desired items that the engine for processes understands; see
/// [`EngineHandle::features`].
pub const FEATURES: &[&str] = &[
    "certificate.v1",
    "function.v1",
    "job.v1",
    "persistent-volume.v1",
    "process.v1",
];
