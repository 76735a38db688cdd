//! Revision, generation and epoch, and what is admitted: never backward.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The largest counter: what a signed 64-bit column of any store can hold.
const LAST: u64 = i64::MAX as u64;

/// One immutable state of a resource, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(NonZeroU64);

impl Revision {
    /// The first revision of a resource.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Takes a number; there is no revision 0.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Returns the number.
    pub fn number(self) -> u64 {
        self.0.get()
    }

    /// Returns the next revision, `None` when the counter has come to its end
    /// (the largest signed 64-bit number).
    pub fn next(self) -> Option<Self> {
        counted_on(self.number()).and_then(Self::new)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the states of a node's desired document; 0 before the first one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(u64);

impl Generation {
    /// Takes a number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the next generation, `None` when the counter has come to its
    /// end (the largest signed 64-bit number).
    pub fn next(self) -> Option<Self> {
        counted_on(self.0).map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Raised for a node when the cloud's store is behind it: an old backup was
/// restored. A higher epoch is newer, whatever the generation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Takes a number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the next epoch, `None` when the counter has come to its end
    /// (the largest signed 64-bit number).
    pub fn next(self) -> Option<Self> {
        counted_on(self.0).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn counted_on(number: u64) -> Option<u64> {
    (number < LAST).then(|| number + 1)
}

/// Orders the desired documents of one node: by epoch, then by generation.
///
/// Text form: `<epoch>/<generation>`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Fence {
    /// Compared first.
    pub epoch: Epoch,
    /// Compared second.
    pub generation: Generation,
}

impl Fence {
    /// Puts a fence together.
    pub fn new(epoch: Epoch, generation: Generation) -> Self {
        Self { epoch, generation }
    }

    /// Returns the fence of the next document in the same epoch, `None` when
    /// the counter has come to its end.
    pub fn next(self) -> Option<Self> {
        let generation = self.generation.next()?;
        Some(Self { generation, ..self })
    }

    /// Returns a fence that is newer than this one and than what a node
    /// showed: for a store that finds itself behind the node.
    ///
    /// The generation stays; the epoch is one above both. `None` when no epoch
    /// is left: what the node shows cannot have come from a cloud.
    pub fn overtaking(self, shown: Self) -> Option<Self> {
        let epoch = self.epoch.max(shown.epoch).next()?;
        Some(Self { epoch, ..self })
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.generation)
    }
}

/// A desired document as it is recognised again: its fence and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Its place in the order.
    pub fence: Fence,
    /// The digest of its stored bytes.
    pub digest: Digest,
}

/// What to do with an offered document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// Take it.
    Newer,
    /// It is held already; acknowledge it again and do nothing.
    Same,
    /// Refuse it: nothing goes backward.
    Older,
    /// Refuse it: another document carries the same fence. The store of the
    /// one who offers it was restored; it must raise the epoch
    /// ([`Fence::overtaking`]).
    Conflict,
}

/// Decides about an offered document, given the one that is held, if any.
pub fn admit(held: Option<&Stamp>, offered: &Stamp) -> Admission {
    let Some(held) = held else {
        return Admission::Newer;
    };
    match offered.fence.cmp(&held.fence) {
        std::cmp::Ordering::Greater => Admission::Newer,
        std::cmp::Ordering::Less => Admission::Older,
        std::cmp::Ordering::Equal if offered.digest == held.digest => Admission::Same,
        std::cmp::Ordering::Equal => Admission::Conflict,
    }
}

#[cfg(test)]
mod tests;
