//! Manifests as people write them.

use serde_json::{Value, json};

use super::super::super::object::Object;
use super::objects;

fn read(text: &str) -> Result<Vec<Object>, String> {
    objects("manifest \"a.yaml\"", text.as_bytes()).map_err(|refusal| refusal.message)
}

/// The field `data` of the only object.
fn data(text: &str) -> Value {
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{text}");
    let mut objects = read(&text).unwrap();
    assert_eq!(objects.len(), 1);
    let body = objects.remove(0);
    body.body()["data"].clone()
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

fn names(text: &str) -> Vec<String> {
    let objects = read(text).unwrap();
    objects
        .iter()
        .map(|object| object.key().name.clone())
        .collect()
}

#[test]
fn when_there_are_many_documents_then_each_gives_its_object() {
    let text = format!(
        "# head\n---\n{}---\n# nothing\n---\nnull\n...\n---\n{}---\n",
        object("a"),
        object("b")
    );

    assert_eq!(names(&text), ["a", "b"]);
}

#[test]
fn when_a_text_holds_a_separator_then_the_document_goes_on() {
    let text = format!(
        "{}data:\n  script: |\n    one\n    ---\n    two\n",
        object("a")
    );

    let objects = read(&text).unwrap();

    assert_eq!(objects[0].body()["data"]["script"], "one\n---\ntwo\n");
}

#[test]
fn when_json_is_given_then_it_is_read_too() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": \
                {\"name\": \"a\"},\n\t\"data\": {\"x\": \"\\u00fc\\/\", \"n\": 1e3}\n}";

    let objects = read(text).unwrap();

    assert_eq!(objects[0].body()["data"], json!({"x": "ü/", "n": 1000}));
}

#[test]
fn when_scalars_are_plain_then_they_mean_what_they_mean_to_kubectl() {
    let rows = [
        ("yes", json!(true)),
        ("off", json!(false)),
        ("y", json!(true)),
        ("\"yes\"", json!("yes")),
        ("'1'", json!("1")),
        ("1", json!(1)),
        ("-7", json!(-7)),
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0x1F", json!(31)),
        ("08", json!(8)),
        ("1e3", json!(1000)),
        ("1:30:00", json!("1:30:00")),
        ("1_000", json!(1000)),
        ("1.0", json!(1)),
        ("1.5", json!(1.5)),
        (
            "18446744073709551615",
            json!(18_446_744_073_709_551_615_u64),
        ),
        ("1.2.3", json!("1.2.3")),
        ("100m", json!("100m")),
        ("2026-01-02", json!("2026-01-02")),
        ("12:30", json!("12:30")),
        ("~", json!(null)),
        ("null", json!(null)),
        ("", json!(null)),
        ("!!str 1", json!("1")),
        ("a: b", json!({"a": "b"})),
    ];
    for (text, expected) in rows {
        let text = match text {
            "a: b" => "  x: {a: b}\n".to_owned(),
            text => format!("  x: {text}\n"),
        };
        assert_eq!(data(&text)["x"], expected, "{text}");
    }
}

#[test]
fn when_keys_are_no_text_then_they_stay_as_written() {
    assert_eq!(
        data("  1: a\n  yes: b\n  y: c\n"),
        json!({"1": "a", "yes": "b", "y": "c"})
    );
}

#[test]
fn when_anchors_and_merges_are_used_then_they_stand_for_what_they_name() {
    let text = "  a: &x {k: 1}\n  b: *x\n  c:\n    <<: *x\n    m: 2\n";

    assert_eq!(
        data(text),
        json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "m": 2}})
    );
}

#[test]
fn when_aliases_multiply_then_they_are_refused() {
    let mut text = object("a");
    text.push_str("data:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let list = vec![before; 10].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{list}]\n"));
    }

    let message = read(&text).unwrap_err();

    assert!(message.starts_with("manifest \"a.yaml\""), "{message}");
}

#[test]
fn when_a_key_is_there_twice_then_its_line_is_named() {
    let message = read(&format!("{}data:\n  a: 1\n  a: 2\n", object("a"))).unwrap_err();

    assert!(message.contains("line 7"), "{message}");
}

#[test]
fn when_the_text_is_broken_then_its_line_is_named() {
    let message = read(&format!("{}---\n{}data: [1, 2\n", object("a"), object("b"))).unwrap_err();

    assert!(message.contains("line 1"), "{message}");
    assert!(message.starts_with("manifest \"a.yaml\""), "{message}");
}

#[test]
fn when_a_document_is_no_object_then_it_is_named() {
    let rows = [
        (
            format!("{}---\n- a\n", object("a")),
            "document 2, line 6: is no object",
        ),
        (
            "kind: Pod\nmetadata: {name: a}\n".to_owned(),
            "document 1, line 1: apiVersion is required",
        ),
        (
            "apiVersion: v1\nmetadata: {name: a}\n".to_owned(),
            "kind is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\n".to_owned(),
            "metadata.name is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 3}\n".to_owned(),
            "metadata.name must be text",
        ),
    ];
    for (text, expected) in rows {
        let message = read(&text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn when_objects_are_in_lists_then_the_lists_are_taken_apart() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: \
                {name: a}\n- apiVersion: v1\n  kind: ConfigMapList\n  items:\n  - metadata: \
                {name: b}\n";

    let objects = read(text).unwrap();

    let keys: Vec<String> = objects
        .iter()
        .map(|object| object.key().to_string())
        .collect();
    assert_eq!(keys, ["Pod a", "ConfigMap b"]);
}

#[test]
fn when_an_item_of_a_list_is_wrong_then_its_index_is_named() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n";

    let message = read(text).unwrap_err();

    assert!(
        message.ends_with("items[0]: metadata.name is required"),
        "{message}"
    );
}

#[test]
fn when_it_is_nested_without_end_then_it_is_refused() {
    let deep = "[".repeat(5000);
    let message = read(&format!("{}data: {deep}\n", object("a"))).unwrap_err();
    assert!(message.starts_with("manifest"), "{message}");

    let within = format!("{}{}", "[".repeat(60), "]".repeat(60));
    assert!(read(&format!("{}data: {within}\n", object("a"))).is_ok());
}

#[test]
fn when_there_are_too_many_objects_then_they_are_refused() {
    let text: String = (0..513)
        .map(|n| format!("---\n{}", object(&format!("a{n}"))))
        .collect();

    let message = read(&text).unwrap_err();

    assert!(
        message.ends_with("there are more than 512 objects"),
        "{message}"
    );
}

#[test]
fn when_the_bytes_are_no_text_then_they_are_refused() {
    let refusal = objects("manifest \"a\"", b"a: \xff").unwrap_err();

    assert!(
        refusal.message.contains("is no UTF-8 text"),
        "{}",
        refusal.message
    );
}

#[test]
fn when_a_tag_would_run_code_elsewhere_then_it_is_no_object() {
    for tag in ["!!python/object:os.system", "!include x", "!Ref y"] {
        let outcome = read(&format!("{}data: {{x: {tag} z}}\n", object("a")));
        if let Ok(objects) = outcome {
            assert!(objects[0].body()["data"]["x"].is_string(), "{tag}");
        }
    }
}
