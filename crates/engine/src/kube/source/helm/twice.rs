//! Compares two renderings of a chart: pure.

use serde_json::Value;

use super::super::super::object::Object;
use crate::driver::Refusal;
use crate::reason;

/// Refuses a chart that came out different the second time.
pub(super) fn same(first: &[Object], second: &[Object]) -> Result<(), Refusal> {
    let differs = |what: String| {
        let message = format!(
            "{what} comes out different each time: the chart draws a random value or the time; \
             set what it is for in the values"
        );
        Err(Refusal::lasting(reason::HELM_FAILED, message))
    };
    if first.len() != second.len() {
        return differs("the number of objects".to_owned());
    }
    for (one, other) in first.iter().zip(second) {
        if one.key() != other.key() {
            return differs(one.key().to_string());
        }
        if let Some(field) = difference(one.body(), other.body()) {
            return differs(format!("{}: {field}", one.key()));
        }
    }
    Ok(())
}

/// Path of the first field in which two values differ.
pub(super) fn difference(one: &Value, other: &Value) -> Option<String> {
    let join = |step: String, rest: String| match rest.chars().next() {
        None => step,
        Some('[') => format!("{step}{rest}"),
        Some(_) => format!("{step}.{rest}"),
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let missing = other.keys().find(|key| !one.contains_key(*key));
            let differing = one.iter().find_map(|(key, value)| match other.get(key) {
                None => Some(key.clone()),
                Some(second) => difference(value, second).map(|rest| join(key.clone(), rest)),
            });
            differing.or_else(|| missing.cloned())
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| {
                difference(one, other).map(|rest| join(format!("[{index}]"), rest))
            })
        }
        _ => (one != other).then(String::new),
    }
}
