//! Values from text alone, as they stand in a path or a query.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::{Reader, find, wellknown};
use crate::json::{Node, NodeKind, Place, Position, ReadOptions, Violation, nearest, reason};
use crate::pool;

/// Text that came from nowhere in particular.
const NOWHERE: Position = Position { line: 0, column: 0 };

/// Sets a field from text. `path` is dotted, in either of the names of fields: `pageSize`,
/// `application.name`. A repeated field gets one more value. Truth values are `true` and `false`.
///
/// # Errors
/// There is no such field, it is set already, or the text does not fit it; the violation's path is
/// `path`.
pub fn set_from_text(
    message: &mut DynamicMessage,
    path: &str,
    text: &str,
) -> Result<(), Violation> {
    set(message, path, path, text)
}

fn set(message: &mut DynamicMessage, whole: &str, path: &str, text: &str) -> Result<(), Violation> {
    let wrong = |reason, message| Violation {
        path: whole.to_owned(),
        reason,
        message,
        at: None,
    };
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let descriptor = message.descriptor();
    let Some(field) = find(&descriptor, name) else {
        let fields: Vec<_> = descriptor.fields().collect();
        let message = match nearest(name, fields.iter().map(FieldDescriptor::json_name)) {
            Some(name) => format!("unknown field; did you mean {name}?"),
            None => "unknown field".to_owned(),
        };
        return Err(wrong(reason::UNKNOWN_FIELD, message));
    };
    let kind = field.kind();
    let is_plain_message = is_plain_message(&kind);
    if let Some(rest) = rest {
        if !is_plain_message || field.is_list() || field.is_map() {
            let message = format!("{name} has no fields of its own");
            return Err(wrong(reason::UNKNOWN_FIELD, message));
        }
        let Value::Message(inner) = message.get_field_mut(&field) else {
            return Err(wrong(reason::WRONG_TYPE, "is no message".to_owned()));
        };
        return set(inner, whole, rest, text);
    }
    if is_plain_message || field.is_map() {
        let message = "cannot be written as text; name one of its fields".to_owned();
        return Err(wrong(reason::WRONG_TYPE, message));
    }
    if message.has_field(&field) && !field.is_list() {
        return Err(wrong(reason::DUPLICATE_FIELD, "is set twice".to_owned()));
    }
    let value = value(&field, text).map_err(|(reason, message)| wrong(reason, message))?;
    match message.get_field_mut(&field) {
        Value::List(values) => values.push(value),
        present => *present = value,
    }
    Ok(())
}

/// Whether values of the kind are mappings in JSON.
fn is_plain_message(kind: &Kind) -> bool {
    match kind {
        Kind::Message(descriptor) => !wellknown::is_scalar(descriptor),
        _ => false,
    }
}

fn value(field: &FieldDescriptor, text: &str) -> Result<Value, (&'static str, String)> {
    let kind = match (field.kind(), text) {
        (Kind::Bool, "true") => NodeKind::Bool(true),
        (Kind::Bool, "false") => NodeKind::Bool(false),
        _ => NodeKind::Text(text.into()),
    };
    let node = Node { kind, at: NOWHERE };
    let mut reader = Reader::new(ReadOptions::default());
    let is_redacted = pool::behavior(field.parent_message()).is_redacted(field);
    let value = reader.value(&field.kind(), &node, &Place::root().guarded(is_redacted));
    match (value, reader.violations.into_iter().next()) {
        (Some(value), None) => Ok(value),
        (_, Some(violation)) => Err((violation.reason, violation.message)),
        (None, None) => Err((reason::WRONG_TYPE, "does not fit".to_owned())),
    }
}
