//! The control plane: what people declare, and how it reaches the nodes.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | settings |
//! | [`server`] | the composition root |
//! | [`api`] | the gRPC services of people and programs |
//! | [`app`] | what they do: resources, apply, history, watch |
//! | [`auth`] | bearer tokens |
//! | [`seam`] | what the API asks of the parts below |
//! | [`activation`], [`authority`] | join tokens, certificates, revocation |
//! | [`matching`] | from labels and selectors to desired documents |
//! | [`sync`] | the cloud end of each node's stream |
//! | [`operations`], [`status`] | what is asked of nodes, and what is known of them |
//! | [`store`] | resources and records |

pub mod store;

pub mod activation;
pub mod api;
pub mod app;
pub mod auth;
pub mod authority;
pub mod config;
pub mod error;
pub mod matching;
pub mod operations;
mod records;
pub mod seam;
pub mod server;
pub mod status;
pub mod sync;
#[cfg(test)]
mod testing;
