//! The whole program from outside: real processes, real sockets, real files.
//!
//! [`System`] is `baetyl up` in a folder of its own; [`Site`] is the same system as separate
//! processes that can be killed one by one. Both leave nothing behind.

mod http;
mod leftovers;
mod ports;
mod program;
mod site;
mod system;
pub mod tool;
pub mod wait;

pub use http::{Answer, Rest};
pub use leftovers::instances;
pub use program::{Output, device_program, program, repository};
pub use site::{Node, Site};
pub use system::System;
