//! Equality of JSON values, numbers by value.

use serde_json::{Map, Number, Value};

/// Compares two values; numbers are equal when they mean the same: `1`, `1.0`
/// and `1e0` are one number, `-0.0` is `0`. Integers are compared exactly, not
/// through floating point.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_members(a, b),
        _ => a == b,
    }
}

pub(crate) fn same_members(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
}

pub(crate) fn same_number(a: &Number, b: &Number) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_f64() == b.as_f64(),
        _ => false,
    }
}

/// The number as an integer, when it is one below 2^127; all that JSON's
/// integers and most of its floats can name. Larger floats stay floats, and no
/// integer of JSON is as large.
fn integer(number: &Number) -> Option<i128> {
    // 2^126: far beyond 64 bits, and inside of i128 with room to spare.
    const LIMIT: f64 = 85_070_591_730_234_615_865_843_651_857_942_052_864.0;
    if let Some(value) = number.as_i128() {
        return Some(value);
    }
    let float = number.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number inside of the range of i128"
    )]
    (float.fract() == 0.0 && float.abs() < LIMIT).then_some(float as i128)
}

#[cfg(test)]
mod tests;
