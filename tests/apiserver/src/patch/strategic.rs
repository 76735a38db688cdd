//! Strategic merge patch: a merge patch that joins lists where the kind says so.

use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::schema::Node;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a patch to an object of a built-in kind.
///
/// # Errors
/// An item of a joined list lacks its key.
pub(crate) fn strategic(node: Node<'_>, target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    join(Some(node), target, patch)
}

fn join(node: Option<Node<'_>>, target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("replace") || !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    if let Some(Value::Array(kept)) = patch.get(RETAIN) {
        target.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_VALUES) {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (target.get_mut(list), value) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if value.is_null() || is_deletion(value) {
            target.remove(name);
            continue;
        }
        let key = node.and_then(|node| node.patch_key(name));
        let child = node.and_then(|node| node.field(name));
        let found = target.entry(name).or_insert(Value::Null);
        match (key, value) {
            (Some(key), Value::Array(wanted)) => {
                let item = child.and_then(Node::item);
                join_lists(item, key, found, wanted)?;
            }
            _ => join(child, found, value)?,
        }
    }
    Ok(())
}

fn is_deletion(value: &Value) -> bool {
    value.get(DIRECTIVE).and_then(Value::as_str) == Some("delete")
}

fn join_lists(
    node: Option<Node<'_>>,
    key: &str,
    target: &mut Value,
    wanted: &[Value],
) -> Result<(), Refusal> {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(items) = target else {
        return Ok(());
    };
    let replaces = wanted
        .iter()
        .any(|item| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace"));
    if replaces {
        items.clear();
    }
    for item in wanted {
        if key.is_empty() {
            if !items.contains(item) {
                items.push(item.clone());
            }
            continue;
        }
        let is_bare_directive = item.get(key).is_none() && item.get(DIRECTIVE).is_some();
        if is_bare_directive {
            continue;
        }
        let value = item.get(key).ok_or_else(|| {
            Refusal::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            ))
        })?;
        let at = items.iter().position(|known| known.get(key) == Some(value));
        match at {
            Some(at) if is_deletion(item) => {
                items.remove(at);
            }
            Some(at) => join(node, &mut items[at], item)?,
            None if is_deletion(item) => {}
            None => {
                let mut new = Value::Object(Map::new());
                join(node, &mut new, item)?;
                items.push(new);
            }
        }
    }
    Ok(())
}
