//! The one JSON dialect, read and written by descriptor.
//!
//! It is canonical proto3 JSON (64-bit integers as text, durations as `"5s"`, times in RFC 3339,
//! bytes in base64) but for enumerations: they print without their prefix in lower case
//! (`function`, `on_failure`), and both that and the full name are accepted. Field names are
//! accepted as in JSON (`mountPath`) and as in the contract (`mount_path`).
//!
//! [`read`] takes JSON or YAML and collects every violation, each with the path of the field and
//! its place in the text. A field that is `null` counts as absent, except in
//! `google.protobuf.Value`. [`View`] writes with any serializer, fields in the order of their
//! numbers.

use std::fmt;

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::Serialize;

use crate::pool;

mod enumeration;
mod node;
mod number;
mod place;
mod read;
mod suggest;
mod text;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

pub use enumeration::{allowed_names, short_name};
pub use node::{Key, MAX_DEPTH, MAX_NODES, Node, NodeKind, Position};
pub use read::{OutputOnly, ReadOptions, set_from_text};
pub use suggest::nearest;
pub use write::{View, WriteOptions};

pub(crate) use place::Place;
pub(crate) use read::Reader;

/// The most violations that are collected from one text; a person stops reading long before.
pub const MAX_VIOLATIONS: usize = 256;

/// The largest text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, strictly after RFC 8259.
    Json,
    /// YAML 1.2 with the core schema: `yes` and `on` are text.
    Yaml,
}

/// One thing that is wrong in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field: `services[0].functions[0].handler`; empty for the text as a whole.
    pub path: String,
    /// UPPER_SNAKE, stable, for programs: [`reason`] has them all.
    pub reason: &'static str,
    /// What is wrong, lowercase, without a full stop. Never the value of a redacted field.
    pub message: String,
    /// Where in the text; absent where there is none, as in a query.
    pub at: Option<Position>,
}

/// The reasons of violations.
pub mod reason {
    /// The text is not JSON or YAML.
    pub const SYNTAX: &str = "SYNTAX";
    /// The text is larger, deeper or has more values than is read.
    pub const TOO_LARGE: &str = "TOO_LARGE";
    /// There is no field of that name.
    pub const UNKNOWN_FIELD: &str = "UNKNOWN_FIELD";
    /// A field stands there twice, perhaps under its two names.
    pub const DUPLICATE_FIELD: &str = "DUPLICATE_FIELD";
    /// The value excludes, or contradicts, what is set elsewhere.
    pub const CONFLICT: &str = "CONFLICT";
    /// The value is of another type.
    pub const WRONG_TYPE: &str = "WRONG_TYPE";
    /// The value is none of the enumeration.
    pub const UNKNOWN_VALUE: &str = "UNKNOWN_VALUE";
    /// The number does not fit.
    pub const OUT_OF_BOUNDS: &str = "OUT_OF_BOUNDS";
    /// The text is not what the field wants: a duration, a time, base64.
    pub const INVALID_FORMAT: &str = "INVALID_FORMAT";
    /// A field that must be there is not.
    pub const REQUIRED: &str = "REQUIRED";
}

/// Everything that is wrong in a text, in its order; at most [`MAX_VIOLATIONS`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "line {}: ", at.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

/// Reads a text as one value with positions. Empty YAML is [`NodeKind::Null`].
///
/// # Errors
/// The text is malformed, too large, or has several YAML documents.
pub fn parse(text: &str, format: Format) -> Result<Node<'_>, Violations> {
    match format {
        Format::Json => text::parse(text).map_err(Violations::from),
        Format::Yaml => yaml::parse(text).map_err(Violations::from),
    }
}

/// Reads every document of a text: those of YAML are separated by `---`, those of JSON follow each
/// other. Empty ones are left out; a malformed one does not hide the others. Each comes with its
/// first line.
pub(crate) fn parse_all(text: &str, format: Format) -> Vec<(u32, Result<Node<'_>, Violation>)> {
    match format {
        Format::Json => text::parse_all(text),
        Format::Yaml => yaml::parse_all(text),
    }
}

/// Reads a message from a text. An empty text is the empty message.
///
/// # Errors
/// Everything that is wrong.
pub fn read(
    descriptor: &MessageDescriptor,
    text: &str,
    format: Format,
    options: ReadOptions,
) -> Result<DynamicMessage, Violations> {
    if text.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    read_node(descriptor, &parse(text, format)?, options)
}

/// Reads a message from a parsed value.
///
/// # Errors
/// Everything that is wrong.
pub fn read_node(
    descriptor: &MessageDescriptor,
    node: &Node<'_>,
    options: ReadOptions,
) -> Result<DynamicMessage, Violations> {
    let mut reader = Reader::new(options);
    let message = reader.message(descriptor, node, &Place::root());
    reader.finish()?;
    Ok(message.unwrap_or_else(|| DynamicMessage::new(descriptor.clone())))
}

/// Reads one field of a message from a text and sets it; paths of violations begin below the
/// field, which is what somebody wrote who sent only its value.
///
/// # Errors
/// Everything that is wrong.
pub fn read_field(
    message: &mut DynamicMessage,
    field: &prost_reflect::FieldDescriptor,
    node: &Node<'_>,
    options: ReadOptions,
) -> Result<(), Violations> {
    let mut reader = Reader::new(options);
    let behavior = pool::behavior(field.parent_message());
    let place = Place::root().guarded(behavior.is_redacted(field));
    let value = reader.field(field, node, &place);
    reader.finish()?;
    if let Some(value) = value {
        message.set_field(field, value);
    }
    Ok(())
}

/// Writes a message as a tree.
#[must_use]
pub fn write(message: &DynamicMessage, options: WriteOptions) -> serde_json::Value {
    serde_json::to_value(View::new(message, options)).expect("keys are text, nothing else can fail")
}

/// Something cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as yaml")]
pub struct YamlError(#[source] serde_saphyr::ser::Error);

/// Writes anything, a [`View`] above all, as YAML that this dialect reads back.
///
/// # Errors
/// A key of a mapping is not a scalar; never for a [`View`].
pub fn to_yaml(value: &impl Serialize) -> Result<String, YamlError> {
    // Folding would rewrite long lines of what people wrote.
    let options = serde_saphyr::ser_options! {
        folded_wrap_chars: usize::MAX,
        compact_list_indent: false,
    };
    serde_saphyr::to_string_with_options(value, options).map_err(YamlError)
}

/// Reads a generated message.
///
/// # Errors
/// Everything that is wrong.
///
/// # Panics
/// The contract has no message `full_name`.
pub fn from_json<T: Message + Default>(
    full_name: &str,
    text: &str,
    format: Format,
    options: ReadOptions,
) -> Result<T, Violations> {
    let message = read(&known(full_name), text, format, options)?;
    Ok(typed(&message))
}

/// Writes a generated message as a tree.
///
/// # Panics
/// The contract has no message `full_name`.
pub fn to_json<T: Message>(
    full_name: &str,
    message: &T,
    options: WriteOptions,
) -> serde_json::Value {
    write(&dynamic(full_name, message), options)
}

/// The generated message as one that knows its fields.
///
/// # Panics
/// The contract has no message `full_name`, or `T` is another one.
pub fn dynamic<T: Message>(full_name: &str, message: &T) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(known(full_name));
    dynamic
        .transcode_from(message)
        .expect("the message is the one that was named");
    dynamic
}

/// The message as a generated one.
///
/// # Panics
/// `T` is not the message's type.
pub fn typed<T: Message + Default>(message: &DynamicMessage) -> T {
    message
        .transcode_to()
        .expect("the message is the one that was named")
}

fn known(full_name: &str) -> MessageDescriptor {
    pool::message(full_name).expect("the contract has a message of that name")
}
