//! Between JSON values of messages and of everything else, and between clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_shadow::UnixMillis;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use serde_json::{Map, Number, Value as Json};

/// Whole numbers up to here are exact as a double, and are written as whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Values nested deeper than this become null: nothing of ours is.
const MAX_DEPTH: usize = 64;

/// Takes a value from a message.
pub(crate) fn to_json(value: &Value) -> Json {
    at_depth(value, 0)
}

/// Takes an object from a message.
pub(crate) fn object_to_json(object: &Struct) -> Json {
    object_at_depth(object, 0)
}

fn at_depth(value: &Value, depth: usize) -> Json {
    if depth > MAX_DEPTH {
        return Json::Null;
    }
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(*value),
        Some(Kind::StringValue(value)) => Json::String(value.clone()),
        Some(Kind::NumberValue(value)) => number(*value),
        Some(Kind::StructValue(value)) => object_at_depth(value, depth + 1),
        Some(Kind::ListValue(value)) => {
            let values = value.values.iter();
            Json::Array(values.map(|value| at_depth(value, depth + 1)).collect())
        }
    }
}

fn object_at_depth(object: &Struct, depth: usize) -> Json {
    let fields = object.fields.iter();
    let members: Map<_, _> = fields
        .map(|(key, value)| (key.clone(), at_depth(value, depth)))
        .collect();
    Json::Object(members)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is whole and within the range"
)]
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

/// Makes a value of a message.
pub(crate) fn from_json(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(from_json).collect(),
        }),
        Json::Object(members) => Kind::StructValue(Struct {
            fields: members
                .iter()
                .map(|(key, value)| (key.clone(), from_json(value)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// The clock, in the unit of properties.
pub(crate) fn now_millis() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A time of properties as messages have it.
pub(crate) fn timestamp_of_millis(time: UnixMillis) -> Timestamp {
    let nanos = time.0.rem_euclid(1000) * 1_000_000;
    Timestamp {
        seconds: time.0.div_euclid(1000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// A length of time from a message; absent or negative is `None`.
pub(crate) fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*duration?).ok()
}

#[cfg(test)]
mod tests;
