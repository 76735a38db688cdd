//! The pinned inputs of a release; bodies are read only when somebody needs them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use baetyl_model::{Configuration, Secret};
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
fn decode(kind: InputKind, body: &[u8]) -> Option<Files> {
    let files: Files = match kind {
        InputKind::Configuration => {
            let message = Configuration::decode(body).ok()?.into_message();
            let text = message
                .data
                .into_iter()
                .map(|(key, value)| (key, value.into()));
            text.chain(message.binary_data).collect()
        }
        InputKind::Secret => Secret::decode(body).ok()?.into_message().data,
    };
    let is_plain = |key: &String| {
        !key.is_empty() && key != "." && !key.starts_with("..") && !key.contains(['/', '\0'])
    };
    files.keys().all(is_plain).then_some(files)
}

#[cfg(test)]
mod tests;
