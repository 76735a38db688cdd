//! The documents are valid, whole and committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

const FACES: [(Face, &str); 2] = [(Face::Cloud, "cloud.json"), (Face::Edge, "edge.json")];

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/openapi")
        .join(name)
}

fn operations(document: &Value) -> Vec<&Value> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .collect()
}

/// `UPDATE_SNAPSHOTS=1` writes the documents instead.
#[test]
fn when_the_contract_changes_then_so_do_the_committed_documents() {
    for (face, name) in FACES {
        let text = serde_json::to_string_pretty(&document(face).unwrap()).unwrap() + "\n";
        let path = committed(name);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }

        let stored = std::fs::read_to_string(&path).unwrap_or_default();

        assert!(
            stored == text,
            "docs/openapi/{name} is old: UPDATE_SNAPSHOTS=1 writes it"
        );
    }
}

#[test]
fn when_operations_are_listed_then_each_has_an_id_of_its_own_and_a_text() {
    for (face, _) in FACES {
        let document = document(face).unwrap();
        let mut ids = BTreeSet::new();
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} stands twice");
            assert!(
                !operation["summary"].as_str().unwrap().is_empty(),
                "{id} has no comment"
            );
        }
    }
}

#[test]
fn when_a_document_refers_then_what_it_refers_to_is_there() {
    for (face, _) in FACES {
        let document = document(face).unwrap();
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(
                document
                    .pointer(pointer)
                    .is_some_and(|value| !value.is_null()),
                "{reference}"
            );
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            references.extend(
                entries
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            entries
                .values()
                .for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn when_paths_have_variables_then_each_is_a_parameter() {
    for (face, _) in FACES {
        let document = document(face).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            let variables: BTreeSet<_> = path
                .split('{')
                .skip(1)
                .map(|rest| rest.split('}').next().unwrap().to_owned())
                .collect();
            for (method, operation) in methods.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().unwrap().iter();
                let named: BTreeSet<_> = parameters
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                    .collect();
                assert_eq!(named, variables, "{method} {path}");
            }
        }
    }
}

#[test]
fn when_types_have_a_form_of_the_dialect_then_the_schema_has_it() {
    let document = document(Face::Cloud).unwrap();
    let application = &document["components"]["schemas"]["Application"]["properties"];

    assert_eq!(application["revision"]["type"], "string");
    assert_eq!(application["revision"]["readOnly"], true);
    assert_eq!(application["createTime"]["format"], "date-time");
    assert_eq!(
        application["type"]["$ref"],
        "#/components/schemas/ApplicationType"
    );
    let kinds = &document["components"]["schemas"]["ApplicationType"]["enum"];
    assert_eq!(
        *kinds,
        serde_json::json!(["container", "function", "helm", "manifest", "process"])
    );
    let secret = &document["components"]["schemas"]["Secret"]["properties"];
    assert_eq!(secret["stringData"]["writeOnly"], true);
}
