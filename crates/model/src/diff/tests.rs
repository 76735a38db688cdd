//! What people read when something changes.

use serde_json::{Value, json};

use super::diff;
use crate::resource::{Message, Resource, fixture};

fn configuration(limits: &str) -> Resource {
    let message = fixture::message(
        "Configuration",
        json!({
            "name": "thresholds",
            "data": {"limits.json": limits, "note": "a"},
        }),
    );
    Resource::try_new(message).expect("a valid configuration")
}

fn application(changes: impl FnOnce(&mut Value)) -> Resource {
    let mut document = fixture::watcher();
    changes(&mut document);
    Resource::try_new(fixture::message("Application", document)).expect("a valid application")
}

fn told(before: &Resource, after: &Resource) -> Vec<String> {
    let differences = diff(before, after).into_iter();
    let line = |difference: super::Difference| {
        let old = difference.old.unwrap_or_default();
        let new = difference.new.unwrap_or_default();
        format!("{} {old} → {new}", difference.path)
    };
    differences.map(line).collect()
}

#[test]
fn when_text_is_json_then_the_difference_is_inside() {
    let before = configuration(r#"{"temperature": 31.5, "rows": [1]}"#);
    let after = configuration(r#"{"rows": [1], "temperature": 30.0}"#);

    assert_eq!(
        told(&before, &after),
        ["data.limits.json: temperature 31.5 → 30.0"]
    );
}

#[test]
fn when_json_text_only_looks_different_then_the_text_is_told() {
    let before = configuration(r#"{"a": 1}"#);
    let after = configuration(r#"{ "a": 1 }"#);

    let expected = r#"data.limits.json "{\"a\": 1}" → "{ \"a\": 1 }""#;
    assert_eq!(told(&before, &after), [expected]);
}

#[test]
fn when_json_text_becomes_another_kind_of_value_then_the_whole_is_told() {
    let before = configuration("{}");
    let after = configuration("[1]");

    assert_eq!(told(&before, &after), ["data.limits.json {} → [1]"]);
}

#[test]
fn when_nothing_differs_then_nothing_is_told() {
    assert!(diff(&application(|_| ()), &application(|_| ())).is_empty());
}

#[test]
fn when_fields_differ_then_each_is_told_with_its_path() {
    let before = application(|_| ());
    let after = application(|document| {
        document["labels"] = json!({"site": "demo"});
        document["selector"] = "site = other".into();
        document["services"][0]["program"]["entry"] = json!(["python3", "-u", "watcher.py"]);
        document["volumes"][0]["onChange"] = "restart".into();
    });

    let expected = [
        r#"labels  → {"site":"demo"}"#,
        r#"selector "site = demo" → "site = other""#,
        r#"services[0].program.entry ["python3","watcher.py"] → ["python3","-u","watcher.py"]"#,
        r#"volumes[0].onChange "reload" → "restart""#,
    ];
    assert_eq!(told(&before, &after), expected);
}

#[test]
fn when_an_element_with_a_name_is_inserted_then_the_others_are_not_told() {
    let before = application(|_| ());
    let after = application(|document| {
        let second = json!({"name": "first", "program": {"entry": ["true"]}});
        let services = document["services"].as_array_mut().expect("a list");
        services.insert(0, second);
    });

    let told = told(&before, &after);

    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("services[0]  → {"), "{told:?}");
}

#[test]
fn when_only_the_order_of_elements_changes_then_the_list_is_told() {
    let variables = |names: [&str; 2]| {
        application(|document| {
            document["services"][0]["env"] = json!([{"name": names[0]}, {"name": names[1]}]);
        })
    };

    let told = told(&variables(["A", "B"]), &variables(["B", "A"]));

    let expected = r#"services[0].env [{"name":"A"},{"name":"B"}] → [{"name":"B"},{"name":"A"}]"#;
    assert_eq!(told, [expected]);
}

#[test]
fn when_values_of_a_secret_differ_then_they_are_hidden() {
    let secret = |data: Value| {
        let message = fixture::message("Secret", json!({"name": "keys", "stringData": data}));
        Resource::try_new(message)
            .expect("a valid secret")
            .for_new_revision()
    };
    let before = secret(json!({"kept": "canary-1", "changed": "canary-2", "gone": "canary-3"}));
    let after = secret(json!({"kept": "canary-1", "changed": "canary-4", "added": "canary-5"}));

    let expected = [
        r#"data.changed "(hidden)" → "(hidden)""#,
        r#"data.gone "(hidden)" → "#,
        r#"data.added  → "(hidden)""#,
    ];
    assert_eq!(told(&before, &after), expected);
}

#[test]
fn when_values_are_long_then_they_are_cut() {
    let long = format!("{}ä", "x".repeat(2000));

    let told = told(&configuration("a"), &configuration(&long));

    assert!(
        told[0].ends_with('…') && told[0].len() < 1100,
        "{}",
        told[0].len()
    );
}

#[test]
fn when_kinds_differ_then_nothing_is_compared() {
    let namespace = Message::Namespace(baetyl_proto::resource::v1::Namespace {
        name: "demo".into(),
        ..Default::default()
    });
    let namespace = Resource::try_new(namespace).expect("a valid tenant");

    assert!(diff(&namespace, &configuration("a")).is_empty());
}
