//! Label selectors in the Kubernetes grammar: `site = demo, tier in (a, b), !old`.
//!
//! Shape: requirements, joined by commas, of which all must hold. See docs/selectors.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

mod parse;

/// The longest selector, in bytes.
pub const MAX_BYTES: usize = 2048;

/// Which labels match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// No labels match: the empty selector of an application.
    Nothing,
    /// All labels match: the empty filter of a list.
    Everything,
    /// Labels match that fulfil every requirement; there is at least one.
    All(Vec<Requirement>),
}

/// What one key must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
}

/// What is asked of the value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key = value`.
    Equals(String),
    /// `key != value`; an absent key fulfils it.
    NotEquals(String),
    /// `key in (a, b)`.
    In(BTreeSet<String>),
    /// `key notin (a, b)`; an absent key fulfils it.
    NotIn(BTreeSet<String>),
    /// `key`.
    Exists,
    /// `!key`.
    Absent,
}

/// A text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at column {column}; see docs/selectors.md")]
pub struct SelectorError {
    /// What is wrong: `unexpected "==!"`.
    pub problem: String,
    /// Where, in characters from 1.
    pub column: usize,
}

impl Selector {
    /// Reads the selector of an application; the empty one matches nothing.
    ///
    /// # Errors
    /// [`SelectorError`] with what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let requirements = parse::requirements(text)?;
        if requirements.is_empty() {
            return Ok(Self::Nothing);
        }
        Ok(Self::All(requirements))
    }

    /// Reads the filter of a list; the empty one matches everything.
    ///
    /// # Errors
    /// [`SelectorError`] with what is wrong and where.
    pub fn parse_filter(text: &str) -> Result<Self, SelectorError> {
        Ok(match Self::parse(text)? {
            Self::Nothing => Self::Everything,
            selector => selector,
        })
    }

    /// Returns whether the labels match.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::All(requirements) => requirements
                .iter()
                .all(|requirement| requirement.matches(labels)),
        }
    }
}

impl Requirement {
    /// Returns the key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what is asked of its value.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Returns whether the labels fulfil it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::Equals(wanted) => value == Some(wanted),
            Operator::NotEquals(unwanted) => value != Some(unwanted),
            Operator::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
            Operator::NotIn(unwanted) => !value.is_some_and(|value| unwanted.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::Absent => value.is_none(),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// As [`Selector::parse`].
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    /// Writes what reads back as the same selector; nothing and everything are empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::All(requirements) = self else {
            return Ok(());
        };
        for (index, requirement) in requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let list = |values: &BTreeSet<String>| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            values.join(", ")
        };
        match &self.operator {
            Operator::Equals(value) => write!(f, "{key} = {value}"),
            Operator::NotEquals(value) => write!(f, "{key} != {value}"),
            Operator::In(values) => write!(f, "{key} in ({})", list(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", list(values)),
            Operator::Exists => f.write_str(key),
            Operator::Absent => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests;
