//! What a configuration may be, and what workers see of the host's environment.

use super::*;

fn config() -> RuntimeConfig {
    let text = r#"{
        "node": "demo", "namespace": "default", "application": "sensors", "service": "window",
        "revision": 3, "instance": "sensors-1", "runtime": "python3",
        "functions": [{"name": "window", "handler": "lib/window.handler"}],
        "code_folder": "/code", "working_folder": "/run/1", "workers": 2, "timeout_ms": 5000,
        "stop_grace_ms": 1000, "attach": "127.0.0.1:9012", "certificate_folder": "/certs",
        "ready_file": "/run/1/ready", "worker_environment": ["LOG_LEVEL"]
    }"#;
    RuntimeConfig::from_json(text.as_bytes()).unwrap()
}

#[test]
fn when_fields_are_wrong_then_all_are_told() {
    let mut config = config();
    config.runtime = "cobol".into();
    config.workers = 0;
    config.timeout_ms = 0;
    config.code_folder = "code".into();
    config.instance = "x".repeat(60);
    config.release = "x".repeat(64);
    config.functions[0].handler = "../window.handler".into();

    let error = Settings::try_new(config, &BTreeMap::new()).unwrap_err();

    let mut fields: Vec<&str> = error
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "code_folder",
            "functions[0].handler",
            "instance",
            "release",
            "runtime",
            "timeout_ms",
            "workers"
        ]
    );
}

#[test]
fn when_a_handler_leaves_the_folder_or_names_no_function_then_it_is_refused() {
    let cases = [
        ("window.handler", true),
        ("lib/window.handler", true),
        ("lib.window.handler", true),
        ("handler", false),
        (".handler", false),
        ("window.", false),
        ("/etc/window.handler", false),
        ("../window.handler", false),
        ("lib/../window.handler", false),
        ("window.lib/handler", false),
    ];

    for (handler, is_good) in cases {
        assert_eq!(is_handler(handler), is_good, "{handler}");
    }
}

#[test]
fn when_workers_are_started_then_they_see_only_what_is_named() {
    let host = [
        ("PATH", "/opt/bin"),
        ("LOG_LEVEL", "debug"),
        ("SECRET", "x"),
        ("BAETYL_INSTANCE", "sensors-1"),
    ];
    let host = host
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();

    let settings = Settings::try_new(config(), &host).unwrap();

    let environment = &settings.environment;
    assert_eq!(settings.search_path(), "/opt/bin");
    assert_eq!(environment["LOG_LEVEL"], "debug");
    assert_eq!(environment["BAETYL_SERVICE_NAME"], "window");
    assert!(!environment.contains_key("SECRET"));
    assert!(!environment.contains_key("BAETYL_INSTANCE"));
    assert_eq!(settings.attach_uri(), "https://127.0.0.1:9012");
}

#[test]
fn when_the_configuration_names_no_instance_then_the_pod_does() {
    let mut shared = config();
    shared.instance = String::new();
    let pod = format!("{}.sensors-6d4f7b9c8-x2z9q", "a".repeat(40));
    let environment = BTreeMap::from([
        ("BAETYL_INSTANCE_ID".to_owned(), pod),
        ("BAETYL_RUN_MODE".to_owned(), "kube".to_owned()),
    ]);

    let settings = Settings::try_new(shared.clone(), &environment).unwrap();

    assert_eq!(settings.config.instance.len(), 40);
    assert!(
        settings
            .config
            .instance
            .ends_with(".sensors-6d4f7b9c8-x2z9q")
    );
    assert_eq!(settings.environment["BAETYL_RUN_MODE"], "kube");
    assert!(settings.is_in_pod());
    assert!(Settings::try_new(shared, &BTreeMap::new()).is_err());
}

#[test]
fn when_the_configuration_names_no_release_then_the_environment_does() {
    let environment = BTreeMap::from([("BAETYL_RELEASE".to_owned(), "5f3a".to_owned())]);
    let mut named = config();
    named.release = "7".into();

    let found = [
        (config(), &BTreeMap::new()),
        (config(), &environment),
        (named, &environment),
    ]
    .map(|(config, environment)| Settings::try_new(config, environment).unwrap());

    let releases = found.map(|settings| settings.config.release);
    assert_eq!(releases, ["", "5f3a", "7"]);
}
