//! Edges of the tree of fields: written, and shown to people.

use serde_json::{Map, Value};

use crate::schema::{ListKey, ListMerge};

/// The edge to a field.
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The edge to an item of a list whose items are told apart; `None` when the item lacks what
/// tells it apart, or the list is one value.
pub(super) fn item(merge: &ListMerge, item: &Value) -> Option<String> {
    match merge {
        ListMerge::Atomic => None,
        ListMerge::Set => Some(format!("v:{item}")),
        ListMerge::Keys(keys) => key_fields(keys, item).map(|key| format!("k:{key}")),
    }
}

fn key_fields(keys: &[ListKey], item: &Value) -> Option<Value> {
    let mut fields = Map::new();
    for key in keys {
        let value = item.get(&key.field).or(key.default.as_ref());
        if let Some(value) = value {
            fields.insert(key.field.clone(), value.clone());
        }
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Shows an edge as people read it.
pub(super) fn display(edge: &str) -> String {
    let (kind, rest) = edge.split_once(':').unwrap_or(("f", edge));
    match kind {
        "k" => {
            let key: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let parts: Vec<_> = key.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", parts.join(","))
        }
        "v" => format!("[={rest}]"),
        "i" => format!("[{rest}]"),
        _ => format!(".{rest}"),
    }
}
