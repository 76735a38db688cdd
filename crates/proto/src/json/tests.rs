//! The dialect, by example.

use prost_reflect::DynamicMessage;
use serde_json::json;

use super::*;
use crate::resource::v1::{Application, ApplicationType, Node as EdgeNode, NodeProperties};

mod laws;
mod violations;

const APPLICATION: &str = "baetyl.resource.v1.Application";
const PROPERTIES: &str = "baetyl.resource.v1.NodeProperties";
const NODE: &str = "baetyl.resource.v1.Node";

fn yaml<T: Message + Default>(name: &str, text: &str) -> Result<T, Violations> {
    from_json(name, text, Format::Yaml, ReadOptions::request())
}

fn strict<T: Message + Default>(name: &str, text: &str) -> Result<T, Violations> {
    from_json(name, text, Format::Json, ReadOptions::default())
}

#[test]
fn when_people_write_yaml_then_the_application_is_what_they_mean() {
    let text = r#"
name: watcher
type: process            # short names
selector: site = demo
replicas: 2
services:
  - name: watcher
    program: {configuration: code, entry: [python3, watcher.py]}
    env: [{name: LOG_LEVEL, value: info}, {name: COUNT, value: "3"}]
    volume_mounts: [{name: limits, mountPath: /etc/watcher}]
    readinessProbe: {exec: {command: [test, -f, ready]}, periodSeconds: 1}
    resources: {limits: {memory: 64Mi, cpu: 200m}}
    restartPolicy: RESTART_POLICY_ON_FAILURE
    timeout: 1.5s
    image: ~
volumes:
  - {name: limits, config: {name: thresholds}, onChange: reload}
"#;

    let application: Application = yaml(APPLICATION, text).unwrap();

    assert_eq!(application.r#type(), ApplicationType::Process);
    assert_eq!(application.replicas, Some(2));
    let service = &application.services[0];
    assert_eq!(service.volume_mounts[0].mount_path, "/etc/watcher");
    assert_eq!(service.resources.as_ref().unwrap().limits["cpu"], "200m");
    assert_eq!(service.restart_policy, 2);
    assert_eq!(service.image, "");
    let timeout = service.timeout.unwrap();
    assert_eq!((timeout.seconds, timeout.nanos), (1, 500_000_000));
}

#[test]
fn when_a_message_is_written_then_it_is_in_the_dialect() {
    let text = r#"{
        "name": "a", "type": "function", "revision": "18446744073709551615",
        "createTime": "2026-01-31T13:00:00.25+01:00",
        "update": {"soak": "0.5s", "rollback": false},
        "services": [{"name": "s", "concurrency": 2}]
    }"#;
    let application: Application = strict(APPLICATION, text).unwrap();

    let written = to_json(APPLICATION, &application, WriteOptions::default());

    let expected = json!({
        "name": "a", "type": "function", "revision": "18446744073709551615",
        "createTime": "2026-01-31T12:00:00.250Z",
        "update": {"soak": "0.500s", "rollback": false},
        "services": [{"name": "s", "concurrency": 2}]
    });
    assert_eq!(written, expected);
}

#[test]
fn when_yaml_is_written_then_fields_stand_by_number_and_lines_are_kept() {
    let descriptor = pool::message("baetyl.resource.v1.Configuration").unwrap();
    let text = "name: c\nlabels: {b: '1', a: 'yes'}\ndata: {k: \"one\\ntwo\\n\"}\nrevision: 7\n";
    let options = ReadOptions::default();
    let message = read(&descriptor, text, Format::Yaml, options).unwrap();

    let written = to_yaml(&View::new(&message, WriteOptions::default())).unwrap();

    let expected =
        "name: c\nlabels:\n  a: 'yes'\n  b: '1'\ndata:\n  k: |\n    one\n    two\nrevision: '7'\n";
    assert_eq!(written.replace('"', "'"), expected);
}

#[test]
fn when_defaults_are_asked_for_then_only_fields_without_presence_are_added() {
    let descriptor = pool::message("baetyl.cloud.v1.ListNodesResponse").unwrap();
    let empty = DynamicMessage::new(descriptor);
    let options = WriteOptions {
        emit_defaults: true,
        ..WriteOptions::default()
    };

    assert_eq!(write(&empty, WriteOptions::default()), json!({}));
    let expected = json!({"nodes": [], "nextPageToken": "", "resumeToken": ""});
    assert_eq!(write(&empty, options), expected);
    let update = DynamicMessage::new(pool::message("baetyl.resource.v1.UpdateStrategy").unwrap());
    assert_eq!(write(&update, options), json!({}));
}

#[test]
fn when_output_only_fields_come_back_then_they_are_skipped_unread() {
    let text =
        "name: n\nuid: abc\netag: e1\nrevision: nonsense\nstatus: {readiness: 12, later: true}\n";

    let node: EdgeNode = yaml(NODE, text).unwrap();

    assert_eq!((node.name.as_str(), node.etag.as_str()), ("n", "e1"));
    assert_eq!((node.uid.as_str(), node.revision), ("", 0));
    assert_eq!(node.status, None);
}

#[test]
fn when_values_are_free_then_null_numbers_and_trees_survive() {
    let text = r#"{"desired": {"a": null, "b": 3, "c": 0.5, "d": "x", "e": [1, {"f": false}], "g": -0.0}}"#;

    let properties: NodeProperties = strict(PROPERTIES, text).unwrap();

    let written = to_json(PROPERTIES, &properties, WriteOptions::default());
    let expected = json!({"desired": {"a": null, "b": 3, "c": 0.5, "d": "x", "e": [1, {"f": false}], "g": -0.0}});
    assert_eq!(written, expected);
    let update = pool::message("baetyl.cloud.v1.UpdateNodePropertiesRequest").unwrap();
    let text = r#"{"desired": {"a": null}}"#;
    let patch = read(&update, text, Format::Json, ReadOptions::request()).unwrap();
    assert_eq!(
        write(&patch, WriteOptions::default()),
        json!({"desired": {"a": null}})
    );
}

#[test]
fn when_integers_come_in_any_spelling_then_they_are_exact() {
    let rows = [
        ("9007199254740993", 9_007_199_254_740_993),
        ("\"9007199254740993\"", 9_007_199_254_740_993),
        ("1e3", 1000),
        ("2.0", 2),
        ("0x1F", 31),
        ("0o17", 15),
        ("+7", 7),
    ];
    for (spelling, expected) in rows {
        let text = format!("revision: {spelling}");
        let message: Result<Application, _> =
            from_json(APPLICATION, &text, Format::Yaml, ReadOptions::default());
        assert_eq!(message.unwrap().revision, expected, "{spelling}");
    }
}

#[test]
fn when_bytes_come_in_any_base64_then_they_are_the_same() {
    for spelling in ["+/+/AA==", "-_-_AA", "+/+/AA", "-_-_AA=="] {
        let text = format!("binaryData: {{k: {spelling}}}");
        let read: Result<crate::resource::v1::Configuration, _> =
            yaml("baetyl.resource.v1.Configuration", &text);
        assert_eq!(
            read.unwrap().binary_data["k"].as_ref(),
            [251, 255, 191, 0],
            "{spelling}"
        );
    }
}

#[test]
fn when_yaml_has_anchors_then_they_stand_for_their_value() {
    let text = "name: a\nservices:\n- &base {name: s, runtime: node}\n- *base\n";

    let application: Application = yaml(APPLICATION, text).unwrap();

    assert_eq!(application.services[0], application.services[1]);
}

#[test]
fn when_aliases_multiply_then_the_budget_ends_it() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }

    let violations = parse(&text, Format::Yaml).unwrap_err();

    assert_eq!(violations.0[0].reason, reason::TOO_LARGE);
}

#[test]
fn when_aliases_nest_then_the_depth_is_bounded() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..200 {
        let before = level - 1;
        text.push_str(&format!("a{level}: &a{level} [*a{before}]\n"));
    }

    let violations = parse(&text, Format::Yaml).unwrap_err();

    assert_eq!(violations.0[0].reason, reason::TOO_LARGE);
}

#[test]
fn when_a_text_is_too_deep_or_wide_then_it_is_refused() {
    let deep = "[".repeat(100_000);
    let wide = format!("[{}1]", "1,".repeat(MAX_NODES));
    for format in [Format::Json, Format::Yaml] {
        for text in [&deep, &wide] {
            let violations = parse(text, format).unwrap_err();
            assert_eq!(violations.0[0].reason, reason::TOO_LARGE, "{format:?}");
        }
    }
}

#[test]
fn when_arguments_are_text_then_each_kind_is_read() {
    let descriptor = pool::message("baetyl.cloud.v1.StreamLogsRequest").unwrap();
    let mut message = DynamicMessage::new(descriptor);
    for (path, text) in [
        ("follow", "true"),
        ("tailLines", "20"),
        ("since_time", "2026-01-31T12:00:00Z"),
        ("node", "n"),
    ] {
        set_from_text(&mut message, path, text).unwrap();
    }

    let expected = json!({
        "follow": true, "tailLines": 20, "sinceTime": "2026-01-31T12:00:00Z", "node": "n"
    });
    assert_eq!(write(&message, WriteOptions::default()), expected);
    let rows = [
        ("folow", "true", "unknown field; did you mean follow?"),
        ("tailLines", "20", "is set twice"),
        ("node.name", "x", "node has no fields of its own"),
    ];
    for (path, text, expected) in rows {
        let violation = set_from_text(&mut message, path, text).unwrap_err();
        assert_eq!(
            (violation.path.as_str(), violation.message.as_str()),
            (path, expected)
        );
    }
    message.clear_field_by_name("follow");
    let violation = set_from_text(&mut message, "follow", "yes").unwrap_err();
    assert_eq!(violation.message, "must be true or false, got \"yes\"");
}

#[test]
fn when_nested_arguments_are_set_then_the_messages_between_are_made() {
    let descriptor = pool::message("baetyl.cloud.v1.UpdateApplicationRequest").unwrap();
    let mut message = DynamicMessage::new(descriptor);

    set_from_text(&mut message, "application.name", "a").unwrap();
    set_from_text(&mut message, "application.type", "function").unwrap();

    let expected = json!({"application": {"name": "a", "type": "function"}});
    assert_eq!(write(&message, WriteOptions::default()), expected);
    let violation = set_from_text(&mut message, "application", "a").unwrap_err();
    assert_eq!(violation.reason, reason::WRONG_TYPE);
}

#[test]
fn when_the_contract_uses_a_type_of_google_then_the_dialect_knows_it() {
    for message in pool::descriptors().all_messages() {
        if !message.full_name().starts_with("baetyl.") {
            continue;
        }
        for field in message.fields() {
            let kind = field.kind();
            let Some(inner) = kind.as_message().filter(|inner| !inner.is_map_entry()) else {
                continue;
            };
            let name = inner.full_name();
            let is_known = name.starts_with("baetyl.")
                || [
                    "google.protobuf.Value",
                    "google.protobuf.Struct",
                    "google.protobuf.Timestamp",
                    "google.protobuf.Duration",
                    "google.protobuf.FieldMask",
                ]
                .contains(&name)
                // Details of errors travel in frames, which are no JSON.
                || message.full_name().starts_with("baetyl.sync.");
            assert!(is_known, "{}: {name}", field.full_name());
        }
    }
}
