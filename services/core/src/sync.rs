//! The line to the cloud: one stream at a time, dialed again for as long as the node runs.
//!
//! `session` decides, purely; `link` dials and carries out; `bodies` fetches what a desired state
//! needs; `channels` runs what the cloud opened.

mod bodies;
mod channels;
mod link;
mod session;

pub(crate) use bodies::{FetchError, Stage};
pub use link::Dial;
pub(crate) use link::{Link, LinkParts, Outcome};
