//! The three kinds of patches that edit rather than declare.

mod json;
mod strategic;

use serde_json::{Map, Value};

pub(crate) use json::json;
pub(crate) use strategic::strategic;

/// Merge patch (RFC 7386): maps are joined, null takes away, everything else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
