//! Where in an application's document something stands.

use std::fmt;

use crate::driver::Refusal;
use crate::reason;

/// A path as people read it: `services[0].env[2].valueFrom`.
#[derive(Clone, Debug)]
pub(super) struct At(String);

impl At {
    /// A field of the application.
    pub(super) fn root(field: &str) -> Self {
        Self(field.to_owned())
    }

    /// A field of what stands here.
    pub(super) fn field(&self, name: &str) -> Self {
        Self(format!("{self}.{name}"))
    }

    /// An element of the list that stands here.
    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{self}[{index}]"))
    }

    /// The application asks for something that cannot be done.
    pub(super) fn wrong(&self, problem: impl fmt::Display) -> Refusal {
        self.refuse(reason::INVALID_APPLICATION, problem)
    }

    /// As [`Self::wrong`], with a reason of its own.
    pub(super) fn refuse(&self, reason: &'static str, problem: impl fmt::Display) -> Refusal {
        Refusal::lasting(reason, format!("{self}: {problem}"))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
