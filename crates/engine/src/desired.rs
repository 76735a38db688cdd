//! The input: which applications are wanted, pinned down to the digest of every input.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use baetyl_proto::sync::v1::DesiredApplication;
use baetyl_shadow::{Digest, Fence};
use serde::{Deserialize, Serialize};

/// The whole desired state of the node; the newest one replaces all before it.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredSet {
    /// Which desired state this is; comes back in [`crate::EngineStatus::converged`].
    pub fence: Fence,
    /// The applications. Bodies are read from the [`crate::BodySource`] when they are needed.
    pub applications: Vec<DesiredApplication>,
}

/// A desired set, and the trace context of who wants it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) set: DesiredSet,
    pub(crate) cause: Option<Arc<str>>,
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputKind {
    /// A configuration.
    Configuration,
    /// A secret.
    Secret,
    /// A certificate with its private key.
    Certificate,
    /// Credentials of an image registry.
    Registry,
}

impl InputKind {
    const ALL: [Self; 4] = [
        Self::Configuration,
        Self::Secret,
        Self::Certificate,
        Self::Registry,
    ];

    /// Returns the kind as references spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Registry => "registry",
        }
    }
}

/// Names an input. Text form: `configuration/thresholds`, as in the status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InputKey {
    /// What it is.
    pub kind: InputKind,
    /// Name of the resource.
    pub name: String,
}

impl InputKey {
    /// Names a configuration.
    #[must_use]
    pub fn configuration(name: impl Into<String>) -> Self {
        Self {
            kind: InputKind::Configuration,
            name: name.into(),
        }
    }

    /// Names a secret.
    #[must_use]
    pub fn secret(name: impl Into<String>) -> Self {
        Self {
            kind: InputKind::Secret,
            name: name.into(),
        }
    }

    /// Names a certificate.
    #[must_use]
    pub fn certificate(name: impl Into<String>) -> Self {
        Self {
            kind: InputKind::Certificate,
            name: name.into(),
        }
    }

    /// Names the credentials of a registry.
    #[must_use]
    pub fn registry(name: impl Into<String>) -> Self {
        Self {
            kind: InputKind::Registry,
            name: name.into(),
        }
    }
}

impl fmt::Display for InputKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl FromStr for InputKey {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let parts = text.split_once('/').filter(|(_, name)| !name.is_empty());
        let known = parts.and_then(|(word, name)| {
            let kind = InputKind::ALL
                .into_iter()
                .find(|kind| kind.word() == word)?;
            let name = name.to_owned();
            Some(Self { kind, name })
        });
        known.ok_or_else(|| PinError::new("inputs", text))
    }
}

impl TryFrom<String> for InputKey {
    type Error = PinError;

    fn try_from(text: String) -> Result<Self, PinError> {
        text.parse()
    }
}

impl From<InputKey> for String {
    fn from(key: InputKey) -> Self {
        key.to_string()
    }
}

/// A desired item is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of the desired item cannot be read: {text:?}")]
pub struct PinError {
    field: &'static str,
    text: String,
}

impl PinError {
    fn new(field: &'static str, text: &str) -> Self {
        Self {
            field,
            text: text.chars().take(100).collect(),
        }
    }
}

/// Exactly what to run: an application's revision with the digest of everything it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Uid of the application.
    pub uid: String,
    /// Revision of the application.
    pub revision: u64,
    /// Digest of the application's body.
    pub digest: Digest,
    /// Digest of the part of the spec that decides what runs.
    pub template_digest: Digest,
    /// Digest of each input's body.
    pub inputs: BTreeMap<InputKey, Digest>,
    /// Raised when someone retries a failed revision.
    pub retry: u64,
}

impl Pin {
    /// Reads a desired item.
    ///
    /// # Errors
    /// A digest or the kind of an input cannot be read.
    pub fn parse(item: &DesiredApplication) -> Result<Self, PinError> {
        let digest = |field: &'static str, text: &str| {
            Digest::from_str(text).map_err(|_| PinError::new(field, text))
        };
        let mut inputs = BTreeMap::new();
        for input in &item.inputs {
            let key: InputKey = format!("{}/{}", input.kind, input.name).parse()?;
            inputs.insert(key, digest("inputs", &input.digest)?);
        }
        Ok(Self {
            uid: item.uid.clone(),
            revision: item.revision,
            digest: digest("digest", &item.digest)?,
            template_digest: digest("template_digest", &item.template_digest)?,
            inputs,
            retry: item.retry,
        })
    }

    /// Returns whether both name the same content, so that what failed once fails again.
    #[must_use]
    pub fn is_same_try(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.template_digest == other.template_digest
            && self.inputs == other.inputs
            && self.retry == other.retry
    }

    /// Returns every body that is needed to run it.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.inputs.values())
    }
}

#[cfg(test)]
mod tests;
