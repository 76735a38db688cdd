//! Desired documents and wishes as they are stored.

use std::collections::{BTreeMap, HashMap};

use baetyl_model::{Digest, Epoch, Fence, Generation, NamespaceName, Uid};
use baetyl_proto::sync::v1 as wire;
use baetyl_shadow::{PropertySet, Scalar};
use bytes::Bytes;
use prost::Message as _;
use prost_types::value::Kind as ValueKind;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::store::{RecordKey, Store, StoreError, Table};

/// The desired document of a node.
pub(crate) fn desired_key(namespace: &NamespaceName, uid: &Uid) -> RecordKey {
    records::key(namespace.as_str(), Table::Desired, uid.as_str())
}

/// What people want of a node beside applications.
pub(crate) fn wish_key(namespace: &NamespaceName, uid: &Uid) -> RecordKey {
    records::key(namespace.as_str(), Table::NodeWish, uid.as_str())
}

/// Wanted properties and retry counters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WishRecord {
    /// Wanted properties.
    pub(crate) properties: PropertySet,
    /// How often each application was to be tried again.
    pub(crate) retries: BTreeMap<String, u64>,
}

impl WishRecord {
    pub(crate) fn wire_properties(&self) -> BTreeMap<String, prost_types::Value> {
        wire_properties(&self.properties)
    }
}

/// Properties as they travel.
pub(crate) fn wire_properties(set: &PropertySet) -> BTreeMap<String, prost_types::Value> {
    let each = set.iter();
    each.map(|(key, property)| (key.to_string(), wire_scalar(&property.value)))
        .collect()
}

fn wire_scalar(scalar: &Scalar) -> prost_types::Value {
    let kind = match scalar {
        Scalar::Bool(value) => ValueKind::BoolValue(*value),
        Scalar::Number(value) => ValueKind::NumberValue(value.as_f64().unwrap_or_default()),
        Scalar::Text(value) => ValueKind::StringValue(value.clone()),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A stored desired document, or its absence.
#[derive(Clone, Debug, Default)]
pub(crate) struct DesiredRecord {
    version: u64,
    bytes: Bytes,
    document: Option<wire::DesiredDocument>,
}

impl DesiredRecord {
    pub(crate) async fn read(store: &dyn Store, key: &RecordKey) -> Result<Self, StoreError> {
        let Some(record) = store.record(key).await? else {
            return Ok(Self::default());
        };
        let document = wire::DesiredDocument::decode(record.value.clone())
            .map_err(|error| StoreError::Corrupt(format!("a desired document: {error}")))?;
        Ok(Self {
            version: record.version,
            bytes: record.value,
            document: Some(document),
        })
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The stored bytes; empty when there is no document.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub(crate) fn document(&self) -> Option<&wire::DesiredDocument> {
        self.document.as_ref()
    }

    pub(crate) fn into_document(self) -> Option<wire::DesiredDocument> {
        self.document
    }

    /// Its fence; zero when there is no document.
    pub(crate) fn fence(&self) -> Fence {
        fence(self.document.as_ref().and_then(|one| one.fence.as_ref()))
    }

    /// The same document under another fence.
    pub(crate) fn under(&self, fence: Fence) -> Option<Bytes> {
        let mut document = self.document.clone()?;
        document.fence = Some(wire_fence(fence));
        Some(encode(&document))
    }

    /// Every body that the document references, by digest.
    pub(crate) fn bodies(&self) -> HashMap<String, Body> {
        let mut bodies = HashMap::new();
        for item in self.document.iter().flat_map(|one| &one.applications) {
            let body = Body::new("application", &item.name, item.revision);
            bodies.insert(item.digest.clone(), body);
            for input in &item.inputs {
                let body = Body::new(&input.kind, &input.name, input.revision);
                bodies.insert(input.digest.clone(), body);
            }
        }
        bodies
    }
}

/// Names one revision of a resource, as documents do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) revision: u64,
}

impl Body {
    fn new(kind: &str, name: &str, revision: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            revision,
        }
    }
}

pub(crate) fn encode(document: &wire::DesiredDocument) -> Bytes {
    document.encode_to_vec().into()
}

pub(crate) fn fence(fence: Option<&wire::Fence>) -> Fence {
    fence.map_or_else(Fence::default, |fence| {
        Fence::new(Epoch::new(fence.epoch), Generation::new(fence.generation))
    })
}

pub(crate) fn wire_fence(fence: Fence) -> wire::Fence {
    wire::Fence {
        epoch: fence.epoch.number(),
        generation: fence.generation.number(),
    }
}
