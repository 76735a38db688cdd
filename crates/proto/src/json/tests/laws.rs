//! What holds for every message and every text.

use std::collections::HashMap;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use prost_reflect::{FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::*;
use crate::resource::v1::Configuration;

/// Text that is hard on quoting.
fn text() -> BoxedStrategy<String> {
    const AWKWARD: &[&str] = &[
        "",
        " ",
        "yes",
        "null",
        "~",
        "1",
        "1.0",
        "0x1",
        "true",
        "- a",
        "a: b",
        "#",
        "a #b",
        "'",
        "\"",
        "\\",
        "|",
        "&a",
        "*a",
        "!t",
        "%",
        "@",
        "`",
        "{",
        "[",
        "---",
        "...",
        "-----BEGIN X-----\nAA==\n",
        "\n",
        "a\n",
        "a\n\n",
        "\na",
        " a",
        "a ",
        "\ta",
        "a\r\nb",
        "\u{85}",
        "\u{feff}a",
        "é🦀",
        "\u{0}",
        "2026-01-31",
        "<<",
        "=",
        "1e3",
        ".inf",
        "12e03",
        "0o7",
        "a\n b\n  c",
        "x\u{2028}y",
    ];
    prop_oneof![
        3 => proptest::sample::select(AWKWARD).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z -:#\n]{0,40}",
    ]
    .boxed()
}

fn scalar(kind: &Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::String => text().prop_map(Value::String).boxed(),
        Kind::Bytes => vec(any::<u8>(), 0..20)
            .prop_map(|bytes| Value::Bytes(bytes.into()))
            .boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => any::<i32>().prop_map(Value::I32).boxed(),
        Kind::Uint32 | Kind::Fixed32 => any::<u32>().prop_map(Value::U32).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => any::<i64>().prop_map(Value::I64).boxed(),
        Kind::Uint64 | Kind::Fixed64 => any::<u64>().prop_map(Value::U64).boxed(),
        Kind::Float => any::<f32>().prop_map(Value::F32).boxed(),
        Kind::Double => any::<f64>().prop_map(Value::F64).boxed(),
        Kind::Enum(descriptor) => {
            let numbers: Vec<_> = descriptor.values().map(|value| value.number()).collect();
            proptest::sample::select(numbers)
                .prop_map(Value::EnumNumber)
                .boxed()
        }
        Kind::Message(descriptor) => message(descriptor).prop_map(Value::Message).boxed(),
    }
}

fn key(kind: &Kind) -> BoxedStrategy<MapKey> {
    scalar(kind)
        .prop_filter_map("only some kinds are keys", Value::into_map_key)
        .boxed()
}

fn value(field: &FieldDescriptor) -> BoxedStrategy<Value> {
    let kind = field.kind();
    if field.is_map() {
        let entry = kind.as_message().unwrap();
        let key = key(&entry.map_entry_key_field().kind());
        let value = scalar(&entry.map_entry_value_field().kind());
        return hash_map(key, value, 0..3)
            .prop_map(|map: HashMap<_, _>| Value::Map(map))
            .boxed();
    }
    if field.is_list() {
        return vec(scalar(&kind), 0..3).prop_map(Value::List).boxed();
    }
    scalar(&kind)
}

/// Any message of a type, each field set in one of three.
fn message(descriptor: &MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    let owned = descriptor.clone();
    let two = |seconds: std::ops::Range<i64>| (seconds, 0..1_000_000_000_i32);
    match descriptor.full_name() {
        "google.protobuf.Value" => free_value(owned),
        "google.protobuf.Timestamp" => two(-62_135_596_800..253_402_300_800)
            .prop_map(move |pair| built(&owned, pair))
            .boxed(),
        "google.protobuf.Duration" => two(0..315_576_000_000)
            .prop_map(move |pair| built(&owned, pair))
            .boxed(),
        _ => {
            let fields: Vec<_> = descriptor.fields().collect();
            let values: Vec<_> = fields
                .iter()
                .map(|field| proptest::option::weighted(0.3, value(field)))
                .collect();
            values
                .prop_map(move |values| {
                    let mut message = DynamicMessage::new(owned.clone());
                    for (field, value) in fields.iter().zip(values) {
                        if let Some(value) = value {
                            message.set_field(field, value);
                        }
                    }
                    message
                })
                .boxed()
        }
    }
}

fn built(descriptor: &MessageDescriptor, (seconds, nanos): (i64, i32)) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_number(1, Value::I64(seconds));
    message.set_field_by_number(2, Value::I32(nanos));
    message
}

fn free_value(descriptor: MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    let set = move |name: &'static str, value| {
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name(name, value);
        message
    };
    prop_oneof![
        any::<bool>().prop_map(|value| ("bool_value", Value::Bool(value))),
        any::<f64>().prop_map(|value| ("number_value", Value::F64(value))),
        text().prop_map(|value| ("string_value", Value::String(value))),
    ]
    .prop_map(move |(name, value)| set(name, value))
    .boxed()
}

/// A message that shows itself in the dialect when a law fails.
#[derive(Clone)]
struct Shown(DynamicMessage);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(&self.0, WriteOptions::default()).fmt(f)
    }
}

fn any_of(name: &str) -> BoxedStrategy<Shown> {
    message(&pool::message(name).unwrap())
        .prop_map(Shown)
        .boxed()
}

fn reads_back<T>(message: &Shown, options: WriteOptions) -> Result<(), TestCaseError>
where
    T: Message + Default + PartialEq,
{
    use prost_reflect::ReflectMessage as _;
    let view = View::new(&message.0, options);
    let json = serde_json::to_string(&view).unwrap();
    let yaml = to_yaml(&view).unwrap();
    for (text, format) in [(json, Format::Json), (yaml, Format::Yaml)] {
        let again = read(
            &message.0.descriptor(),
            &text,
            format,
            ReadOptions::default(),
        );
        match again {
            Ok(again) => {
                let is_same = typed::<T>(&message.0) == typed::<T>(&again);
                prop_assert!(is_same, "{text}\n{:?}", Shown(again));
            }
            Err(violations) => prop_assert!(false, "{violations}\n{text}"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn when_an_application_is_written_then_it_reads_back_the_same(message in any_of(APPLICATION)) {
        reads_back::<Application>(&message, WriteOptions::default())?;
        reads_back::<Application>(&message, WriteOptions { emit_defaults: true, ..WriteOptions::default() })?;
    }

    #[test]
    fn when_other_resources_are_written_then_they_read_back_the_same(
        node in any_of(NODE),
        properties in any_of(PROPERTIES),
        configuration in any_of("baetyl.resource.v1.Configuration"),
    ) {
        reads_back::<EdgeNode>(&node, WriteOptions::default())?;
        reads_back::<NodeProperties>(&properties, WriteOptions::default())?;
        reads_back::<Configuration>(&configuration, WriteOptions::default())?;
    }

    #[test]
    fn when_any_text_is_read_then_nothing_panics(text in "[\\{\\}\\[\\]:,\"'&*!|>#%@\\-\\\\ \n\ta-c0-9é]{0,80}") {
        for format in [Format::Json, Format::Yaml] {
            let _ = strict_or_not(&text, format);
        }
    }

    #[test]
    fn when_another_reader_takes_json_then_so_does_this(text in "[\\{\\}\\[\\]:,\" ntfe\\\\u0-9.\\-]{0,12}") {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // The other reader has no numbers beyond its floats.
        let is_float_limit = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        let ours = parse(&text, Format::Json);
        prop_assert!(is_float_limit || theirs.is_ok() == ours.is_ok(), "{:?} {:?}", theirs, ours);
    }

    #[test]
    fn when_strings_are_escaped_then_both_readers_agree(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let node = parse(&json, Format::Json).unwrap();
        prop_assert_eq!(node.as_text(), Some(text.as_str()));
    }
}

fn strict_or_not(text: &str, format: Format) -> Result<Application, Violations> {
    from_json(APPLICATION, text, format, ReadOptions::request())
}
