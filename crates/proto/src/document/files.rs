//! Values that a document takes from files beside it: the field `dataFromFiles`.
//!
//! It belongs to documents as people write them, not to the contract: whoever reads the document
//! resolves it, and what is sent holds the values themselves.

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use super::FileSource;
use crate::json::{Key, Node, NodeKind, Place, Reader, reason};
use crate::pool;

/// Name of the field.
pub(super) const FIELD: &str = "dataFromFiles";

/// Sets the values of `key: path` pairs. On a Configuration or Secret these are its keys: text goes
/// to `data` of a configuration, other bytes to `binary_data`; a secret has bytes only. On other
/// kinds they are its fields of text.
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
        let has_keys = resource.descriptor().get_field_by_name("data").is_some();
        let field = text_field(resource, &key.text);
        if !has_keys && field.is_none() {
            reader.report::<()>(&place, key.at, reason::UNKNOWN_FIELD, || {
                "is no field of text".to_owned()
            });
            continue;
        }
        let is_twice = match &field {
            Some(field) if !has_keys => resource.has_field(field),
            _ => is_set(resource, key),
        };
        if is_twice {
            reader.report::<()>(&place, key.at, reason::DUPLICATE_FIELD, || {
                "is set twice".to_owned()
            });
            continue;
        }
        let read = files(name).and_then(|bytes| match &field {
            Some(field) if !has_keys => set_field(resource, field, bytes),
            _ => {
                set(resource, key, bytes);
                Ok(())
            }
        });
        if let Err(why) = read {
            reader.report::<()>(&place, path.at, reason::INVALID_FORMAT, || why);
        }
    }
}

/// A field of text that people set.
fn text_field(resource: &DynamicMessage, name: &str) -> Option<FieldDescriptor> {
    let descriptor = resource.descriptor();
    let behavior = pool::behavior(&descriptor);
    let field = descriptor.get_field_by_json_name(name)?;
    let is_text = field.kind() == Kind::String && !field.is_list() && !field.is_map();
    (is_text && !behavior.is_output_only(&field)).then_some(field)
}

/// Sets a field to what a file holds. Editors end files with a line end, which is no part of a
/// value of one line, such as a password.
fn set_field(
    resource: &mut DynamicMessage,
    field: &FieldDescriptor,
    bytes: Vec<u8>,
) -> Result<(), String> {
    let text = String::from_utf8(bytes).map_err(|_| "the file must be text".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let value = match line.contains('\n') {
        true => text,
        false => line.to_owned(),
    };
    resource.set_field(field, Value::String(value));
    Ok(())
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
