//! The engine for a cluster: an instance is a pod, and the cluster keeps instances running.
//!
//! What is wanted is rendered to objects, checked against the cluster without changing it, written
//! to the record, applied by server-side apply, watched through its gate, and promoted or taken
//! back. Whatever is touched carries this node's owner label; all else belongs to others.
//!
//! | module | what |
//! |---|---|
//! | `engine`, `application` | the supervisor, and one task per application |
//! | [`plan`], [`health`], [`record`] | pure: what to do next, how a release does, what is durable |
//! | [`access`] | how the cluster is reached |
//! | [`object`] | objects and their keys |
//! | [`settings`] | what the installation says |
//! | [`facts`] | what watches tell, in compact form |
//! | [`material`] | everything that a revision is rendered from |
//! | [`watch`], [`logs`] | what the cluster says: objects, machines, usage, logs |
//! | [`cluster`], [`source`] | checking, applying and deleting sets of objects; raw manifests and charts |
//! | [`names`], [`mod@manifest`] | from an application to its objects |

pub mod access;
mod application;
pub mod cluster;
mod context;
mod engine;
pub mod facts;
pub mod health;
pub mod logs;
mod machines;
pub mod manifest;
pub mod material;
pub mod names;
pub mod object;
pub mod plan;
pub mod record;
mod render;
pub mod settings;
pub mod source;
pub mod spec;
mod status;
mod usage;
pub mod watch;
mod wire;

pub use access::Client;
pub use context::Dependencies;
pub use engine::Engine;
pub use settings::{FunctionSettings, KubeSettings};

/// Features of desired items that the engine for a cluster understands; see
/// [`crate::EngineHandle::features`].
pub const FEATURES: &[&str] = &[
    "autoscaling.v1",
    "certificate.v1",
    "container.v1",
    "cronjob.v1",
    "daemonset.v1",
    "function.v1",
    "helm.v1",
    "job.v1",
    "kube.v1",
    "manifest.v1",
    "persistent-volume.v1",
    "registry.v1",
    "statefulset.v1",
];
