//! An object as it was applied, beside the object as the watches show it.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::kube::facts::{AppFacts, ObjectFacts};
use crate::kube::object::ObjectKey;
use crate::kube::record::Mark;

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it was applied.
    Current,
    /// The watches do not show what was applied yet.
    Lagging,
    /// It is being deleted.
    Deleting,
    /// It is not there.
    Gone,
    /// Somebody wrote to it since, or made another one in its place.
    Changed,
    /// Its kind cannot be seen.
    Unobserved,
}

/// Compares. Without a mark the object was never applied, or nobody knows. `unseen` are the objects
/// that the watches have not shown since they were applied.
#[must_use]
pub fn standing(
    key: &ObjectKey,
    mark: Option<&Mark>,
    unseen: &BTreeMap<ObjectKey, Instant>,
    facts: &AppFacts,
) -> Standing {
    let is_unseen = unseen.contains_key(key);
    let Some(mark) = mark else {
        return Standing::Gone;
    };
    let otherwise = |standing| match is_unseen {
        true => Standing::Lagging,
        false => standing,
    };
    let kind = (key.api_version.clone(), key.kind.clone());
    if facts.unobserved.contains_key(&kind) {
        return Standing::Unobserved;
    }
    match facts.object(key) {
        None => otherwise(Standing::Gone),
        Some(object) if object.uid != mark.uid => otherwise(Standing::Changed),
        Some(object) if object.is_deleting => Standing::Deleting,
        Some(object) if is_older(object, mark) => otherwise(Standing::Current),
        Some(object) if object.content == mark.content => Standing::Current,
        Some(_) => Standing::Changed,
    }
}

/// Whether what the watches show is from before the object was applied. Versions of one object are
/// numbers that grow; where they are not, nothing is known to be older.
fn is_older(object: &ObjectFacts, mark: &Mark) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    let seen = number(&object.resource_version);
    let applied = number(&mark.resource_version);
    seen.zip(applied)
        .is_some_and(|(seen, applied)| seen < applied)
}

/// Whether the watches show an object as it was applied, or as it became since.
#[must_use]
pub fn is_seen(key: &ObjectKey, mark: &Mark, facts: &AppFacts) -> bool {
    let object = facts.object(key);
    object.is_some_and(|object| object.uid == mark.uid && !is_older(object, mark))
}
