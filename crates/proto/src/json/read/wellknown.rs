//! Messages of google.protobuf that have a JSON form of their own.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};
use prost_types::Timestamp;

use super::Reader;
use crate::json::{Node, NodeKind, Place, reason};

const VALUE: &str = "google.protobuf.Value";
const STRUCT: &str = "google.protobuf.Struct";
const LIST_VALUE: &str = "google.protobuf.ListValue";
const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";
const FIELD_MASK: &str = "google.protobuf.FieldMask";

/// Ten thousand years, as duration.proto has it.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;
/// The years 1 to 9999, as timestamp.proto has it.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Whether the message has a JSON form of its own.
pub(super) fn is_special(descriptor: &MessageDescriptor) -> bool {
    let name = descriptor.full_name();
    // Most messages are ours.
    name.starts_with("google.protobuf.")
        && [VALUE, STRUCT, LIST_VALUE, TIMESTAMP, DURATION, FIELD_MASK].contains(&name)
}

/// Whether the message is one text in JSON.
pub(super) fn is_scalar(descriptor: &MessageDescriptor) -> bool {
    [TIMESTAMP, DURATION, FIELD_MASK].contains(&descriptor.full_name())
}

/// Whether the message is any JSON value.
pub(super) fn is_value(descriptor: &MessageDescriptor) -> bool {
    descriptor.full_name() == VALUE
}

impl Reader {
    /// Reads a message with a JSON form of its own.
    pub(super) fn special(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        match descriptor.full_name() {
            TIMESTAMP => self.timestamp(descriptor, node, place),
            DURATION => self.duration(descriptor, node, place),
            FIELD_MASK => self.field_mask(descriptor, node, place),
            STRUCT => self.structure(descriptor, node, place),
            LIST_VALUE => self.list_value(descriptor, node, place),
            _ => self.any_value(descriptor, node, place),
        }
    }

    fn timestamp(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let parsed = node.as_text().and_then(parse_timestamp);
        let Some(time) = parsed else {
            let expected = "a time such as \"2026-01-31T12:00:00Z\"";
            return self.mismatch(place, node, reason::INVALID_FORMAT, expected);
        };
        Some(with_two(descriptor, time.seconds, time.nanos))
    }

    fn duration(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let parsed = node.as_text().and_then(parse_duration);
        let Some((seconds, nanos)) = parsed else {
            let expected = "a duration in seconds such as \"5s\" or \"0.25s\"";
            return self.mismatch(place, node, reason::INVALID_FORMAT, expected);
        };
        Some(with_two(descriptor, seconds, nanos))
    }

    fn field_mask(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let Some(text) = node.as_text() else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "paths joined by commas");
        };
        let paths = text.split(',').filter(|path| !path.is_empty());
        let paths = paths.map(|path| Value::String(snake_case(path))).collect();
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("paths", Value::List(paths));
        Some(message)
    }

    fn structure(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let NodeKind::Map(entries) = &node.kind else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "a mapping");
        };
        let field = descriptor.get_field_by_name("fields")?;
        let value = field.kind().as_message()?.map_entry_value_field().kind();
        let mut fields = HashMap::with_capacity(entries.len());
        for (key, node) in self.unique(entries, place) {
            let place = place.key(&key.text);
            if let Some(value) = self.any_value(value.as_message()?, node, &place) {
                let key = MapKey::String(key.text.clone().into_owned());
                fields.insert(key, Value::Message(value));
            }
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field(&field, Value::Map(fields));
        Some(message)
    }

    fn list_value(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let NodeKind::List(items) = &node.kind else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "a list");
        };
        let field = descriptor.get_field_by_name("values")?;
        let kind = field.kind();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = self.any_value(kind.as_message()?, item, &place.index(index));
            values.extend(value.map(Value::Message));
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field(&field, Value::List(values));
        Some(message)
    }

    fn any_value(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<DynamicMessage> {
        let inner = |name: &str| {
            descriptor
                .get_field_by_name(name)?
                .kind()
                .as_message()
                .cloned()
        };
        let (name, value) = match &node.kind {
            NodeKind::Null => ("null_value", Value::EnumNumber(0)),
            NodeKind::Bool(value) => ("bool_value", Value::Bool(*value)),
            NodeKind::Text(text) => ("string_value", Value::String(text.clone().into_owned())),
            NodeKind::Number(_) => {
                let number = self.float(node, place)?;
                if !number.is_finite() {
                    return self.mismatch(place, node, reason::OUT_OF_BOUNDS, "a finite number");
                }
                ("number_value", Value::F64(number))
            }
            NodeKind::List(_) => {
                let list = self.list_value(&inner("list_value")?, node, place)?;
                ("list_value", Value::Message(list))
            }
            NodeKind::Map(_) => {
                let mapping = self.structure(&inner("struct_value")?, node, place)?;
                ("struct_value", Value::Message(mapping))
            }
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name(name, value);
        Some(message)
    }
}

/// Timestamp and Duration are built alike.
fn with_two(descriptor: &MessageDescriptor, seconds: i64, nanos: i32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_number(1, Value::I64(seconds));
    message.set_field_by_number(2, Value::I32(nanos));
    message
}

/// `5s`, `-0.25s`: up to nine digits of fraction.
fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || whole.len() > 12 {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos = parse_nanos(fraction)?;
    if seconds > MAX_DURATION_SECONDS || (seconds == MAX_DURATION_SECONDS && nanos > 0) {
        return None;
    }
    Some((sign * seconds, i32::try_from(sign).ok()? * nanos))
}

/// `2026-01-31T12:00:00.5+01:00` or `…Z`, after RFC 3339; a leap second is none.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let is_separated = separators
        .into_iter()
        .all(|(at, separator)| bytes[at] == separator);
    if !is_separated || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (fraction, offset) = split_fraction(&text[19..])?;
    let time = Timestamp::date_time_nanos(
        two_digits(&text[..2])? * 100 + two_digits(&text[2..4])?,
        small(&text[5..7])?,
        small(&text[8..10])?,
        small(&text[11..13])?,
        small(&text[14..16])?,
        small(&text[17..19])?,
        u32::try_from(parse_nanos(fraction)?).ok()?,
    );
    let mut time = time.ok()?;
    time.seconds -= parse_offset(offset)?;
    TIMESTAMP_SECONDS.contains(&time.seconds).then_some(time)
}

/// Splits `.25Z` into `25` and `Z`.
fn split_fraction(rest: &str) -> Option<(&str, &str)> {
    let Some(after) = rest.strip_prefix('.') else {
        return Some(("0", rest));
    };
    let end = after.find(|c: char| !c.is_ascii_digit())?;
    Some(after.split_at(end))
}

/// Seconds east of Greenwich.
fn parse_offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn small(text: &str) -> Option<u8> {
    u8::try_from(two_digits(text)?).ok()
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2 && is_digits(text)).then(|| text.parse().ok())?
}

/// A fraction of a second in billionths; more than nine digits are refused, not cut.
fn parse_nanos(fraction: &str) -> Option<i32> {
    if !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let digits: i32 = fraction.parse().ok()?;
    let missing = u32::try_from(9 - fraction.len()).ok()?;
    Some(digits * 10_i32.pow(missing))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `readinessProbe.httpGet` is `readiness_probe.http_get` in the contract.
fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for character in path.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
