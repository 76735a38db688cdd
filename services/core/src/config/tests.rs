//! Settings: defaults hold, faults are found together.

use baetyl_service_kit::config::{Sources, load};
use baetyl_service_kit::fault::Fault as _;

use super::*;

#[test]
fn when_nothing_is_set_then_the_defaults_hold() {
    let config: Config = load(&Sources::default()).unwrap();

    assert_eq!(config, Config::default());
    config.validate().unwrap();
}

#[test]
fn when_several_settings_are_wrong_then_all_are_named() {
    let config = Config {
        data_folder: PathBuf::new(),
        listen: "0.0.0.0:9010".parse().unwrap(),
        admin: Some("0.0.0.0:9090".parse().unwrap()),
        function_address: Some("http://127.0.0.1:1".into()),
        certificate_lifetime: HumanDuration::from_secs(1),
        reconnect_cap: HumanDuration::from_secs(0),
        ..Config::default()
    };

    let error = config.validate().unwrap_err();

    let violations = error.violations();
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    let wanted = [
        "data_folder",
        "listen",
        "admin",
        "function_address",
        "certificate_lifetime",
        "reconnect_cap",
    ];
    assert_eq!(fields, wanted);
}

#[test]
fn when_folders_are_not_set_then_they_lie_in_the_data_folder() {
    let config = Config {
        data_folder: "/data".into(),
        ..Config::default()
    };

    assert_eq!(config.identity_folder(), PathBuf::from("/data/identity"));
    assert_eq!(config.local_folder(), PathBuf::from("/data/local"));
    assert_eq!(config.key_file(), PathBuf::from("/data/core.key"));
    assert_eq!(config.function_attach(), "unix:/data/function/attach.sock");
}
