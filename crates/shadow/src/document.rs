//! JSON objects without null members.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Error, number};

/// Objects and arrays may be nested this deep, the document itself counted.
pub const MAX_DEPTH: usize = 64;

/// The largest document, counted as compact JSON text.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A JSON object in which no member is null, at any depth, also inside of
/// arrays; an element of an array may be null.
///
/// At most [`MAX_DEPTH`] deep and [`MAX_BYTES`] long. `==` compares numbers by
/// value (`1` equals `1.0`) and ignores the order of members; arrays compare
/// element by element. `{}` and an absent member differ.
#[derive(Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Document(Map<String, Value>);

impl Document {
    /// Returns the empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a document from JSON text.
    ///
    /// # Errors
    /// [`Error::Json`], and as [`Document::try_from`] of a value.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > 2 * MAX_BYTES {
            // White space is not counted below; this is what it may add.
            return Err(too_large(MAX_BYTES));
        }
        Self::try_from(read_json(text)?)
    }

    /// Returns the members.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the size only: what is made from documents and patches is
    /// neither deeper nor has it nulls.
    pub(crate) fn from_patched(members: Map<String, Value>) -> Result<Self, Error> {
        let value = Value::Object(members);
        check_size(&value, MAX_BYTES)?;
        into_members(value).map(Self)
    }
}

impl TryFrom<Value> for Document {
    type Error = Error;

    /// Takes a value.
    ///
    /// # Errors
    /// [`Error::NotAnObject`], [`Error::NullMember`] with its place,
    /// [`Error::TooDeep`], [`Error::TooLarge`].
    fn try_from(value: Value) -> Result<Self, Error> {
        check_depth(&value)?;
        check_size(&value, MAX_BYTES)?;
        check_nulls(&value, Nulls::Forbidden)?;
        into_members(value).map(Self)
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        number::same_members(&self.0, &other.0)
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Document {
    /// Writes compact JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::try_from(value).map_err(serde::de::Error::custom)
    }
}

/// Where members may be null: nowhere in a document, and in a patch outside of
/// arrays, where null means "remove".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Forbidden,
    OutsideOfArrays,
}

pub(crate) fn read_json(text: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(text).map_err(|error| Error::Json {
        line: error.line(),
        column: error.column(),
    })
}

pub(crate) fn into_members(value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Error::NotAnObject),
    }
}

/// Comes first of the checks: the others walk the whole value.
pub(crate) fn check_depth(value: &Value) -> Result<(), Error> {
    fn fits(value: &Value, levels: usize) -> bool {
        match value {
            Value::Object(members) => {
                levels > 0 && members.values().all(|inner| fits(inner, levels - 1))
            }
            Value::Array(elements) => {
                levels > 0 && elements.iter().all(|inner| fits(inner, levels - 1))
            }
            _ => true,
        }
    }
    if fits(value, MAX_DEPTH) {
        return Ok(());
    }
    Err(Error::TooDeep { limit: MAX_DEPTH })
}

/// Counts the compact JSON text without building it.
pub(crate) fn check_size(value: &Value, limit_bytes: usize) -> Result<(), Error> {
    struct Room(usize);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.0.checked_sub(bytes.len());
            self.0 = left.ok_or(io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    serde_json::to_writer(Room(limit_bytes), value).map_err(|_| too_large(limit_bytes))
}

/// Refuses null members where they may not be, and says where one is.
pub(crate) fn check_nulls(value: &Value, nulls: Nulls) -> Result<(), Error> {
    match null_member(value, nulls) {
        Some(path) => Err(Error::NullMember { path }),
        None => Ok(()),
    }
}

/// Finds a null member that may not be, and returns its JSON pointer.
fn null_member(value: &Value, nulls: Nulls) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(key, member)| {
            let inner = match member {
                Value::Null => (nulls == Nulls::Forbidden).then(String::new),
                _ => null_member(member, nulls),
            }?;
            let key = key.replace('~', "~0").replace('/', "~1");
            Some(format!("/{key}{inner}"))
        }),
        Value::Array(elements) => elements.iter().enumerate().find_map(|(index, element)| {
            let inner = null_member(element, Nulls::Forbidden)?;
            Some(format!("/{index}{inner}"))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn too_large(limit_bytes: usize) -> Error {
    Error::TooLarge { limit_bytes }
}

#[cfg(test)]
mod tests;
