//! What the file for a runtime says, and which lines belong to an invocation.

use super::*;

#[test]
fn when_a_line_is_marked_then_it_splits_into_id_and_text() {
    let line = mark_invocation("0198f2c1", "hello = \u{1e} world");

    assert_eq!(
        split_invocation(&line),
        (Some("0198f2c1"), "hello = \u{1e} world")
    );
}

#[test]
fn when_a_line_is_not_marked_then_it_is_all_text() {
    for line in [
        "",
        "plain",
        "inv=7 text",
        "\u{1e}inv=7 no end",
        "\u{1e}other\u{1e}x",
    ] {
        assert_eq!(split_invocation(line), (None, line));
    }
}

#[test]
fn when_a_field_is_unknown_then_the_file_is_refused() {
    let config = RuntimeConfig {
        node: "demo".into(),
        namespace: "default".into(),
        application: "sensors".into(),
        service: "sensors".into(),
        revision: 3,
        release: "7".into(),
        instance: "sensors-1".into(),
        runtime: "python3".into(),
        functions: vec![RuntimeFunction {
            name: "window".into(),
            handler: "window.handler".into(),
        }],
        code_folder: "/data/code".into(),
        working_folder: "/data/work".into(),
        workers: 2,
        timeout_ms: 5000,
        stop_grace_ms: 10_000,
        attach: "unix:/data/attach.sock".into(),
        certificate_folder: "/data/certs".into(),
        ready_file: "/data/work/ready".into(),
        worker_environment: vec!["LOG_LEVEL".into()],
        ports: BTreeMap::new(),
    };
    let text = config.to_json();

    assert_eq!(RuntimeConfig::from_json(text.as_bytes()).unwrap(), config);
    let unnamed = text.replacen("\"release\": \"7\",", "", 1);
    let unnamed = RuntimeConfig::from_json(unnamed.as_bytes()).unwrap();
    assert_eq!(unnamed.release, "");
    assert!(!unnamed.to_json().contains("release"));
    let more = text.replacen('{', "{\"surprise\": 1,", 1);
    assert!(RuntimeConfig::from_json(more.as_bytes()).is_err());
}
