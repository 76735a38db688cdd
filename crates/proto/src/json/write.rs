//! From a message to the dialect, for any serializer.

use std::collections::HashMap;
use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::enumeration::short_name;
use crate::pool;

mod wellknown;

/// How a message is written.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Writes fields that have their default value, too. Default false.
    pub emit_defaults: bool,
    /// Writes fields that only a server sets. Default true.
    pub output_only: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            emit_defaults: false,
            output_only: true,
        }
    }
}

/// A message as the dialect shows it: fields by number, keys of maps sorted.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    message: &'a DynamicMessage,
    options: WriteOptions,
}

impl<'a> View<'a> {
    /// Shows a message.
    #[must_use]
    pub fn new(message: &'a DynamicMessage, options: WriteOptions) -> Self {
        Self { message, options }
    }

    /// Shows the value of one field, as it stands in the message.
    #[must_use]
    pub fn field(
        field: &FieldDescriptor,
        value: &'a Value,
        options: WriteOptions,
    ) -> impl Serialize + use<'a> {
        FieldView {
            value,
            kind: field.kind(),
            options,
        }
    }

    /// Writes the fields into a mapping that was begun.
    pub(crate) fn write_fields<M: serde::ser::SerializeMap>(
        &self,
        mapping: &mut M,
    ) -> Result<(), M::Error> {
        let descriptor = self.message.descriptor();
        let behavior = pool::behavior(&descriptor);
        let mut write = |field: &FieldDescriptor, value: &Value| {
            if !self.options.output_only && behavior.is_output_only(field) {
                return Ok(());
            }
            mapping.serialize_entry(field.json_name(), &View::field(field, value, self.options))
        };
        if !self.options.emit_defaults {
            for (field, value) in self.message.fields() {
                write(&field, value)?;
            }
            return Ok(());
        }
        for field in descriptor.fields() {
            if self.message.has_field(&field) || !field.supports_presence() {
                write(&field, &self.message.get_field(&field))?;
            }
        }
        Ok(())
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let descriptor = self.message.descriptor();
        let name = descriptor.full_name();
        if name.starts_with("google.protobuf.") && wellknown::is_special(name) {
            return self.special(name, serializer);
        }
        let mut mapping = serializer.serialize_map(None)?;
        self.write_fields(&mut mapping)?;
        mapping.end()
    }
}

struct FieldView<'a> {
    value: &'a Value,
    kind: Kind,
    options: WriteOptions,
}

impl FieldView<'_> {
    fn with<'v>(&self, value: &'v Value, kind: Kind) -> FieldView<'v> {
        FieldView {
            value,
            kind,
            options: self.options,
        }
    }
}

impl Serialize for FieldView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Value::F32(value) => serializer.serialize_str(non_finite((*value).into())),
            Value::F64(value) => float(*value, serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
            Value::EnumNumber(number) => self.enumeration(*number, serializer),
            Value::Message(message) => View::new(message, self.options).serialize(serializer),
            Value::List(values) => serializer.collect_seq(
                values
                    .iter()
                    .map(|value| self.with(value, self.kind.clone())),
            ),
            Value::Map(values) => self.map(values, serializer),
        }
    }
}

impl FieldView<'_> {
    fn enumeration<S: Serializer>(&self, number: i32, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.kind.as_enum().and_then(|kind| kind.get_value(number));
        match value {
            Some(value) => serializer.serialize_str(&short_name(&value)),
            // A newer server's.
            None => serializer.serialize_i32(number),
        }
    }

    fn map<S: Serializer>(
        &self,
        values: &HashMap<MapKey, Value>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<_> = values.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let kind = match self.kind.as_message() {
            Some(entry) => entry.map_entry_value_field().kind(),
            None => self.kind.clone(),
        };
        serializer.collect_map(
            entries
                .into_iter()
                .map(|(key, value)| (KeyView(key), self.with(value, kind.clone()))),
        )
    }
}

/// Keys are always text.
struct KeyView<'a>(&'a MapKey);

impl Serialize for KeyView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            MapKey::String(text) => serializer.serialize_str(text),
            other => serializer.collect_str(&Display(other)),
        }
    }
}

struct Display<'a>(&'a MapKey);

impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MapKey::Bool(key) => key.fmt(f),
            MapKey::I32(key) => key.fmt(f),
            MapKey::I64(key) => key.fmt(f),
            MapKey::U32(key) => key.fmt(f),
            MapKey::U64(key) => key.fmt(f),
            MapKey::String(key) => key.fmt(f),
        }
    }
}

/// The largest float below which every whole number prints without a fraction.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// `3`, not `3.0`: a property that was written as 3 reads back as 3.
fn float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if !value.is_finite() {
        return serializer.serialize_str(non_finite(value));
    }
    let is_negative_zero = value == 0.0 && value.is_sign_negative();
    if value.fract() != 0.0 || value.abs() > EXACT || is_negative_zero {
        return serializer.serialize_f64(value);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
    let whole = value as i64;
    serializer.serialize_i64(whole)
}

fn non_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
