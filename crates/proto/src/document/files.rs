//! Values that a document takes from files beside it: the field `dataFromFiles`.
//!
//! It belongs to documents as people write them, not to the contract: whoever reads the document
//! resolves it, and what is sent holds the values themselves.

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};

use super::FileSource;
use crate::json::{Key, Node, NodeKind, Place, Reader, reason};

/// Name of the field.
pub(super) const FIELD: &str = "dataFromFiles";

/// Sets the values of `key: path` pairs on a Configuration or Secret. Text goes to `data` of a
/// configuration, other bytes to `binary_data`; a secret has bytes only.
pub(super) fn resolve(
    reader: &mut Reader,
    resource: &mut DynamicMessage,
    node: &Node<'_>,
    root: &Place<'_>,
    files: FileSource<'_>,
) {
    let place = root.field(FIELD);
    let NodeKind::Map(entries) = &node.kind else {
        reader.report::<()>(&place, node.at, reason::WRONG_TYPE, || {
            "must be a mapping from keys to paths".to_owned()
        });
        return;
    };
    for (key, path) in entries {
        let place = place.field(&key.text);
        let Some(name) = path.as_text() else {
            reader.report::<()>(&place, path.at, reason::WRONG_TYPE, || {
                format!("must be a path, got {}", place.got(path))
            });
            continue;
        };
        if is_set(resource, key) {
            reader.report::<()>(&place, key.at, reason::DUPLICATE_FIELD, || {
                "is set twice".to_owned()
            });
            continue;
        }
        match files(name) {
            Ok(bytes) => set(resource, key, bytes),
            Err(why) => {
                reader.report::<()>(&place, path.at, reason::INVALID_FORMAT, || why);
            }
        }
    }
}

fn is_set(resource: &DynamicMessage, key: &Key<'_>) -> bool {
    let key = MapKey::String(key.text.clone().into_owned());
    ["data", "binary_data", "string_data"].iter().any(|field| {
        let map = resource.get_field_by_name(field);
        map.is_some_and(|map| map.as_map().is_some_and(|map| map.contains_key(&key)))
    })
}

fn set(resource: &mut DynamicMessage, key: &Key<'_>, bytes: Vec<u8>) {
    let is_secret = resource.get_field_by_name("binary_data").is_none();
    let (field, value) = match String::from_utf8(bytes) {
        Ok(text) if !is_secret => ("data", Value::String(text)),
        Ok(text) => ("data", Value::Bytes(Bytes::from(text))),
        Err(error) if is_secret => ("data", Value::Bytes(Bytes::from(error.into_bytes()))),
        Err(error) => ("binary_data", Value::Bytes(Bytes::from(error.into_bytes()))),
    };
    let key = MapKey::String(key.text.clone().into_owned());
    let Some(descriptor) = resource.descriptor().get_field_by_name(field) else {
        return;
    };
    if let Some(map) = resource.get_field_mut(&descriptor).as_map_mut() {
        map.insert(key, value);
    }
}
