//! Values of a document as JSON text, which is YAML, too.

use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

/// Writes a structure of the contract as JSON.
pub(super) fn text(values: &prost_types::Struct) -> String {
    object(values).to_string()
}

fn object(values: &prost_types::Struct) -> Value {
    let fields = values.fields.iter();
    let fields: Map<String, Value> = fields.map(|(k, v)| (k.clone(), value(v))).collect();
    Value::Object(fields)
}

fn value(from: &prost_types::Value) -> Value {
    match &from.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(value)) => number(*value),
        Some(Kind::StringValue(value)) => Value::String(value.clone()),
        Some(Kind::StructValue(value)) => object(value),
        Some(Kind::ListValue(list)) => list.values.iter().map(value).collect(),
    }
}

/// The contract has floating numbers only; templates must see a whole one without a point.
fn number(from: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if from.fract() == 0.0 && from.abs() < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and small enough"
        )]
        return Value::Number(Number::from(from as i64));
    }
    Number::from_f64(from).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;
