//! Defaults are valid, and what is wrong is named all at once.

use std::path::PathBuf;

use baetyl_service_kit::config::{ConfigError, HumanDuration, Sources, load};
use baetyl_service_kit::serve::Address;

use super::{Config, StaticAddress};

#[test]
fn when_nothing_is_set_then_the_defaults_hold() {
    let config: Config = load(&Sources::default()).expect("the defaults read back");

    assert_eq!(config, Config::default());
    assert!(config.check().is_ok());
    let attach = config
        .attach_address()
        .expect("the default is short enough");
    assert_eq!(
        attach.to_string(),
        "unix:/var/lib/baetyl/function/attach.sock"
    );
}

#[test]
fn when_the_environment_says_so_then_it_is_taken() {
    let sources = Sources {
        env_prefix: "BAETYL_FUNCTION_",
        env: vec![
            (
                "BAETYL_FUNCTION_LISTEN".to_owned(),
                "unix:/run/f.sock".to_owned(),
            ),
            (
                "BAETYL_FUNCTION_RUNTIME_WAIT".to_owned(),
                "200ms".to_owned(),
            ),
        ],
        ..Sources::default()
    };

    let config: Config = load(&sources).expect("it is right");

    assert_eq!(config.listen, Address::Unix(PathBuf::from("/run/f.sock")));
    assert_eq!(config.runtime_wait, HumanDuration::from_millis(200));
}

#[test]
fn when_several_values_are_wrong_then_all_are_named() {
    let config = Config {
        queue_limit: 70_000,
        max_endpoints: 0,
        lease_duration: HumanDuration::from_secs(1),
        runtime_wait: HumanDuration::from_secs(u64::MAX),
        data_folder: PathBuf::from("/".repeat(100)),
        addresses: vec![StaticAddress {
            slots: 0,
            timeout: HumanDuration::from_secs(0),
            ..StaticAddress::default()
        }],
        ..Config::default()
    };

    let Err(ConfigError::Invalid { violations }) = config.check() else {
        panic!("the configuration is wrong");
    };

    let fields: Vec<_> = violations.iter().map(|each| each.field.as_str()).collect();
    let expected = [
        "queue_limit",
        "max_endpoints",
        "lease_duration",
        "runtime_wait",
        "data_folder",
        "addresses[0].service",
        "addresses[0].slots",
        "addresses[0].timeout",
    ];
    assert_eq!(fields, expected);
}
