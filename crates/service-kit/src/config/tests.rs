//! Tests of the module `config`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Sample {
    name: String,
    period: HumanDuration,
    max_bytes: ByteSize,
    listen: Listen,
    tls: Option<Tls>,
    token: Option<Redacted<String>>,
    labels: BTreeMap<String, String>,
    ports: Vec<u16>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            name: "sample".to_owned(),
            period: HumanDuration::from_secs(20),
            max_bytes: ByteSize::mebibytes(4),
            listen: Listen::default(),
            tls: None,
            token: None,
            labels: BTreeMap::new(),
            ports: vec![1],
        }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listen {
    host: String,
    port: u16,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: String,
    key: String,
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Sample, ConfigError> {
    load(&Sources {
        env_prefix: "KIT_",
        env: env(pairs),
        ..Sources::default()
    })
}

#[test]
fn when_every_layer_sets_something_then_the_later_one_wins() {
    let file = file("name: file\nperiod: 1m\nlisten:\n  host: file\n  port: 1\nports: [7, 8]\n");

    let sample: Sample = load(&Sources {
        file: Some(file.path()),
        env_prefix: "KIT_",
        env: env(&[
            ("KIT_LISTEN__PORT", "2"),
            ("KIT_PERIOD", "5s"),
            ("OTHER", "x"),
        ]),
        overrides: json!({"listen": {"port": 3, "host": null}, "name": null}),
    })
    .unwrap();

    let expected = Sample {
        name: "file".to_owned(),
        period: HumanDuration::from_secs(5),
        listen: Listen {
            host: "file".to_owned(),
            port: 3,
        },
        ports: vec![7, 8],
        ..Sample::default()
    };
    assert_eq!(sample, expected);
}

#[test]
fn when_nothing_is_set_then_the_defaults_hold() {
    assert_eq!(
        load::<Sample>(&Sources::default()).unwrap(),
        Sample::default()
    );
    let empty = file("# nothing\n");
    let sources = Sources {
        file: Some(empty.path()),
        ..Sources::default()
    };
    assert_eq!(load::<Sample>(&sources).unwrap(), Sample::default());
}

#[test]
fn when_many_things_are_wrong_in_all_layers_then_all_are_named() {
    let file = file("nam: x\nperiod: soon\nlisten: {port: 70000, hots: a}\nports: [1, x]\n");

    let error = load::<Sample>(&Sources {
        file: Some(file.path()),
        env_prefix: "KIT_",
        env: env(&[("KIT_MAX_BYTES", "4 apples"), ("KIT_TYPO", "1")]),
        overrides: json!({"listen": {"port": "http"}}),
    })
    .unwrap_err();

    let origin = file.path().display().to_string();
    let mut found: Vec<(String, String)> = error
        .violations()
        .into_iter()
        .map(|violation| (violation.field.replace(&origin, "file"), violation.reason))
        .collect();
    found.sort();
    let expected = [
        ("listen.hots (from file)", "UNKNOWN_FIELD"),
        ("listen.port (from file)", "INVALID"),
        ("listen.port (from the command line)", "INVALID"),
        ("maxBytes (from the environment)", "INVALID"),
        ("nam (from file)", "UNKNOWN_FIELD"),
        ("period (from file)", "INVALID"),
        ("ports (from file)", "INVALID"),
        ("typo (from the environment)", "UNKNOWN_FIELD"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(error.reason(), "CONFIG_INVALID");
    assert!(
        error
            .to_string()
            .starts_with("8 configuration values are wrong\n  ")
    );
}

#[test]
fn when_a_variable_spells_a_number_then_the_type_of_the_key_decides() {
    let sample = from_env(&[
        ("KIT_NAME", "5"),
        ("KIT_MAXBYTES", "64Mi"),
        ("KIT_PORTS", "[1,2]"),
        ("KIT_LABELS__SITE", "true"),
    ])
    .unwrap();

    assert_eq!(sample.name, "5");
    assert_eq!(sample.max_bytes, ByteSize::mebibytes(64));
    assert_eq!(sample.ports, [1, 2]);
    assert_eq!(sample.labels["site"], "true");
}

#[test]
fn when_a_group_comes_from_several_variables_then_it_is_read_whole() {
    let sample = from_env(&[("KIT_TLS__CERT", "a"), ("KIT_TLS__KEY", "7")]).unwrap();

    let expected = Tls {
        cert: "a".to_owned(),
        key: "7".to_owned(),
    };
    assert_eq!(sample.tls, Some(expected));
}

#[test]
fn when_a_group_lacks_a_key_then_the_group_is_named() {
    let error = from_env(&[("KIT_TLS__CERT", "a")]).unwrap_err();

    let [violation] = &error.violations()[..] else {
        panic!("one violation, got {error}");
    };
    assert_eq!(violation.field, "tls (from the environment)");
    assert_eq!(violation.description, "missing field `key`");
}

#[test]
fn when_the_file_is_not_yaml_then_the_line_is_named() {
    let broken = file("name: x\nlisten: {port: 1\nother: 2\n");

    let error = load::<Sample>(&Sources {
        file: Some(broken.path()),
        ..Sources::default()
    })
    .unwrap_err();

    assert_eq!(error.reason(), "CONFIG_SYNTAX");
    assert!(error.violations()[0].line.is_some(), "{error}");
}

#[test]
fn when_a_named_file_is_missing_then_that_is_an_error() {
    let error = load::<Sample>(&Sources {
        file: Some(Path::new("/nonexistent/kit.yaml")),
        ..Sources::default()
    })
    .unwrap_err();

    assert_eq!(error.reason(), "CONFIG_UNREADABLE");
}

#[test]
fn when_a_secret_is_printed_then_it_does_not_show() {
    let sample = from_env(&[("KIT_TOKEN", "hunter2")]).unwrap();

    assert_eq!(sample.token.as_ref().unwrap().reveal(), "hunter2");
    let written = serde_json::to_string(&sample).unwrap();
    assert!(!format!("{sample:?}{written}").contains("hunter2"));
}

#[test]
fn when_scalars_are_malformed_then_they_are_refused() {
    for text in [
        "",
        "5",
        "s",
        "5 s",
        "-1s",
        "1.5s",
        "5x",
        "99999999999999999999s",
    ] {
        assert!(text.parse::<HumanDuration>().is_err(), "{text:?}");
    }
    for text in ["", "Mi", "5 Mi", "-1", "1.5Gi", "5x", "99999999999Ti"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn when_a_duration_is_printed_then_it_reads_back(millis: u64) {
        let duration = HumanDuration::from_millis(millis);
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
    }

    #[test]
    fn when_a_size_is_printed_then_it_reads_back(bytes: u64, shift in 0_u32..40) {
        let size = ByteSize(bytes >> shift << shift);
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }
}
