//! Report sections: sets of entries, each with a digest; what changed between two.
//!
//! A section (the applications of a node, its machines) is compared by one
//! digest over its entries. When it changed, the entries that changed are sent
//! whole, each with the bytes that its digest is over, and those that are gone
//! are named. A delta is computed from what was last acknowledged and what is
//! now; two deltas are never merged.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Hasher;
use crate::{Digest, Error};

/// The most entries in a section.
pub const MAX_ENTRIES: usize = 4096;

/// The longest key of an entry.
pub const MAX_KEY_BYTES: usize = 256;

/// Begins what a section's digest is taken over, so that it is never the
/// digest of anything else.
const CONTEXT: &[u8] = b"baetyl section v1\0";

/// The entries of a report section: a key each, and the digest of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, Digest>",
    into = "BTreeMap<String, Digest>"
)]
pub struct Section {
    entries: BTreeMap<String, Digest>,
}

impl Section {
    /// Returns the section without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or gives it another digest.
    ///
    /// # Errors
    /// [`Error::KeyInvalid`] when the key is empty or longer than
    /// [`MAX_KEY_BYTES`]; [`Error::TooManyEntries`] beyond [`MAX_ENTRIES`].
    pub fn insert(&mut self, key: &str, digest: Digest) -> Result<(), Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::key(key));
        }
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(key) {
            return Err(Error::TooManyEntries { limit: MAX_ENTRIES });
        }
        self.entries.insert(key.to_owned(), digest);
        Ok(())
    }

    /// Removes an entry; says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Returns the digest of an entry.
    pub fn get(&self, key: &str) -> Option<&Digest> {
        self.entries.get(key)
    }

    /// Returns the entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.entries
            .iter()
            .map(|(key, digest)| (key.as_str(), digest))
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the digest over all entries: two sections with the same one are equal.
    ///
    /// It is taken over a context, then for each entry in the order of keys
    /// the length of the key (8 bytes, big end first), the key, and the 32
    /// bytes of its digest.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(CONTEXT);
        for (key, digest) in &self.entries {
            hasher.update(&(key.len() as u64).to_be_bytes());
            hasher.update(key.as_bytes());
            hasher.update(digest.as_bytes());
        }
        hasher.finish()
    }

    /// Applies a delta. When the sender's digest differs afterwards, the two
    /// had not begun at the same end: ask for the whole section.
    ///
    /// # Errors
    /// As [`Section::insert`]; the section is then as it was.
    pub fn apply(&mut self, delta: &SectionDelta) -> Result<(), Error> {
        let mut next = self.clone();
        for key in &delta.removed {
            next.remove(key);
        }
        for (key, digest) in &delta.changed {
            next.insert(key, *digest)?;
        }
        *self = next;
        Ok(())
    }
}

impl TryFrom<BTreeMap<String, Digest>> for Section {
    type Error = Error;

    fn try_from(entries: BTreeMap<String, Digest>) -> Result<Self, Error> {
        let mut section = Self::new();
        for (key, digest) in entries {
            section.insert(&key, digest)?;
        }
        Ok(section)
    }
}

impl From<Section> for BTreeMap<String, Digest> {
    fn from(section: Section) -> Self {
        section.entries
    }
}

/// What changed between two states of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionDelta {
    /// Entries that are new or have another digest: these are sent whole.
    pub changed: BTreeMap<String, Digest>,
    /// Keys of entries that are gone.
    pub removed: BTreeSet<String>,
}

impl SectionDelta {
    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// Computes what changed since the other side last acknowledged.
///
/// Applied to `acknowledged` it gives `now`, and with it the digest of `now`.
pub fn delta(acknowledged: &Section, now: &Section) -> SectionDelta {
    let changed = now
        .entries
        .iter()
        .filter(|(key, digest)| acknowledged.entries.get(*key) != Some(*digest))
        .map(|(key, digest)| (key.clone(), *digest))
        .collect();
    let removed = acknowledged
        .entries
        .keys()
        .filter(|key| !now.entries.contains_key(*key))
        .cloned()
        .collect();
    SectionDelta { changed, removed }
}

#[cfg(test)]
mod tests;
