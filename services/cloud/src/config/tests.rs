//! Configuration: defaults and faults.

use baetyl_service_kit::config::{self, Sources};
use baetyl_service_kit::fault::Fault as _;

use super::Config;

#[test]
fn when_nothing_is_said_then_the_defaults_are_good() {
    let config: Config = config::load(&Sources::default()).unwrap();

    config.validate().unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn when_several_values_are_wrong_then_all_are_named() {
    let config = Config {
        sync_listen: "unix:/tmp/sync".parse().unwrap(),
        trust_domain: "UPPER".to_owned(),
        names: vec!["good.example".to_owned(), "no host".to_owned()],
        sync_addresses: vec!["host".to_owned()],
        ..Config::default()
    };

    let violations = config.validate().unwrap_err().violations();

    let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "sync_listen",
            "trust_domain",
            "names[1]",
            "sync_addresses[0]"
        ]
    );
}

#[test]
fn when_the_environment_says_so_then_it_wins() {
    let sources = Sources {
        env_prefix: "BAETYL_CLOUD__",
        env: vec![
            ("BAETYL_CLOUD__LISTEN".to_owned(), "127.0.0.1:1".to_owned()),
            (
                "BAETYL_CLOUD__SYNC__SILENCE_TIMEOUT".to_owned(),
                "1m".to_owned(),
            ),
        ],
        ..Sources::default()
    };

    let config: Config = config::load(&sources).unwrap();

    assert_eq!(config.listen.to_string(), "127.0.0.1:1");
    assert_eq!(config.sync.silence_timeout.0.as_secs(), 60);
}
