//! One layer of configuration, checked key by key against what lies below it.
//!
//! serde stops at the first error and does not say where it was. So a layer that does not fit is
//! taken apart: each of its keys is tried alone on top of the layers below, down to the leaf that
//! fails by itself. That costs a few deserializations, only when something is wrong.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Sources;
use crate::fault::Violation;

/// How deep a tree may be; a configuration is shallow.
const MAX_DEPTH: usize = 32;

/// A tree of values and where it came from.
pub(super) struct Layer {
    origin: String,
    tree: Value,
}

impl Layer {
    pub(super) fn file(path: &Path, tree: Value) -> Self {
        Self {
            origin: path.display().to_string(),
            tree,
        }
    }

    /// Nulls are flags that were not given.
    pub(super) fn overrides(tree: Value) -> Self {
        Self {
            origin: "the command line".to_owned(),
            tree: without_nulls(tree),
        }
    }
}

/// Lays `layer` over `merged`; what does not fit is left out and reported.
pub(super) fn apply<T: DeserializeOwned>(
    merged: &mut Value,
    layer: Layer,
    violations: &mut Vec<Violation>,
) {
    if !layer.tree.is_object() {
        return;
    }
    let whole = overlaid(merged, &layer.tree);
    let Err(error) = check::<T>(&whole) else {
        *merged = whole;
        return;
    };
    let before = violations.len();
    find_faults::<T>(merged, &layer, &mut Vec::new(), violations);
    if violations.len() == before {
        // Every key is right alone: they contradict each other.
        violations.push(violation(&layer, &[], &error));
    }
}

/// Tries each key of the subtree at `path` alone, on top of `below`.
fn find_faults<T: DeserializeOwned>(
    below: &Value,
    layer: &Layer,
    path: &mut Vec<String>,
    violations: &mut Vec<Violation>,
) {
    let Some(Value::Object(keys)) = lookup(&layer.tree, path) else {
        return;
    };
    for (key, value) in keys {
        path.push(key.clone());
        if let Err(error) = check::<T>(&overlaid(below, &nested(path, value.clone()))) {
            let before = violations.len();
            if path.len() < MAX_DEPTH && !is_unknown(&error, key) {
                find_faults::<T>(below, layer, path, violations);
            }
            // Alone, a key of a group can fail for want of its siblings: then the group is named.
            let is_group_incomplete = error.to_string().starts_with("missing field");
            let is_leaf = !value.is_object();
            if violations.len() == before && !(is_leaf && is_group_incomplete) {
                violations.push(violation(layer, path, &error));
            }
        }
        path.pop();
    }
}

fn is_unknown(error: &serde_json::Error, key: &str) -> bool {
    error
        .to_string()
        .starts_with(&format!("unknown field `{key}`"))
}

fn violation(layer: &Layer, path: &[String], error: &serde_json::Error) -> Violation {
    let name = if path.is_empty() {
        ".".to_owned()
    } else {
        path.join(".")
    };
    let description = error.to_string();
    let reason = if description.starts_with("unknown field") {
        "UNKNOWN_FIELD"
    } else {
        "INVALID"
    };
    Violation::new(
        format!("{name} (from {})", layer.origin),
        reason,
        description,
    )
}

/// The layer of the variables that begin with the prefix.
///
/// Variables have no types, so each is tried as text first and then, if text does not fit, as the
/// number, truth value, list or mapping that it spells.
pub(super) fn environment_layer<T: DeserializeOwned>(
    below: &Value,
    sources: &Sources<'_>,
    violations: &mut Vec<Violation>,
) -> Layer {
    let mut layer = Layer {
        origin: "the environment".to_owned(),
        tree: Value::Object(Map::new()),
    };
    if sources.env_prefix.is_empty() {
        return layer;
    }
    let mut variables: Vec<_> = sources.env.iter().collect();
    variables.sort();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(sources.env_prefix) else {
            continue;
        };
        let path = resolve(below, rest);
        if path.len() > MAX_DEPTH || path.iter().any(String::is_empty) {
            let problem = "must name a key, levels joined by two underscores";
            violations.push(Violation::new(name, "UNKNOWN_FIELD", problem));
            continue;
        }
        let as_text = Value::String(text.clone());
        let is_text_right =
            check::<T>(&overlaid(below, &nested(&path, as_text.clone()))).is_ok_or_incomplete();
        let value = match serde_json::from_str(text) {
            Ok(spelled) if !is_text_right => spelled,
            _ => as_text,
        };
        layer.tree = overlaid(&layer.tree, &nested(&path, value));
    }
    layer
}

/// Whether a value fits, perhaps with siblings that other variables bring.
trait OkOrIncomplete {
    fn is_ok_or_incomplete(&self) -> bool;
}

impl OkOrIncomplete for Result<(), serde_json::Error> {
    fn is_ok_or_incomplete(&self) -> bool {
        match self {
            Ok(()) => true,
            Err(error) => error.to_string().starts_with("missing field"),
        }
    }
}

/// Finds the keys that a variable's name means: `LISTEN__PORT` is `listen.port`, `MAXBYTES` and
/// `MAX_BYTES` are `maxBytes` where the configuration below has that key.
fn resolve(below: &Value, name: &str) -> Vec<String> {
    let mut at = Some(below);
    let mut path = Vec::new();
    for part in name.split("__") {
        let wanted = plain(part);
        let known = at
            .and_then(Value::as_object)
            .and_then(|keys| keys.keys().find(|key| plain(key) == wanted));
        let key = known.cloned().unwrap_or_else(|| part.to_lowercase());
        at = at.and_then(|value| value.get(&key));
        path.push(key);
    }
    path
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

fn check<T: DeserializeOwned>(tree: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(tree).map(drop)
}

fn lookup<'a>(tree: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |at, key| at.get(key))
}

/// The tree that has only `value`, at `path`.
fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| {
        Value::Object(Map::from_iter([(key.clone(), inner)]))
    })
}

/// Mappings are merged, everything else is replaced.
fn overlaid(below: &Value, above: &Value) -> Value {
    let (Value::Object(lower), Value::Object(upper)) = (below, above) else {
        return above.clone();
    };
    let mut merged = lower.clone();
    for (key, value) in upper {
        let combined = match lower.get(key) {
            Some(present) => overlaid(present, value),
            None => value.clone(),
        };
        merged.insert(key.clone(), combined);
    }
    Value::Object(merged)
}

fn without_nulls(tree: Value) -> Value {
    let Value::Object(keys) = tree else {
        return tree;
    };
    let kept = keys.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        kept.map(|(key, value)| (key, without_nulls(value)))
            .collect(),
    )
}
