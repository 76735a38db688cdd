//! Defaults, revisions, bytes and digests.

use baetyl_proto::resource::v1 as pb;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Resource, fixture};
use crate::violation::{MAX_VIOLATIONS, reason};
use crate::{Application, Configuration, Kind, Name, Node, Revision, Secret, Uid};

mod arbitrary;
mod cluster;
mod hidden;

fn application(document: Value) -> Application {
    let message = fixture::message("Application", document).into_application();
    Application::try_new(message.expect("an application")).expect("a valid application")
}

fn secret(document: Value) -> pb::Secret {
    let message = fixture::message("Secret", document).into_secret();
    message.expect("a secret")
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a valid name")
}

#[test]
fn when_application_says_little_then_defaults_are_filled() {
    let application = application(fixture::watcher());

    let message = application.message();
    let service = &message.services[0];
    let probe = service.readiness_probe.as_ref().expect("it was given");
    let update = message.update.as_ref().expect("it is filled");
    assert_eq!(message.workload(), pb::Workload::Deployment);
    assert_eq!(message.replicas, Some(1));
    assert_eq!(service.restart_policy(), pb::RestartPolicy::Always);
    assert_eq!(
        service.stop_grace_period.map(|period| period.seconds),
        Some(10)
    );
    assert_eq!((probe.period_seconds, probe.timeout_seconds), (1, 1));
    assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
    assert_eq!(update.deadline.map(|deadline| deadline.seconds), Some(60));
    assert_eq!(
        (update.soak.map(|soak| soak.seconds), update.rollback),
        (Some(0), Some(true))
    );
    assert!(service.volume_mounts[0].read_only, "inputs are read-only");
}

#[test]
fn when_node_says_nothing_then_defaults_are_filled() {
    let message = pb::Node {
        name: "edge-1".into(),
        ..Default::default()
    };

    let node = Node::try_new(message).expect("a valid node");

    let core = node.message().core.as_ref().expect("it is filled");
    assert_eq!(node.mode(), pb::NodeMode::Process);
    assert_eq!(node.sync_mode(), pb::SyncMode::Cloud);
    assert_eq!(
        core.report_interval.map(|interval| interval.seconds),
        Some(20)
    );
    assert_eq!(core.log_level, "info");
}

#[test]
fn when_node_is_selected_then_the_labels_of_the_system_win() {
    let message = pb::Node {
        name: "edge-1".into(),
        accelerator: "nvidia".into(),
        labels: [("site", "demo"), ("baetyl-node-name", "other")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..Default::default()
    };

    let labels = Node::try_new(message)
        .expect("a valid node")
        .selectable_labels();

    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("baetyl-accelerator", "nvidia"),
        ("baetyl-node-mode", "process"),
        ("baetyl-node-name", "edge-1"),
        ("site", "demo"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn when_output_is_sent_back_then_it_is_dropped() {
    let mut sent = fixture::message("Application", fixture::watcher());
    let (uid, revision) = (Uid::random(), Revision::FIRST);
    let at = std::time::UNIX_EPOCH;
    sent.set_recorded(&super::Recorded {
        uid: &uid,
        revision,
        digest: crate::Digest::of(b""),
        create_time: at,
        update_time: at,
    });
    assert_eq!(sent.etag(), format!("{uid}.1"));

    let checked = Resource::try_new(sent).expect("a valid application");

    let plain = Resource::Application(application(fixture::watcher()));
    assert_eq!(checked, plain);
}

#[test]
fn when_fields_that_may_not_change_do_then_they_are_violations() {
    let before = Node::try_new(pb::Node {
        name: "edge-1".into(),
        namespace: "default".into(),
        ..Default::default()
    });
    let after = pb::Node {
        name: "edge-2".into(),
        namespace: "other".into(),
        node_mode: pb::NodeMode::Kube.into(),
        ..Default::default()
    };

    let violations = Node::revise(after, &before.expect("a valid node")).expect_err("refused");

    let found: Vec<_> = violations
        .iter()
        .map(|one| (one.field.as_str(), one.reason.as_str()))
        .collect();
    let immutable = reason::IMMUTABLE;
    assert_eq!(
        found,
        [
            ("name", immutable),
            ("namespace", immutable),
            ("nodeMode", immutable)
        ]
    );
}

#[test]
fn when_the_type_of_an_application_changes_then_it_is_refused_with_all_the_rest() {
    let before = application(fixture::watcher());
    let mut document = fixture::sensors();
    document["name"] = "watcher".into();
    document["services"][0]["runtime"] = "cobol".into();
    let after = fixture::message("Application", document).into_application();

    let violations = Application::revise(after.expect("an application"), &before);

    let violations = violations.expect_err("refused");
    let found: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(found, ["type", "services[0].runtime"]);
}

#[test]
fn when_secret_is_updated_then_absent_keys_are_kept_and_removed_ones_go() {
    let before = secret(json!({"name": "keys", "stringData": {"a": "1", "b": "2", "c": "3"}}));
    let before = Secret::try_new(before).expect("a valid secret");
    let update =
        secret(json!({"name": "keys", "stringData": {"b": "9"}, "removeKeys": ["c", "x"]}));

    let after = Secret::revise(update, &before).expect("a valid update");

    let values: Vec<_> = after
        .values()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_ref()))
        .collect();
    assert_eq!(values, [("a", b"1".as_slice()), ("b", b"9"),]);
}

#[test]
fn when_what_was_read_is_sent_back_then_the_secret_is_the_same() {
    let stored = Secret::try_new(secret(json!({"name": "keys", "stringData": {"a": "1"}})));
    let stored = stored.expect("a valid secret").salted();

    let sent_back = Secret::revise(stored.clone().view(), &stored).expect("valid");

    assert!(sent_back.is_same_spec(&stored));
}

#[test]
fn when_secret_is_stored_twice_then_its_digests_differ() {
    let made = || {
        let document = json!({"name": "keys", "stringData": {"a": "1"}});
        Secret::try_new(secret(document))
            .expect("a valid secret")
            .salted()
    };
    let (first, second) = (made(), made());

    assert!(first.is_same_spec(&second));
    assert_ne!(first.digest(), second.digest());
}

#[test]
fn when_secret_is_viewed_then_values_and_salt_are_hidden() {
    let stored = Secret::try_new(secret(json!({"name": "keys", "stringData": {"a": "1"}})));
    let stored = stored.expect("a valid secret").salted();

    let (view, open) = (stored.clone().view(), stored.clone().view_with_values());

    assert_eq!(
        (view.data.len(), view.salt.len(), view.keys.as_slice()),
        (0, 0, ["a".to_owned()].as_slice())
    );
    assert_eq!(
        (open.data.len(), open.salt.len(), open.keys.len()),
        (1, 0, 1)
    );
    assert!(
        !format!("{stored:?}").contains('1'),
        "values are not in Debug"
    );
}

#[test]
fn when_configuration_reaches_4_mib_then_it_is_too_large() {
    let of = |bytes: usize| {
        Configuration::try_new(pb::Configuration {
            name: "big".into(),
            data: [("k".to_owned(), "x".repeat(bytes - 1))].into(),
            ..Default::default()
        })
    };

    assert!(of(super::MAX_CONFIGURATION - 1).is_ok());
    let violations = of(super::MAX_CONFIGURATION).expect_err("too large");
    assert_eq!(violations[0].reason, reason::TOO_LARGE);
}

#[test]
fn when_secret_is_above_64_kib_then_it_is_too_large() {
    let of = |bytes: usize| {
        Secret::try_new(pb::Secret {
            name: "big".into(),
            string_data: [("k".to_owned(), "x".repeat(bytes - 1))].into(),
            ..Default::default()
        })
    };

    assert!(of(super::MAX_SECRET).is_ok());
    assert!(of(super::MAX_SECRET + 1).is_err());
}

#[test]
fn when_everything_is_wrong_then_the_violations_are_bounded() {
    let keys = (0..10_000).map(|index| (format!("{index}/"), String::new()));
    let message = pb::Configuration {
        name: "wrong".into(),
        data: keys.collect(),
        ..Default::default()
    };

    let violations = Configuration::try_new(message).expect_err("refused");

    assert_eq!(violations.len(), MAX_VIOLATIONS);
}

#[test]
fn when_application_uses_inputs_then_they_are_its_references_with_the_strongest_effect() {
    let mut document = fixture::watcher();
    let secret_key = json!({"secretKeyRef": {"name": "keys", "key": "token"}});
    let limit_key = json!({"configKeyRef": {"name": "thresholds", "key": "limit"}});
    let mut with_environment = document.clone();
    with_environment["services"][0]["env"] = json!([
        {"name": "TOKEN", "valueFrom": secret_key},
        {"name": "LIMIT", "valueFrom": limit_key},
    ]);
    let effects = |document: Value| {
        let inputs = application(document).inputs().into_iter();
        inputs
            .map(|input| (input.kind, input.name, input.on_change))
            .collect::<Vec<_>>()
    };
    let (reload, restart) = (pb::OnChange::Reload, pb::OnChange::Restart);
    let code = (Kind::Configuration, name("watcher-code"), restart);
    let thresholds = |on_change| (Kind::Configuration, name("thresholds"), on_change);

    assert_eq!(effects(document.take()), [thresholds(reload), code.clone()]);
    let keys = (Kind::Secret, name("keys"), restart);
    assert_eq!(effects(with_environment), [thresholds(restart), code, keys]);
}

#[test]
fn when_only_metadata_changes_then_the_template_stays() {
    let before = application(fixture::watcher());
    let mut document = fixture::watcher();
    document["labels"] = json!({"team": "a"});
    document["description"] = "says what it is for".into();
    document["selector"] = "site = other".into();
    document["update"] = json!({"soak": "2s"});
    let after = application(document.clone());
    document["services"][0]["args"] = json!(["-v"]);
    let changed = application(document);

    assert_ne!(before.digest(), after.digest());
    assert_eq!(before.template_digest(), after.template_digest());
    assert_ne!(before.template_digest(), changed.template_digest());
}

#[test]
fn when_application_needs_features_then_they_are_named() {
    let mut document = fixture::watcher();
    assert_eq!(application(document.clone()).features(), ["process.v1"]);
    document["workload"] = "job".into();
    document["volumes"][0] = json!({"name": "limits", "persistent": {}});

    let expected = ["job.v1", "persistent-volume.v1", "process.v1"];
    assert_eq!(application(document).features(), expected);
    assert_eq!(application(fixture::sensors()).features(), ["function.v1"]);
}

#[test]
fn when_bytes_are_of_something_else_then_they_are_not_decoded() {
    assert!(Resource::decode(Kind::Node, b"\xff\xff").is_err());
    assert!(Resource::decode(Kind::Node, b"").is_err(), "it has no name");
}

proptest! {
    #[test]
    fn when_anything_is_checked_then_nothing_panics_and_violations_have_a_place(
        message in arbitrary::messages(),
    ) {
        for violation in Resource::try_new(message).err().unwrap_or_default() {
            prop_assert!(!violation.field.is_empty());
            prop_assert!(reason::ALL.iter().any(|(known, _)| *known == violation.reason));
        }
    }

    #[test]
    fn when_resource_is_encoded_then_it_decodes_to_itself(resource in arbitrary::resources()) {
        let bytes = resource.encode();
        let decoded = Resource::decode(resource.kind(), &bytes).expect("its own bytes");

        prop_assert_eq!(decoded.encode(), bytes);
        prop_assert_eq!(decoded.digest(), resource.digest());
        prop_assert_eq!(decoded, resource);
    }

    #[test]
    fn when_resource_is_checked_again_then_nothing_changes(resource in arbitrary::resources()) {
        let message = resource.clone().into_input();
        let again = Resource::try_new(message.clone()).expect("it was valid");
        let revised = Resource::revise(message, &resource).expect("nothing changed");

        prop_assert!(again.is_same_spec(&resource));
        prop_assert!(revised.is_same_spec(&resource));
        prop_assert!(crate::diff(&resource, &again).is_empty());
    }
}
