//! Messages of google.protobuf that have a JSON form of their own.

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use prost_types::{Duration, Timestamp};
use serde::ser::{Serialize, Serializer};

use super::{View, float};

/// Whether the message has a JSON form of its own.
pub(super) fn is_special(full_name: &str) -> bool {
    matches!(
        full_name,
        "google.protobuf.Value"
            | "google.protobuf.Struct"
            | "google.protobuf.ListValue"
            | "google.protobuf.Timestamp"
            | "google.protobuf.Duration"
            | "google.protobuf.FieldMask"
    )
}

impl View<'_> {
    pub(super) fn special<S: Serializer>(
        &self,
        full_name: &str,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match full_name {
            "google.protobuf.Timestamp" => {
                let (seconds, nanos) = two(self.message);
                serializer.collect_str(&Timestamp { seconds, nanos })
            }
            "google.protobuf.Duration" => {
                let (seconds, nanos) = two(self.message);
                serializer.collect_str(&Duration { seconds, nanos })
            }
            "google.protobuf.FieldMask" => serializer.serialize_str(&mask(self.message)),
            "google.protobuf.Value" => self.any_value(serializer),
            // Struct and ListValue show the one field that they have.
            _ => match self.message.descriptor().get_field(1) {
                Some(field) => {
                    let value = self.message.get_field(&field);
                    View::field(&field, &value, self.options).serialize(serializer)
                }
                None => serializer.serialize_unit(),
            },
        }
    }

    fn any_value<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((_, value)) = self.message.fields().next() else {
            return serializer.serialize_unit();
        };
        match value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::F64(value) => float(*value, serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Message(message) => View::new(message, self.options).serialize(serializer),
            _ => serializer.serialize_unit(),
        }
    }
}

/// Seconds and nanoseconds.
fn two(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message
        .get_field_by_number(1)
        .and_then(|value| value.as_i64());
    let nanos = message
        .get_field_by_number(2)
        .and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

fn mask(message: &DynamicMessage) -> String {
    let paths = message.get_field_by_number(1);
    let paths = paths
        .as_ref()
        .and_then(|value| value.as_list())
        .unwrap_or_default();
    let paths: Vec<_> = paths
        .iter()
        .filter_map(Value::as_str)
        .map(camel_case)
        .collect();
    paths.join(",")
}

fn camel_case(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut is_next_upper = false;
    for character in path.chars() {
        match character {
            '_' => is_next_upper = true,
            _ if is_next_upper => {
                camel.push(character.to_ascii_uppercase());
                is_next_upper = false;
            }
            _ => camel.push(character),
        }
    }
    camel
}
