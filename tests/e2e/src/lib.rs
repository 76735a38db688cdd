//! What the engine for a cluster must do, told as scenarios that do not know which cluster they
//! talk to.
//!
//! A scenario is a plain function over a [`World`]. [`FakeWorld`] is an API server with controllers
//! in this process; [`RealWorld`] is the cluster of `KUBECONFIG`. In both the engine runs outside of
//! the cluster, in this process, with an identity that may do what the committed Role lists and
//! nothing else. Documents go in as the cloud gives them, pinned by digest, and the status comes out.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | the cluster, and what can be done to it |
//! | [`node`] | an engine that can be killed and started again over its store |
//! | [`functions`] | the function service of a node, in this process |
//! | [`application`], [`behaviour`] | documents, and what their containers do |
//! | [`look`], [`witness`], [`foreign`] | eyes of an administrator |
//! | [`scenarios`] | what must hold |
//! | [`random`] | sequences of documents by chance, with faults |
//!
//! In a real cluster `just e2e` runs them and says of each whether it passed, failed or was skipped
//! and why; a skipped one never counts as passed. Each scenario begins with empty namespaces.

pub mod application;
pub mod behaviour;
pub mod foreign;
pub mod functions;
pub mod look;
pub mod node;
pub mod random;
pub mod scenarios;
pub mod witness;
pub mod world;

pub use application::App;
pub use behaviour::Behaviour;
pub use node::Node;
pub use world::{FakeWorld, Need, RealWorld, World};
