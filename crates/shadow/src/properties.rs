//! Properties of a node: flat maps of text to scalars, desired and reported,
//! with a time per key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use crate::{Error, Patch, document, number};

/// The most keys in one set.
pub const MAX_KEYS: usize = 1024;

/// The longest key.
pub const MAX_KEY_BYTES: usize = 128;

/// The longest value, counted as JSON text.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The most violations that are collected from one patch.
pub const MAX_VIOLATIONS: usize = 64;

/// The name of a property: 1 to 128 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`,
/// `/` and `:`, the first one a letter, a digit or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PropertyKey(String);

impl PropertyKey {
    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PropertyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let bytes = text.as_bytes();
        let is_valid = bytes.len() <= MAX_KEY_BYTES
            && bytes.first().is_some_and(is_word)
            && bytes
                .iter()
                .all(|byte| is_word(byte) || b".-/:".contains(byte));
        if !is_valid {
            return Err(Error::key(text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PropertyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PropertyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The value of a property. There is no null: it means "remove" in a patch.
///
/// `==` compares numbers by value: `1` equals `1.0`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number.
    Number(Number),
    /// Any text.
    Text(String),
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => number::same_number(a, b),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bool(_) | Self::Number(_) | Self::Text(_), _) => false,
        }
    }
}

impl Eq for Scalar {}

impl From<&Scalar> for Value {
    fn from(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => Self::Bool(*value),
            Scalar::Number(value) => Self::Number(value.clone()),
            Scalar::Text(value) => Self::String(value.clone()),
        }
    }
}

/// A time in milliseconds since 1970 (UTC).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// A value, and when it last changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// The value.
    pub value: Scalar,
    /// When the value became what it is; setting an equal value changes nothing.
    pub time: UnixMillis,
}

/// One side's properties: at most [`MAX_KEYS`], each with a time and a value of
/// at most [`MAX_VALUE_BYTES`]; together no longer than a
/// [`Document`](crate::Document) may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PropertySet(BTreeMap<PropertyKey, Property>);

impl PropertySet {
    /// Returns the set without properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets and removes properties by a merge patch: a null removes its key,
    /// a boolean, number or text sets it. All of it is done, or nothing.
    ///
    /// Returns the keys whose value changed, came or went; applying the same
    /// patch again changes none.
    ///
    /// # Errors
    /// Every violation, up to [`MAX_VIOLATIONS`]: [`Error::KeyInvalid`],
    /// [`Error::NotAScalar`], [`Error::ValueTooLarge`],
    /// [`Error::TooManyEntries`], [`Error::TooLarge`].
    pub fn merge(
        &mut self,
        patch: &Patch,
        now: UnixMillis,
    ) -> Result<BTreeSet<PropertyKey>, Vec<Error>> {
        let mut next = self.clone();
        let mut changed = BTreeSet::new();
        let mut violations = Vec::new();
        for (key, value) in patch.members() {
            match parse_change(key, value) {
                Ok((key, value)) => changed.extend(next.change(key, value, now)),
                Err(error) => violations.push(error),
            }
            if violations.len() == MAX_VIOLATIONS {
                return Err(violations);
            }
        }
        violations.extend(next.check_total().err());
        if !violations.is_empty() {
            return Err(violations);
        }
        *self = next;
        Ok(changed)
    }

    fn change(
        &mut self,
        key: PropertyKey,
        value: Option<Scalar>,
        now: UnixMillis,
    ) -> Option<PropertyKey> {
        let Some(value) = value else {
            return self.0.remove(&key).map(|_| key);
        };
        if self.0.get(&key).is_some_and(|held| held.value == value) {
            return None;
        }
        self.0.insert(key.clone(), Property { value, time: now });
        Some(key)
    }

    fn check_total(&self) -> Result<(), Error> {
        if self.0.len() > MAX_KEYS {
            return Err(Error::TooManyEntries { limit: MAX_KEYS });
        }
        let members = self.differing(&Self::new()).collect();
        document::check_size(&Value::Object(members), document::MAX_BYTES)
    }

    /// Returns a property.
    pub fn get(&self, key: &str) -> Option<&Property> {
        // The map is keyed by a type of its own; a key that is not one is not in it.
        self.0.get(&key.parse().ok()?)
    }

    /// Returns the properties, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&PropertyKey, &Property)> {
        self.0.iter()
    }

    /// Returns how many properties there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no properties.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the patch that leads from this set to another.
    pub fn diff(&self, to: &Self) -> Patch {
        let gone = self.0.keys().filter(|key| !to.0.contains_key(*key));
        let gone = gone.map(|key| (key.to_string(), Value::Null));
        let changed = to.differing(self);
        Patch::from_scalars(gone.chain(changed).collect())
    }

    fn differing(&self, other: &Self) -> impl Iterator<Item = (String, Value)> {
        self.0
            .iter()
            .filter(|(key, property)| {
                other.0.get(*key).map(|held| &held.value) != Some(&property.value)
            })
            .map(|(key, property)| (key.to_string(), Value::from(&property.value)))
    }
}

impl<'de> Deserialize<'de> for PropertySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let set = Self(BTreeMap::deserialize(deserializer)?);
        set.check_total().map_err(D::Error::custom)?;
        for (key, property) in &set.0 {
            check_size(key, &Value::from(&property.value)).map_err(D::Error::custom)?;
        }
        Ok(set)
    }
}

/// What is wanted of a node, and what it says of itself. Each side writes its
/// own set only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Written by the cloud.
    pub desired: PropertySet,
    /// Written by the node.
    pub reported: PropertySet,
}

impl Properties {
    /// Returns what is desired and not reported with the same value, as a
    /// patch that removes nothing; empty when the node has followed.
    pub fn missing(&self) -> Patch {
        Patch::from_scalars(self.desired.differing(&self.reported).collect())
    }
}

fn parse_change(key: &str, value: &Value) -> Result<(PropertyKey, Option<Scalar>), Error> {
    let key: PropertyKey = key.parse()?;
    let scalar = match value {
        Value::Null => return Ok((key, None)),
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(value) => Scalar::Number(value.clone()),
        Value::String(value) => Scalar::Text(value.clone()),
        Value::Array(_) | Value::Object(_) => {
            let key = key.to_string();
            return Err(Error::NotAScalar { key });
        }
    };
    check_size(&key, value)?;
    Ok((key, Some(scalar)))
}

fn check_size(key: &PropertyKey, value: &Value) -> Result<(), Error> {
    document::check_size(value, MAX_VALUE_BYTES).map_err(|_| Error::ValueTooLarge {
        key: key.to_string(),
        limit_bytes: MAX_VALUE_BYTES,
    })
}

#[cfg(test)]
mod tests;
