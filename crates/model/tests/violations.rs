//! Every rule of a document: one table of what is wrong with what.

use std::collections::BTreeMap;

use baetyl_model::{Message, Resource};
use baetyl_proto::json::{Format, ReadOptions, from_json};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    bases: BTreeMap<String, Base>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Base {
    kind: String,
    document: Value,
}

/// A base with some values set, by JSON pointer; `null` removes one.
#[derive(Deserialize)]
struct Case {
    name: String,
    base: String,
    set: BTreeMap<String, Value>,
    /// Field and reason, sorted.
    violations: Vec<(String, String)>,
}

fn document(base: &Base, set: &BTreeMap<String, Value>) -> Value {
    let mut document = base.document.clone();
    for (pointer, value) in set {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer starts with /");
        let parent = document.pointer_mut(parent).expect("the parent exists");
        match parent {
            Value::Object(members) if value.is_null() => {
                members.remove(key);
            }
            Value::Object(members) => {
                members.insert(key.to_owned(), value.clone());
            }
            Value::Array(elements) => {
                elements[key.parse::<usize>().expect("an index")] = value.clone();
            }
            _ => unreachable!("{pointer} is in no object"),
        }
    }
    document
}

fn read<T: prost::Message + Default>(kind: &str, document: &Value) -> T {
    let name = format!("baetyl.resource.v1.{kind}");
    let text = document.to_string();
    from_json(&name, &text, Format::Json, ReadOptions::default()).expect(&text)
}

fn message(kind: &str, document: &Value) -> Message {
    match kind {
        "Namespace" => Message::Namespace(read(kind, document)),
        "Node" => Message::Node(read(kind, document)),
        "Application" => Message::Application(read(kind, document)),
        "Configuration" => Message::Configuration(read(kind, document)),
        "Secret" => Message::Secret(read(kind, document)),
        "Certificate" => Message::Certificate(read(kind, document)),
        "Registry" => Message::Registry(read(kind, document)),
        other => unreachable!("no kind {other}"),
    }
}

#[test]
fn when_a_document_is_wrong_then_every_field_is_named_with_its_reason() {
    check(include_str!("cases/violations.json"));
}

#[test]
fn when_what_clusters_have_is_wrong_then_every_field_is_named_with_its_reason() {
    check(include_str!("cases/cluster.json"));
}

fn check(text: &str) {
    let table: Table = serde_json::from_str(text).expect("the table is well formed");
    let mut failures = Vec::new();

    for case in &table.cases {
        let base = table.bases.get(&case.base).expect("the base exists");
        let message = message(&base.kind, &document(base, &case.set));
        let violations = Resource::try_new(message).err().unwrap_or_default();
        let mut found: Vec<(String, String)> = violations
            .into_iter()
            .map(|violation| (violation.field, violation.reason))
            .collect();
        found.sort();
        if found != case.violations {
            failures.push(format!(
                "{}: {found:?}, not {:?}",
                case.name, case.violations
            ));
        }
    }

    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
