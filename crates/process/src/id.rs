//! Names of instances and workers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Name of one started process and of its folder.
///
/// 1 to 64 characters of `a-z`, `0-9`, `.` and `-`, starting with a letter or
/// digit, so that it is always a plain folder name. Ids are never used twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`Error::InvalidId`] when the text breaks the rules above.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if starts_well && text.len() <= 64 && text.bytes().all(is_inner) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::InvalidId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests;
