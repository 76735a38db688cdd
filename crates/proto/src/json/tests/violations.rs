//! What is wrong, word for word.

use super::*;

/// Text of an Application, and every violation: path, line, column, message.
type Row = (
    &'static str,
    &'static [(&'static str, u32, u32, &'static str)],
);

const YAML: &[Row] = &[
    (
        "nme: a\nservices:\n- nmae: s\n  functions:\n  - hander: x\n",
        &[
            ("nme", 1, 1, "unknown field; did you mean name?"),
            (
                "services[0].nmae",
                3,
                3,
                "unknown field; did you mean name?",
            ),
            (
                "services[0].functions[0].hander",
                5,
                5,
                "unknown field; did you mean handler?",
            ),
        ],
    ),
    (
        "name: 1\nselector: true\nlabels: {a: 2, b: [x]}\n",
        &[
            ("name", 1, 7, "must be text, got 1; put it in quotes"),
            (
                "selector",
                2,
                11,
                "must be text, got true; put it in quotes",
            ),
            ("labels.a", 3, 13, "must be text, got 2; put it in quotes"),
            ("labels.b", 3, 19, "must be text, got a list"),
        ],
    ),
    (
        "type: functon\nworkload: 2\nservices: [{restartPolicy: OnFailure}]\n",
        &[
            (
                "type",
                1,
                7,
                "must be one of container, function, helm, manifest, process, got \"functon\"; \
                 did you mean function?",
            ),
            (
                "workload",
                2,
                11,
                "must be one of deployment, job, statefulset, daemonset, cronjob, got 2",
            ),
            (
                "services[0].restartPolicy",
                3,
                28,
                "must be one of always, on_failure, never, got \"OnFailure\"; \
                 did you mean on_failure?",
            ),
        ],
    ),
    (
        "replicas: -1\nservices:\n- concurrency: 5000000000\n- concurrency: 1.5\n- concurrency: many\n",
        &[
            (
                "replicas",
                1,
                11,
                "must be between 0 and 4294967295, got -1",
            ),
            (
                "services[0].concurrency",
                3,
                16,
                "must be between 0 and 4294967295, got 5000000000",
            ),
            (
                "services[1].concurrency",
                4,
                16,
                "must be a whole number, got 1.5",
            ),
            (
                "services[2].concurrency",
                5,
                16,
                "must be a whole number, got \"many\"",
            ),
        ],
    ),
    (
        "update: {soak: 5m, deadline: 10, rollback: yes}\n",
        &[
            (
                "update.soak",
                1,
                16,
                "must be a duration in seconds such as \"5s\" or \"0.25s\", got \"5m\"",
            ),
            (
                "update.deadline",
                1,
                30,
                "must be a duration in seconds such as \"5s\" or \"0.25s\", got 10",
            ),
            (
                "update.rollback",
                1,
                44,
                "must be true or false, got \"yes\"",
            ),
        ],
    ),
    (
        "volumes:\n- name: v\n  config: {name: c}\n  secret: {name: s}\n  name: w\n",
        &[
            (
                "volumes[0].secret",
                4,
                3,
                "excludes config, which is set on line 3",
            ),
            ("volumes[0].name", 5, 3, "is set twice, first on line 2"),
        ],
    ),
    (
        "services: [{volumeMounts: [], volume_mounts: []}]\n",
        &[(
            "services[0].volumeMounts",
            1,
            31,
            "is set twice, first on line 1",
        )],
    ),
    (
        "labels: {a: x, a: y, \"o d\": 1}\nservices: {name: s}\nupdate: [1]\nvolumes: [~]\n",
        &[
            ("labels.a", 1, 16, "is set twice"),
            (
                "labels[\"o d\"]",
                1,
                29,
                "must be text, got 1; put it in quotes",
            ),
            ("services", 2, 11, "must be a list, got a mapping"),
            ("update", 3, 9, "must be a mapping, got a list"),
            ("volumes[0]", 4, 11, "must be a mapping, got null"),
        ],
    ),
    ("- a\n", &[("", 1, 1, "must be a mapping, got a list")]),
    (
        "type: true\n",
        &[(
            "type",
            1,
            7,
            "must be one of container, function, helm, manifest, process, got true",
        )],
    ),
];

fn listed(violations: &Violations) -> Vec<(String, u32, u32, String)> {
    let violations = violations.0.iter();
    violations
        .map(|violation| {
            let at = violation.at.unwrap();
            (
                violation.path.clone(),
                at.line,
                at.column,
                violation.message.clone(),
            )
        })
        .collect()
}

#[test]
fn when_yaml_is_wrong_then_every_violation_has_path_and_place() {
    for (text, expected) in YAML {
        let violations = yaml::<Application>(APPLICATION, text).unwrap_err();

        let expected: Vec<_> = expected
            .iter()
            .map(|(path, line, column, message)| {
                ((*path).to_owned(), *line, *column, (*message).to_owned())
            })
            .collect();
        assert_eq!(listed(&violations), expected, "{text}");
    }
}

#[test]
fn when_json_is_wrong_then_every_violation_has_path_and_place() {
    let text = "{\n  \"näme\": 1, \"type\": \"FUNCTION\",\n  \"labels\": {\"ü\": 1},\n  \"replicas\": \"x\"\n}";

    let violations = strict::<Application>(APPLICATION, text).unwrap_err();

    let row = |path: &str, line, column, message: &str| {
        (path.to_owned(), line, column, message.to_owned())
    };
    let expected = [
        row("[\"näme\"]", 2, 3, "unknown field; did you mean name?"),
        row(
            "type",
            2,
            22,
            "must be one of container, function, helm, manifest, process, got \"FUNCTION\"; \
             did you mean function?",
        ),
        row(
            "labels[\"ü\"]",
            3,
            19,
            "must be text, got 1; put it in quotes",
        ),
        row("replicas", 4, 15, "must be a whole number, got \"x\""),
    ];
    assert_eq!(listed(&violations), expected);
}

#[test]
fn when_json_is_no_json_then_the_place_is_named() {
    let rows = [
        ("{\"a\": }", 1, 7, "expected a value, got '}'"),
        ("{\"a\" 1}", 1, 6, "expected ':', got '1'"),
        ("{a: 1}", 1, 2, "expected a key in quotes, got 'a'"),
        ("[1,\n 2", 2, 3, "expected ',' or ']', got the end"),
        ("{} x", 1, 4, "expected the end, got 'x'"),
        ("[01]", 1, 3, "expected ',' or ']', got '1'"),
        (
            "\"\\ud800\"",
            1,
            8,
            "expected the second half of a surrogate pair, got '\"'",
        ),
        (
            "\"a\nb\"",
            1,
            3,
            "expected no control character in a string, got '\\n'",
        ),
        ("[1,]", 1, 4, "expected a value, got ']'"),
    ];
    for (text, line, column, message) in rows {
        let violations = parse(text, Format::Json).unwrap_err();

        let expected = [(String::new(), line, column, message.to_owned())];
        assert_eq!(listed(&violations), expected, "{text}");
        assert_eq!(violations.0[0].reason, reason::SYNTAX);
    }
}

#[test]
fn when_yaml_is_no_yaml_then_the_place_is_named() {
    let rows = [
        ("a: [1", 2),
        ("a: b: c\n", 1),
        ("a: 1\n b: 2\n", 2),
        ("a: *nothing\n", 1),
        ("? [a]\n: b\n", 1),
        ("a: !mine 1\n", 1),
        ("a: 1\n---\nb: 2\n", 3),
        ("a: &x [*x]\n", 1),
    ];
    for (text, line) in rows {
        let violations = parse(text, Format::Yaml).unwrap_err();

        assert_eq!(violations.0.len(), 1, "{text}");
        assert_eq!(violations.0[0].reason, reason::SYNTAX, "{text}");
        let at = violations.0[0].at.unwrap();
        assert!(at.line <= line, "{text}: {violations}");
    }
}

#[test]
fn when_a_time_is_wrong_then_it_is_refused() {
    let wrong = [
        "2026-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31 12:00:00",
        "2026-01-31",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00+1:00",
        "9999-12-31T23:59:59-01:00",
        "+026-01-31T12:00:00Z",
    ];
    for text in wrong {
        let text = format!("createTime: {text:?}");
        let read: Result<Application, _> =
            from_json(APPLICATION, &text, Format::Yaml, ReadOptions::default());
        let violations = read.unwrap_err();
        assert_eq!(violations.0[0].reason, reason::INVALID_FORMAT, "{text}");
    }
}

#[test]
fn when_a_duration_is_wrong_then_it_is_refused() {
    for text in [
        "5",
        "s",
        "-s",
        "1.s",
        ".5s",
        "1.0000000001s",
        "999999999999s",
        "1e3s",
        "5 s",
    ] {
        let text = format!("update: {{soak: {text:?}}}");
        let violations = yaml::<Application>(APPLICATION, &text).unwrap_err();
        assert_eq!(violations.0[0].reason, reason::INVALID_FORMAT, "{text}");
    }
}

#[test]
fn when_a_secret_is_wrong_then_its_values_are_not_repeated() {
    let text =
        "name: s\ndata: {a: canary!, b: 4711, c: [canary]}\nstringData: {d: 4711, e: true}\n";

    let read: Result<crate::resource::v1::Secret, _> = yaml("baetyl.resource.v1.Secret", text);

    let violations = read.unwrap_err();
    assert_eq!(violations.0.len(), 5, "{violations}");
    let shown = format!("{violations}{violations:?}");
    assert!(!shown.contains("canary") && !shown.contains("4711") && !shown.contains("true"));
}

#[test]
fn when_more_is_wrong_than_anyone_reads_then_the_list_ends() {
    let text = "x: 1\n".repeat(3 * MAX_VIOLATIONS);

    let violations = yaml::<Application>(APPLICATION, &text).unwrap_err();

    assert_eq!(violations.0.len(), MAX_VIOLATIONS);
}
