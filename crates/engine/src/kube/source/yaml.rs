//! A reader of manifests that takes them as `kubectl` and Helm do.
//!
//! Both read YAML 1.1 and turn it into JSON. So `yes`, `no`, `on`, `off`, `y` and `n` are truth
//! values when they are not quoted, `0644` is a number to base 8, and `1.0` is the number 1. Keys
//! stay as they are written. Beyond that this reader refuses a key that is there twice, where
//! others take the last one, and aliases that grow without bounds.

use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Options, Spanned};

use super::super::object::Object;
use super::{MAX_BYTES, MAX_OBJECTS, invalid, too_many};
use crate::driver::Refusal;

/// The most documents of one text; many are empty in what charts render.
const MAX_DOCUMENTS: usize = 4096;

/// The most values, keys included: five times those of the largest known set of definitions.
const MAX_NODES: usize = 1_000_000;

/// The deepest nesting. Schemas in definitions are the deepest, below 60.
const MAX_DEPTH: usize = 96;

/// The most values that aliases stand for.
const MAX_ALIASED: usize = 100_000;

/// Lists in lists.
const MAX_LISTS: usize = 3;

/// Numbers below are whole in both ways of writing them.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads all objects of a text; `place` names it: `manifest "web.yaml"`.
pub(super) fn objects(place: &str, text: &[u8]) -> Result<Vec<Object>, Refusal> {
    let text = std::str::from_utf8(text)
        .map_err(|error| invalid(format!("{place}: is no UTF-8 text: {error}")))?;
    let documents: Vec<Spanned<Value>> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| unreadable(place, &error))?;
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let line = document.defined.line();
        let place = format!("{place}, document {}, line {line}", index + 1);
        take(&place, document.value, None, MAX_LISTS, &mut objects)?;
    }
    Ok(objects)
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(MAX_BYTES),
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        strict_booleans: false,
        // Snippets of text could show what is secret.
        with_snippet: false,
    }
}

fn unreadable(place: &str, error: &serde_saphyr::Error) -> Refusal {
    let error = error.without_snippet();
    let message = error.to_string();
    // It says the line by itself, but not always in the same words.
    match error.location() {
        Some(at) if !message.contains("line ") => {
            invalid(format!("{place}, line {}: {message}", at.line()))
        }
        _ => invalid(format!("{place}: {message}")),
    }
}

/// Takes an object, or a list of them, apart. `kind` is what the list says of its items.
fn take(
    place: &str,
    mut value: Value,
    kind: Option<(&str, &str)>,
    lists: usize,
    objects: &mut Vec<Object>,
) -> Result<(), Refusal> {
    if value.is_null() {
        return Ok(());
    }
    let Value::Object(map) = &mut value else {
        return Err(invalid(format!("{place}: is no object")));
    };
    if let Some((api_version, kind)) = kind {
        map.entry("apiVersion")
            .or_insert_with(|| api_version.into());
        map.entry("kind").or_insert_with(|| kind.into());
    }
    let kind = map.get("kind").and_then(Value::as_str).map(str::to_owned);
    let items = kind.as_deref().and_then(|kind| kind.strip_suffix("List"));
    if let (Some(item_kind), Some(Value::Array(items))) = (items, map.get_mut("items")) {
        let items = std::mem::take(items);
        let api_version = map.get("apiVersion").and_then(Value::as_str);
        // A plain `List` does not say what is in it.
        let item_kind = api_version.map(|version| (version, item_kind));
        let item_kind = item_kind.filter(|(_, kind)| !kind.is_empty());
        if lists == 0 {
            return Err(invalid(format!("{place}: lists are nested too deeply")));
        }
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{place}: items[{index}]");
            take(&place, item, item_kind, lists - 1, objects)?;
        }
        return Ok(());
    }
    whole_numbers(&mut value);
    let object = Object::try_new(value).map_err(|error| invalid(format!("{place}: {error}")))?;
    objects.push(object);
    if objects.len() > MAX_OBJECTS {
        return Err(too_many(place));
    }
    Ok(())
}

/// Writes `3.0` as `3`: a field for whole numbers takes no other.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < EXACT {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "it is whole and small enough"
                )]
                let whole = float as i64;
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
