//! Checking, applying, repairing and deleting against an API server.

mod check;
mod delete;
mod faults;
mod helm;
mod kinds;
mod replace;
mod rig;
mod source;
mod write;
