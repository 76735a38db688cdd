//! Merge patches after RFC 7396: apply one, compute one from two ends.
//!
//! Two patches are never merged into one. Patching `{"x":{"k":1}}` with
//! `{"x":null}` and then `{"x":{"y":2}}` gives `{"x":{"y":2}}`; the merged
//! patch would give `{"x":{"k":1,"y":2}}`. Compute [`diff`] from the two ends.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::document::{
    self, Document, Nulls, check_depth, check_nulls, check_size, into_members, read_json,
};
use crate::{Error, number};

/// The largest patch, counted as compact JSON text.
///
/// It holds what [`diff`] can say: the removal of a member takes at most twice
/// the bytes of the member, and what is added is no longer than a document.
pub const MAX_BYTES: usize = 3 * document::MAX_BYTES;

/// A merge patch: an object whose null members remove, whose objects merge,
/// and whose other values replace. Arrays are replaced whole.
///
/// Inside of an array no member may be null: it would come into a document.
#[derive(Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Patch(Map<String, Value>);

impl Patch {
    /// Returns the patch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a patch from JSON text.
    ///
    /// # Errors
    /// [`Error::Json`], and as [`Patch::try_from`] of a value.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > 2 * MAX_BYTES {
            return Err(Error::TooLarge {
                limit_bytes: MAX_BYTES,
            });
        }
        Self::try_from(read_json(text)?)
    }

    /// Takes scalars and nulls that differ between two sets within the bounds
    /// of a document, which fit as those of two documents do.
    pub(crate) fn from_scalars(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Returns the members.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Returns whether the patch changes nothing, whatever it is applied to.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Value> for Patch {
    type Error = Error;

    /// Takes a value.
    ///
    /// # Errors
    /// [`Error::NotAnObject`], [`Error::NullMember`] inside of an array,
    /// [`Error::TooDeep`], [`Error::TooLarge`].
    fn try_from(value: Value) -> Result<Self, Error> {
        check_depth(&value)?;
        check_size(&value, MAX_BYTES)?;
        check_nulls(&value, Nulls::OutsideOfArrays)?;
        into_members(value).map(Self)
    }
}

impl PartialEq for Patch {
    fn eq(&self, other: &Self) -> bool {
        number::same_members(&self.0, &other.0)
    }
}

impl Eq for Patch {}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::try_from(value).map_err(serde::de::Error::custom)
    }
}

/// Applies a patch to a document.
///
/// Applying it twice equals applying it once.
///
/// # Errors
/// [`Error::TooLarge`] when the result is longer than a document may be.
pub fn patch(document: Document, patch: &Patch) -> Result<Document, Error> {
    let Value::Object(mut members) = document.into_value() else {
        return Err(Error::NotAnObject);
    };
    merge(&mut members, &patch.0);
    Document::from_patched(members)
}

/// The depth of both sides is bounded, and with it this recursion.
fn merge(members: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => {
                members.remove(key);
            }
            Value::Object(inner) => {
                let target = members.entry(key.as_str()).or_insert(Value::Null);
                if !target.is_object() {
                    *target = Value::Object(Map::new());
                }
                if let Value::Object(target) = target {
                    merge(target, inner);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                members.insert(key.clone(), change.clone());
            }
        }
    }
}

/// Computes the patch that leads from one document to another.
///
/// `patch(from, &diff(&from, &to)) == to`, and `diff(&a, &a)` is empty.
pub fn diff(from: &Document, to: &Document) -> Patch {
    Patch(changes(from.members(), to.members(), Removals::Said))
}

/// Computes what `reported` lacks of `desired`: a patch that removes nothing.
///
/// It is empty exactly when every desired member is reported with its value;
/// what is reported beyond is of no concern. Afterwards
/// `patch(reported, &missing(&desired, &reported))` holds every desired value.
pub fn missing(desired: &Document, reported: &Document) -> Patch {
    Patch(changes(
        reported.members(),
        desired.members(),
        Removals::Omitted,
    ))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Removals {
    Said,
    Omitted,
}

fn changes(
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    removals: Removals,
) -> Map<String, Value> {
    let mut patch = Map::new();
    if removals == Removals::Said {
        let gone = from.keys().filter(|key| !to.contains_key(*key));
        patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    }
    for (key, wanted) in to {
        match (from.get(key), wanted) {
            (Some(Value::Object(held)), Value::Object(wanted)) => {
                let inner = changes(held, wanted, removals);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(held), wanted) if number::same(held, wanted) => {}
            _ => {
                patch.insert(key.clone(), wanted.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests;
