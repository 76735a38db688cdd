//! An API server of Kubernetes in process, for tests: real HTTP on the loopback interface, the
//! rules of the real one where clients can see them, and faults on demand.
//!
//! - [`ApiServer`] starts and stops it, and names what follows.
//! - [`Store`] is an administrator in process: whoever plays controllers, scheduler and kubelet
//!   reads ([`Store::get`], [`Store::list`], [`Store::select`]), writes ([`Store::create`],
//!   [`Store::edit`], [`Store::edit_status`], [`Store::bind`], [`Store::apply`],
//!   [`Store::delete`]) and waits ([`Store::changes`], [`Store::wait_for`]) through it.
//! - [`Faults`] breaks requests, watches and connections; [`RequestLog`] tells what was asked.
//! - [`PodLogs`] and [`Usage`] hold what a kubelet would know.
//!
//! What it does not play: controllers of workloads, the scheduler, the kubelet. What it does by
//! itself, in the instant of the write that causes it: garbage collection by owners, the end of
//! namespaces, orphaning and foreground deletion, addresses and node ports of services, and
//! serving the kinds of custom resource definitions.

mod admission;
mod apply;
pub mod controllers;
mod defaults;
mod faults;
mod history;
mod http;
mod json;
mod kinds;
mod log;
mod object;
mod options;
mod patch;
mod pod_logs;
mod quantity;
mod rbac;
mod refusal;
mod rest;
mod schema;
mod selector;
mod server;
mod shared;
mod state;
mod store;
mod usage;
mod validate;

pub use faults::{Fault, FaultId, Faults, Filter, Outage, When};
pub use history::ChangeKind;
pub use log::{Request, RequestLog};
pub use options::Options;
pub use pod_logs::PodLogs;
pub use refusal::{Cause, Refusal};
pub use server::ApiServer;
pub use store::{Change, Changes, Deletion, Propagation, Store, WaitError};
pub use usage::{ApiMode, Usage};
