//! Reading and writing the parts that every object has.

use std::time::SystemTime;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Namespace and name; the order is that of lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Empty for objects of the whole cluster.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(object: &Value) -> Self {
        Self::new(meta_text(object, "namespace"), meta_text(object, "name"))
    }
}

/// One entry of `metadata.ownerReferences`.
pub(crate) struct OwnerReference<'a> {
    pub(crate) uid: &'a str,
    pub(crate) blocks_deletion: bool,
}

/// A text of the metadata; empty when it is not there.
pub(crate) fn meta_text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A text anywhere: `/spec/nodeName`; empty when it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The items of a list anywhere.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The fields of an object anywhere.
pub(crate) fn fields<'a>(
    object: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// The map behind a field, made when it is not there; `None` when the parent is no object.
pub(crate) fn child<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    let parent = value.as_object_mut()?;
    parent
        .entry(field)
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// The metadata as a map, made when it is not there.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]
        .as_object_mut()
        .expect("made an object above")
}

/// Sets a field where the parent is an object and has none yet.
pub(crate) fn set_default(parent: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(parent) = parent.as_object_mut() {
        parent.entry(field).or_insert_with(|| value.into());
    }
}

/// Takes a field over from another object, or away when that has none.
pub(crate) fn copy_field(from: &Value, to: &mut Value, field: &str) {
    let Some(to) = to.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(value) => {
            to.insert(field.to_owned(), value.clone());
        }
        None => {
            to.remove(field);
        }
    }
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    items(object, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
}

pub(crate) fn has_finalizer(object: &Value, name: &str) -> bool {
    finalizers(object).any(|finalizer| finalizer == name)
}

pub(crate) fn add_finalizer(object: &mut Value, name: &str) {
    if has_finalizer(object, name) {
        return;
    }
    let list = metadata(object)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.push(json!(name));
    }
}

pub(crate) fn remove_finalizer(object: &mut Value, name: &str) {
    let metadata = metadata(object);
    if let Some(list) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        list.retain(|finalizer| finalizer != name);
        if list.is_empty() {
            metadata.remove("finalizers");
        }
    }
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !meta_text(object, "deletionTimestamp").is_empty()
}

pub(crate) fn owners(object: &Value) -> impl Iterator<Item = OwnerReference<'_>> {
    items(object, "/metadata/ownerReferences")
        .iter()
        .map(|owner| OwnerReference {
            uid: owner["uid"].as_str().unwrap_or_default(),
            blocks_deletion: owner["blockOwnerDeletion"] == true,
        })
}

/// A time as the server writes it: seconds, UTC.
pub(crate) fn seconds(at: SystemTime) -> String {
    format_time(OffsetDateTime::from(at).replace_nanosecond(0))
}

/// A time as logs carry it: with its fractions.
pub(crate) fn precise(at: SystemTime) -> String {
    format_time(Ok(OffsetDateTime::from(at)))
}

fn format_time(at: Result<OffsetDateTime, time::error::ComponentRange>) -> String {
    at.ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Reads what [`seconds`] and [`precise`] write.
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .map(SystemTime::from)
}
