//! From a parsed value to a message, by descriptor, collecting every violation.

use std::collections::{HashMap, HashSet};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::{
    Key, MAX_VIOLATIONS, Node, NodeKind, Place, Position, Violation, Violations, nearest, reason,
};
use crate::pool;

mod argument;
mod scalar;
mod wellknown;

pub use argument::set_from_text;

/// What happens to fields that only a server sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputOnly {
    /// They are read like any other field: for answers of a server.
    #[default]
    Keep,
    /// They are skipped unread: for requests, so that what was printed can be sent back.
    Ignore,
}

/// How a text is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// What happens to fields that only a server sets. Default: they are kept.
    pub output_only: OutputOnly,
}

impl ReadOptions {
    /// For what people and programs send.
    #[must_use]
    pub fn request() -> Self {
        Self {
            output_only: OutputOnly::Ignore,
        }
    }
}

/// Reads values and keeps what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader {
    options: ReadOptions,
    violations: Vec<Violation>,
}

/// A field that was met, for the ones that exclude it.
struct Seen {
    field: FieldDescriptor,
    at: Position,
}

impl Reader {
    pub(crate) fn new(options: ReadOptions) -> Self {
        Self {
            options,
            violations: Vec::new(),
        }
    }

    /// Everything that was wrong.
    pub(crate) fn finish(self) -> Result<(), Violations> {
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Violations(self.violations))
    }

    /// Keeps a violation. `None`, so that it can end a reading function.
    pub(crate) fn report<T>(
        &mut self,
        place: &Place<'_>,
        at: Position,
        reason: &'static str,
        message: impl FnOnce() -> String,
    ) -> Option<T> {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation {
                path: place.to_string(),
                reason,
                message: message(),
                at: Some(at),
            });
        }
        None
    }

    /// "must be X, got Y".
    fn mismatch<T>(
        &mut self,
        place: &Place<'_>,
        node: &Node<'_>,
        reason: &'static str,
        expected: &str,
    ) -> Option<T> {
        self.report(place, node.at, reason, || {
            format!("must be {expected}, got {}", place.got(node))
        })
    }

    /// Reads a message. What is wrong is left out of it.
    pub(crate) fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        if wellknown::is_special(descriptor) {
            return self.special(descriptor, node, place);
        }
        match &node.kind {
            NodeKind::Map(entries) => Some(self.fields(descriptor, entries, place)),
            _ => self.mismatch(place, node, reason::WRONG_TYPE, "a mapping"),
        }
    }

    /// Reads the fields of a message from the entries of a mapping.
    pub(crate) fn fields(
        &mut self,
        descriptor: &MessageDescriptor,
        entries: &[(Key<'_>, Node<'_>)],
        place: &Place<'_>,
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let behavior = pool::behavior(descriptor);
        let mut seen: Vec<Seen> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let Some(field) = find(descriptor, &key.text) else {
                self.unknown(descriptor, key, place);
                continue;
            };
            let below = place.field(field.json_name());
            let place = below.guarded(behavior.is_redacted(&field));
            let is_ignored =
                self.options.output_only == OutputOnly::Ignore && behavior.is_output_only(&field);
            let is_absent = node.kind == NodeKind::Null && !takes_null(&field);
            if is_ignored || is_absent || !self.is_first(&field, key, &seen, &place) {
                continue;
            }
            if let Some(value) = self.field(&field, node, &place) {
                message.set_field(&field, value);
            }
            seen.push(Seen { field, at: key.at });
        }
        message
    }

    fn unknown(&mut self, descriptor: &MessageDescriptor, key: &Key<'_>, place: &Place<'_>) {
        let place = place.key(&key.text);
        self.report::<()>(&place, key.at, reason::UNKNOWN_FIELD, || {
            let fields: Vec<_> = descriptor.fields().collect();
            match nearest(&key.text, fields.iter().map(FieldDescriptor::json_name)) {
                Some(name) => format!("unknown field; did you mean {name}?"),
                None => "unknown field".to_owned(),
            }
        });
    }

    /// Whether neither the field nor one that excludes it was met before.
    fn is_first(
        &mut self,
        field: &FieldDescriptor,
        key: &Key<'_>,
        seen: &[Seen],
        place: &Place<'_>,
    ) -> bool {
        if let Some(first) = seen.iter().find(|seen| seen.field == *field) {
            self.report::<()>(place, key.at, reason::DUPLICATE_FIELD, || {
                format!("is set twice, first on line {}", first.at.line)
            });
            return false;
        }
        let Some(oneof) = field.containing_oneof() else {
            return true;
        };
        let rival = seen
            .iter()
            .find(|seen| seen.field.containing_oneof().as_ref() == Some(&oneof));
        if let Some(rival) = rival {
            self.report::<()>(place, key.at, reason::CONFLICT, || {
                let name = rival.field.json_name();
                format!("excludes {name}, which is set on line {}", rival.at.line)
            });
            return false;
        }
        true
    }

    /// Reads the value of a field of any cardinality.
    pub(crate) fn field(
        &mut self,
        field: &FieldDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        if field.is_map() {
            return self.map(field, node, place);
        }
        if field.is_list() {
            return self.list(field, node, place);
        }
        self.value(&field.kind(), node, place)
    }

    fn list(
        &mut self,
        field: &FieldDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        let NodeKind::List(items) = &node.kind else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "a list");
        };
        let kind = field.kind();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            values.extend(self.value(&kind, item, &place.index(index)));
        }
        Some(Value::List(values))
    }

    fn map(
        &mut self,
        field: &FieldDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        let NodeKind::Map(entries) = &node.kind else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "a mapping");
        };
        let kind = field.kind();
        let entry = kind.as_message()?;
        let key_kind = entry.map_entry_key_field().kind();
        let value_field = entry.map_entry_value_field();
        let value_kind = value_field.kind();
        let mut values = HashMap::with_capacity(entries.len());
        for (key, node) in self.unique(entries, place) {
            let place = place.key(&key.text);
            if node.kind == NodeKind::Null && !takes_null(&value_field) {
                continue;
            }
            let map_key = self.map_key(&key_kind, key, &place);
            let value = self.value(&value_kind, node, &place);
            if let (Some(map_key), Some(value)) = (map_key, value) {
                values.insert(map_key, value);
            }
        }
        Some(Value::Map(values))
    }

    /// The entries of a mapping with free keys; a key that comes again is reported and left out.
    fn unique<'n, 'a>(
        &mut self,
        entries: &'n [(Key<'a>, Node<'a>)],
        place: &Place<'_>,
    ) -> Vec<&'n (Key<'a>, Node<'a>)> {
        let mut seen: HashSet<&str> = HashSet::with_capacity(entries.len());
        let mut unique = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, _) = entry;
            if seen.insert(&key.text) {
                unique.push(entry);
                continue;
            }
            let place = place.key(&key.text);
            self.report::<()>(&place, key.at, reason::DUPLICATE_FIELD, || {
                "is set twice".to_owned()
            });
        }
        unique
    }

    fn map_key(&mut self, kind: &Kind, key: &Key<'_>, place: &Place<'_>) -> Option<MapKey> {
        if let Kind::String = kind {
            return Some(MapKey::String(key.text.clone().into_owned()));
        }
        let node = Node {
            kind: match key.text.as_ref() {
                "true" => NodeKind::Bool(true),
                "false" => NodeKind::Bool(false),
                text => NodeKind::Text(text.into()),
            },
            at: key.at,
        };
        // Only strings, truth values and integers can be keys.
        self.value(kind, &node, place)?.into_map_key()
    }
}

/// Finds a field by either of its names.
fn find(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_json_name(name)
        .or_else(|| descriptor.get_field_by_name(name))
}

/// Whether null is a value of the field, and not its absence.
fn takes_null(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let is_value = kind.as_message().is_some_and(wellknown::is_value);
    is_value && !field.is_list() && !field.is_map()
}
