//! Server-side apply: who owns which field, and how two writers' wishes become one object.

mod compare;
mod fields;
mod managers;
mod merge;
mod path;
mod update;

pub(crate) use managers::Managers;
pub(crate) use update::{Writer, apply, track_update};

#[cfg(test)]
mod tests;
