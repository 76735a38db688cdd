//! The pinned inputs of a release; bodies are read only when somebody needs them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use baetyl_model::{Certificate, Configuration, Registry, Secret};
use baetyl_shadow::Digest;
use bytes::Bytes;

use crate::dependency::BodySource;
use crate::desired::{InputKey, InputKind};
use crate::driver::Refusal;
use crate::reason;

/// The pinned inputs of one release.
#[derive(Clone)]
pub struct Inputs {
    digests: Arc<BTreeMap<InputKey, Digest>>,
    bodies: Arc<dyn BodySource>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inputs").field(&self.digests).finish()
    }
}

/// The values of one input by key. Never printed: they may be secret.
pub type Files = BTreeMap<String, Bytes>;

/// What an input holds. Never printed: it may be secret.
#[derive(Clone)]
pub struct Content {
    /// The values.
    pub files: Files,
    /// The keys whose values are bytes rather than text.
    pub binary: Vec<String>,
}

impl Inputs {
    /// Puts the digests and the source of their bodies together.
    pub fn new(digests: BTreeMap<InputKey, Digest>, bodies: Arc<dyn BodySource>) -> Self {
        Self {
            digests: Arc::new(digests),
            bodies,
        }
    }

    /// Returns the digest of an input.
    ///
    /// # Errors
    /// [`Refusal`] when the desired state does not pin it.
    pub fn digest(&self, key: &InputKey) -> Result<Digest, Refusal> {
        self.digests.get(key).copied().ok_or_else(|| {
            let message = format!("the desired state does not pin {key}");
            Refusal::lasting(reason::INVALID_APPLICATION, message)
        })
    }

    /// Reads the values of an input.
    ///
    /// # Errors
    /// [`Refusal`] when it is not pinned, not there, or not readable.
    pub async fn files(&self, key: &InputKey) -> Result<Files, Refusal> {
        Ok(self.content(key).await?.files)
    }

    /// Reads the values of an input, and which of them are bytes rather than text.
    ///
    /// # Errors
    /// As [`Self::files`].
    pub async fn content(&self, key: &InputKey) -> Result<Content, Refusal> {
        let digest = self.digest(key)?;
        let Some(body) = self.bodies.body(&digest).await? else {
            let message = format!("the body of {key} is not on this node");
            return Err(Refusal::passing(reason::BODY_MISSING, message));
        };
        decode(key.kind, &body).ok_or_else(|| {
            let message = format!("the body of {key} cannot be read");
            Refusal::lasting(reason::INVALID_APPLICATION, message)
        })
    }
}

/// Keys become names of files: one that would lead elsewhere makes the whole body unreadable.
fn decode(kind: InputKind, body: &[u8]) -> Option<Content> {
    let mut binary = Vec::new();
    let files: Files = match kind {
        InputKind::Configuration => {
            let message = Configuration::decode(body).ok()?.into_message();
            binary.extend(message.binary_data.keys().cloned());
            let text = message
                .data
                .into_iter()
                .map(|(key, value)| (key, value.into()));
            text.chain(message.binary_data).collect()
        }
        InputKind::Secret => Secret::decode(body).ok()?.into_message().data,
        InputKind::Certificate => {
            let message = Certificate::decode(body).ok()?.into_message();
            named([
                ("tls.crt", message.certificate_pem),
                ("tls.key", message.private_key_pem),
                ("ca.crt", message.ca_pem),
            ])
        }
        InputKind::Registry => {
            let message = Registry::decode(body).ok()?.into_message();
            named([
                ("address", message.address),
                ("username", message.username),
                ("password", message.password),
            ])
        }
    };
    let is_plain = |key: &String| {
        !key.is_empty() && key != "." && !key.starts_with("..") && !key.contains(['/', '\0'])
    };
    let is_fine = files.keys().all(is_plain);
    is_fine.then_some(Content { files, binary })
}

/// Files from fields; what is not set is no file.
fn named<const N: usize>(fields: [(&str, String); N]) -> Files {
    let set = fields.into_iter().filter(|(_, text)| !text.is_empty());
    set.map(|(name, text)| (name.to_owned(), text.into()))
        .collect()
}

#[cfg(test)]
mod tests;
