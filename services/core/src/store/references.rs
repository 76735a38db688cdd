//! What a desired document needs, and how a record names what it needs.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::sync::v1::{DesiredDocument, Fence as WireFence};
use baetyl_shadow::{Digest, Epoch, Fence, Generation, Patch, PropertySet, UnixMillis};

use super::{Record, StoreError};
use crate::value;

/// The kinds of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BodyKind {
    /// The spec of an application.
    Application,
    /// A configuration.
    Configuration,
    /// A secret; sealed on disk.
    Secret,
    /// A certificate with its private key; sealed on disk.
    Certificate,
    /// Credentials of an image registry; sealed on disk.
    Registry,
}

impl BodyKind {
    /// Returns the word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Configuration => "configuration",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Registry => "registry",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Application,
            Self::Configuration,
            Self::Secret,
            Self::Certificate,
            Self::Registry,
        ];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

/// A body that a document needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its kind.
    pub kind: BodyKind,
    /// Name of the resource.
    pub name: String,
    /// Digest of the body.
    pub digest: Digest,
}

/// Lists the bodies that a document needs, by digest.
///
/// # Errors
/// [`StoreError::DocumentInvalid`] when a kind or a digest is none.
pub fn wanted(document: &DesiredDocument) -> Result<BTreeMap<Digest, Wanted>, StoreError> {
    let invalid = |why| StoreError::DocumentInvalid { why };
    let mut found = BTreeMap::new();
    let mut add = |kind, name: &str, digest: &str| -> Result<(), StoreError> {
        let digest: Digest = digest.parse().map_err(|_| invalid("a digest is none"))?;
        let name = name.to_owned();
        found.insert(digest, Wanted { kind, name, digest });
        Ok(())
    };
    for application in &document.applications {
        add(
            BodyKind::Application,
            &application.name,
            &application.digest,
        )?;
        for input in &application.inputs {
            let kind = BodyKind::parse(&input.kind);
            let kind = kind.ok_or_else(|| invalid("an input is of an unknown kind"))?;
            add(kind, &input.name, &input.digest)?;
        }
    }
    Ok(found)
}

/// The digests of a document that was accepted, and so names them rightly.
pub(super) fn digests(document: &DesiredDocument) -> BTreeSet<Digest> {
    wanted(document)
        .map(|found| found.into_keys().collect())
        .unwrap_or_default()
}

/// Takes a fence from a message; none is the first of all.
#[must_use]
pub fn fence_of(fence: Option<&WireFence>) -> Fence {
    let fence = fence.copied().unwrap_or_default();
    Fence::new(Epoch::new(fence.epoch), Generation::new(fence.generation))
}

/// Makes the wanted properties those of the document; what did not change keeps its time.
pub(super) fn take_desired(desired: &mut PropertySet, document: &DesiredDocument, now: UnixMillis) {
    let gone = desired
        .iter()
        .map(|(key, _)| key.to_string())
        .filter(|key| !document.properties.contains_key(key))
        .map(|key| (key, serde_json::Value::Null));
    let wanted = document
        .properties
        .iter()
        .map(|(key, wanted)| (key.clone(), value::to_json(wanted)));
    let members: serde_json::Map<_, _> = gone.chain(wanted).collect();
    let merged = Patch::try_from(serde_json::Value::Object(members))
        .map_err(|error| vec![error])
        .and_then(|patch| desired.merge(&patch, now));
    if let Err(errors) = merged {
        // The cloud checks them; what it let through must not block the applications.
        let reason = errors.first().map(baetyl_shadow::Error::reason);
        tracing::warn!(
            reason,
            "wanted properties are not acceptable, keeping the old"
        );
    }
}

/// A record: how many digests (4 bytes, big end first), the digests, the bytes.
pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let count = u32::try_from(record.references.len()).unwrap_or(u32::MAX);
    let mut value = count.to_be_bytes().to_vec();
    for digest in &record.references {
        value.extend_from_slice(digest.as_bytes());
    }
    value.extend_from_slice(&record.bytes);
    value
}

pub(super) fn decode_record(name: String, value: &[u8]) -> Result<Record, StoreError> {
    let corrupt = || StoreError::corrupt("record");
    let (count, mut rest) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let mut references = BTreeSet::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (digest, after) = rest.split_first_chunk::<32>().ok_or_else(corrupt)?;
        references.insert(Digest::from_bytes(*digest));
        rest = after;
    }
    Ok(Record {
        name,
        bytes: rest.to_vec(),
        references,
    })
}
