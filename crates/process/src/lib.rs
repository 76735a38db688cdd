//! Operating system processes for the engine and the function runtime host.
//!
//! Long-lived applications are started through a [`shim`]: a small process that
//! owns the application's output, exit status and lock, so that applications
//! survive the death of whoever launched them and can be found again
//! ([`Launcher::scan`]). Short-lived [`worker`]s are tied to the process that
//! spawned them. Both are executed, limited, marked and killed by the same code.
//!
//! Every process carries a marker in its environment ([`INSTANCE_MARKER`]), which
//! descendants inherit, so that whatever is left over can be found and ended.
//!
//! Linux only. Programs must run in the foreground: when the process that was
//! started ends, its instance has ended and what it left behind is killed.

pub mod cgroup;
mod error;
mod exec;
mod folder;
mod group;
mod id;
mod instance;
mod launcher;
pub mod logs;
pub mod ports;
mod procfs;
pub mod shim;
mod spec;
mod state;
mod wait;
pub mod worker;

pub use error::Error;
pub use exec::ShimCommand;
pub use group::Stats;
pub use id::InstanceId;
pub use instance::{Instance, Running, Status, StopPolicy};
pub use launcher::{Found, Launcher};
pub use procfs::{ProcessId, ProcessTable};
pub use spec::{Limits, LogCaps, Program, Signal, Spec, User};
pub use state::{Ending, Outcome};

/// Environment variable that names the instance in each of its processes.
pub const INSTANCE_MARKER: &str = "BAETYL_INSTANCE";

/// Environment variable that names the worker in each of its processes.
pub const WORKER_MARKER: &str = "BAETYL_WORKER";

/// Environment variable that names the instance in its shim (and only there).
pub const SHIM_MARKER: &str = "BAETYL_SHIM";
