//! Decoding an object as its kind says: fields that are not known go, amounts get their one
//! spelling, wrong types are found; and what a kind demands beyond types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Limits, Node, Shape};
use crate::object::parse_time;
use crate::quantity::Quantity;
use crate::refusal::Cause;

/// What was found while decoding.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Paths of fields that were dropped.
    pub(crate) unknown: Vec<String>,
    /// Values of a wrong type.
    pub(crate) mismatches: Vec<Mismatch>,
}

/// A value of a wrong type.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) path: String,
    pub(crate) found: Value,
    /// The type that it should have.
    pub(crate) expected: &'static str,
    /// What the server says when it is more than a wrong type; else empty.
    pub(crate) detail: String,
}

impl Mismatch {
    /// The sentence for a built-in kind.
    pub(crate) fn sentence(&self) -> String {
        if !self.detail.is_empty() {
            return self.detail.clone();
        }
        let found = kind_of(&self.found);
        format!(
            "json: cannot unmarshal {found} into Go struct field {} of type {}",
            self.path, self.expected
        )
    }

    /// The cause for a custom resource.
    pub(crate) fn cause(&self) -> Cause {
        let detail = format!(
            "{} in body must be of type {}: {:?}",
            self.path,
            self.expected,
            kind_of(&self.found)
        );
        let message = format!("Invalid value: {:?}: {detail}", kind_of(&self.found));
        Cause::new("FieldValueTypeInvalid", message, self.path.clone())
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Decodes in place.
pub(crate) fn decode(node: Node<'_>, value: &mut Value) -> Decoded {
    let mut found = Decoded::default();
    decode_at(node, value, "", &mut found);
    found
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        return field.to_owned();
    }
    format!("{path}.{field}")
}

fn decode_at(node: Node<'_>, value: &mut Value, path: &str, found: &mut Decoded) {
    match (node.shape(), &mut *value) {
        (Shape::Any, _) | (Shape::Text, Value::String(_)) | (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::Struct(_), Value::Object(fields)) => decode_struct(node, fields, path, found),
        (Shape::Map { .. }, Value::Object(fields)) => decode_map(node, fields, path, found),
        (Shape::List { .. }, Value::Array(items)) => {
            if let Some(item) = node.item() {
                for (index, value) in items.iter_mut().enumerate() {
                    decode_at(item, value, &format!("{path}[{index}]"), found);
                }
            }
        }
        (shape, scalar) => decode_scalar(shape, scalar, path, found),
    }
}

fn decode_struct(node: Node<'_>, fields: &mut Map<String, Value>, path: &str, found: &mut Decoded) {
    let Shape::Struct(declared) = node.shape() else {
        return;
    };
    let is_whole =
        |name: &str| declared.is_embedded && ["apiVersion", "kind", "metadata"].contains(&name);
    fields.retain(|name, value| {
        let Some(child) = node.field(name) else {
            let is_kept = declared.keeps_unknown || is_whole(name);
            if !is_kept {
                found.unknown.push(join(path, name));
            }
            return is_kept;
        };
        if value.is_null() {
            return child.limits().is_some_and(|limits| limits.is_nullable);
        }
        decode_at(child, value, &join(path, name), found);
        node.is_custom() || !is_dropped(child, value)
    });
    if !node.is_custom() {
        return;
    }
    for (name, field) in &declared.fields {
        let child = node.at(field.id);
        let default = child.limits().and_then(|limits| limits.default.as_ref());
        if let Some(default) = default
            && !fields.contains_key(name)
        {
            let mut value = default.clone();
            decode_at(child, &mut value, &join(path, name), found);
            fields.insert(name.clone(), value);
        }
    }
}

/// Empty lists and maps of built-in kinds are not stored.
fn is_dropped(child: Node<'_>, value: &Value) -> bool {
    match (child.shape(), value) {
        (Shape::List { .. }, Value::Array(items)) => items.is_empty(),
        (Shape::Map { .. }, Value::Object(fields)) => fields.is_empty(),
        _ => false,
    }
}

fn decode_map(node: Node<'_>, fields: &mut Map<String, Value>, path: &str, found: &mut Decoded) {
    for (name, value) in fields.iter_mut() {
        let Some(child) = node.field(name) else {
            return;
        };
        // A null in a map of text is the empty text.
        if value.is_null() && matches!(child.shape(), Shape::Text | Shape::Bytes) {
            *value = json!("");
        }
        decode_at(child, value, &join(path, name), found);
    }
}

fn decode_scalar(shape: &Shape, value: &mut Value, path: &str, found: &mut Decoded) {
    let mut mismatch = |expected, detail: String| {
        found.mismatches.push(Mismatch {
            path: path.to_owned(),
            found: value.clone(),
            expected,
            detail,
        });
    };
    let wrong = String::new;
    match (shape, &*value) {
        (Shape::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = match &*value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match Quantity::parse(&text) {
                Some(quantity) => *value = json!(quantity.canonical()),
                None => mismatch(
                    "quantity",
                    "quantities must match the regular expression \
                     '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                        .to_owned(),
                ),
            }
        }
        (Shape::Bytes, Value::String(text)) => {
            if STANDARD.decode(text).is_err() {
                mismatch("bytes", "illegal base64 data at input byte 0".to_owned());
            }
        }
        (Shape::Time, Value::String(text)) => {
            if parse_time(text).is_none() {
                let detail = format!(
                    "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"
                );
                mismatch("date-time", detail);
            }
        }
        (Shape::Integer, Value::Number(number)) => match number.as_f64() {
            _ if number.is_i64() || number.is_u64() => {}
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "whole and small, see above"
                )]
                let whole = float as i64;
                *value = json!(whole);
            }
            _ => mismatch("integer", wrong()),
        },
        (Shape::Number, Value::Number(_)) | (Shape::Port, Value::String(_)) => {}
        (Shape::Port, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Shape::Struct(_) | Shape::Map { .. }, _) => mismatch("object", wrong()),
        (Shape::List { .. }, _) => mismatch("array", wrong()),
        (Shape::Text | Shape::Bytes | Shape::Time | Shape::Quantity, _) => {
            mismatch("string", wrong());
        }
        (Shape::Integer | Shape::Port, _) => mismatch("integer", wrong()),
        (Shape::Number, _) => mismatch("number", wrong()),
        (Shape::Boolean, _) => mismatch("boolean", wrong()),
        (Shape::Any, _) => {}
    }
}

/// Fields that the description of Kubernetes calls required and its server does not.
const NOT_DEMANDED: [&str; 3] = ["podSelector", "rules", "value"];

/// What an object lacks, and values that are outside of their limits. The status of built-in kinds
/// is not looked at, as its writers are trusted.
pub(crate) fn violations(node: Node<'_>, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    violations_at(node, value, "", &mut causes);
    causes
}

fn violations_at(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(limits) = node.limits() {
        check_limits(limits, value, path, causes);
    }
    match (node.shape(), value) {
        (Shape::Struct(declared), Value::Object(fields)) => {
            for name in declared.required() {
                let is_demanded = node.is_custom() || !NOT_DEMANDED.contains(&name);
                if is_demanded && !fields.contains_key(name) {
                    causes.push(Cause::required(join(path, name), ""));
                }
            }
            for (name, value) in fields {
                let is_trusted = path.is_empty() && !node.is_custom() && name == "status";
                if let Some(child) = node.field(name).filter(|_| !is_trusted) {
                    violations_at(child, value, &join(path, name), causes);
                }
            }
        }
        (Shape::Map { .. }, Value::Object(fields)) => {
            for (name, value) in fields {
                if let Some(child) = node.field(name) {
                    violations_at(child, value, &join(path, name), causes);
                }
            }
        }
        (Shape::List { .. }, Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                if let Some(child) = node.item() {
                    violations_at(child, value, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}

fn check_limits(limits: &Limits, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !limits.allowed.is_empty() && !limits.allowed.contains(value) && !value.is_null() {
        let known: Vec<_> = limits.allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::unsupported(path, value, &known));
    }
    let mut report = |detail: String| {
        let detail = format!("{path} in body {detail}");
        causes.push(Cause::invalid(path, value, &detail));
    };
    if let Some(number) = value.as_f64() {
        if limits.minimum.is_some_and(|minimum| number < minimum) {
            let minimum = limits.minimum.unwrap_or_default();
            report(format!("should be greater than or equal to {minimum}"));
        }
        if limits.maximum.is_some_and(|maximum| number > maximum) {
            let maximum = limits.maximum.unwrap_or_default();
            report(format!("should be less than or equal to {maximum}"));
        }
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count() as u64, limits.length, "chars long")),
        Value::Array(items) => Some((items.len() as u64, limits.items, "items")),
        _ => None,
    };
    if let Some((size, (least, most), unit)) = size {
        if least.is_some_and(|least| size < least) {
            let least = least.unwrap_or_default();
            report(format!("should be at least {least} {unit}"));
        }
        if most.is_some_and(|most| size > most) {
            let most = most.unwrap_or_default();
            report(format!("should be at most {most} {unit}"));
        }
    }
}
