//! Certificates and registries: what is kept, and what nobody reads.

use baetyl_proto::resource::v1 as pb;
use serde_json::{Value, json};

use crate::resource::{Resource, fixture};
use crate::violation::reason;
use crate::{Certificate, Kind, Message, Registry, diff};

const KEY: &str = "canary of a key";
const PASSWORD: &str = "canary of a password";

fn certificate(document: &Value) -> pb::Certificate {
    let message = fixture::message("Certificate", document.clone()).into_certificate();
    message.expect("a certificate")
}

fn registry(document: &Value) -> pb::Registry {
    let message = fixture::message("Registry", document.clone()).into_registry();
    message.expect("a registry")
}

fn stored_certificate() -> Certificate {
    let document = json!({"name": "tls", "certificatePem": "one", "privateKeyPem": KEY});
    let details = pb::CertificateDetails {
        subject: "CN=shop".into(),
        ..Default::default()
    };
    let checked = Certificate::try_new(certificate(&document)).expect("a valid certificate");
    checked.with_details(details).salted()
}

fn stored_registry() -> Registry {
    let document = json!({
        "name": "private",
        "address": "registry.example.com",
        "username": "robot",
        "password": PASSWORD,
    });
    let checked = Registry::try_new(registry(&document)).expect("a valid registry");
    checked.salted()
}

#[test]
fn when_what_was_read_is_sent_back_then_nothing_changes() {
    let certificate = stored_certificate();
    let registry = stored_registry();

    let same_certificate = Certificate::revise(certificate.clone().view(), &certificate);
    let same_registry = Registry::revise(registry.clone().view(), &registry);

    assert!(same_certificate.expect("valid").is_same_spec(&certificate));
    assert!(same_registry.expect("valid").is_same_spec(&registry));
}

#[test]
fn when_the_key_or_password_is_replaced_then_the_new_one_counts() {
    let document = json!({"name": "tls", "certificatePem": "one", "privateKeyPem": "other"});
    let certificate = Certificate::revise(certificate(&document), &stored_certificate());
    let mut message = stored_registry().view();
    message.password = "other".to_owned();
    let registry = Registry::revise(message, &stored_registry());

    let (certificate, registry) = (certificate.expect("valid"), registry.expect("valid"));
    assert_eq!(certificate.message().private_key_pem, "other");
    assert!(
        certificate.message().details.is_none(),
        "who reads PEM says it anew"
    );
    assert_eq!(registry.message().password, "other");
    assert!(!certificate.is_same_spec(&stored_certificate()));
    assert!(!registry.is_same_spec(&stored_registry()));
}

#[test]
fn when_they_are_stored_twice_then_their_digests_differ() {
    let certificates = [stored_certificate(), stored_certificate()];
    let registries = [stored_registry(), stored_registry()];

    assert!(certificates[0].is_same_spec(&certificates[1]));
    assert_ne!(certificates[0].digest(), certificates[1].digest());
    assert!(registries[0].is_same_spec(&registries[1]));
    assert_ne!(registries[0].digest(), registries[1].digest());
}

#[test]
fn when_they_are_shown_then_nothing_hidden_is_there() {
    let stored = [
        Resource::Certificate(stored_certificate()),
        Resource::Registry(stored_registry()),
    ];

    for resource in stored {
        let views = [
            resource.clone().into_view(),
            resource.clone().into_view_with_values(),
        ];
        for view in views {
            let hidden = match &view {
                Message::Certificate(one) => {
                    assert_eq!(one.details.as_ref().expect("kept").subject, "CN=shop");
                    (one.private_key_pem.as_str(), one.salt.len())
                }
                Message::Registry(one) => (one.password.as_str(), one.salt.len()),
                other => unreachable!("{other:?}"),
            };
            assert_eq!(hidden, ("", 0));
        }
        assert!(!format!("{resource:?}").contains("canary"), "not in Debug");
        let again = Resource::try_new(resource.clone().into_input()).expect("valid");
        assert!(again.is_same_spec(&resource));
    }
}

#[test]
fn when_what_is_hidden_changes_then_the_difference_hides_it() {
    let mut other_key = stored_certificate().into_message();
    other_key.private_key_pem = "other canary".to_owned();
    let mut other_password = stored_registry().into_message();
    other_password.password = "other canary".to_owned();
    other_password.username = "human".to_owned();

    let certificates = diff(
        &Resource::Certificate(stored_certificate()),
        &Resource::try_new(other_key.into()).expect("valid"),
    );
    let registries = diff(
        &Resource::Registry(stored_registry()),
        &Resource::try_new(other_password.into()).expect("valid"),
    );

    let paths = |differences: &[crate::Difference]| {
        let paths = differences.iter().map(|one| one.path.clone());
        paths.collect::<Vec<_>>()
    };
    assert_eq!(paths(&certificates), ["privateKeyPem"]);
    assert_eq!(paths(&registries), ["password", "username"]);
    let told = format!("{certificates:?}{registries:?}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn when_a_text_is_too_long_then_it_is_refused() {
    let document = json!({
        "name": "tls",
        "certificatePem": "x".repeat(super::super::MAX_PEM + 1),
        "privateKeyPem": "k",
        "caPem": "x".repeat(super::super::MAX_PEM),
    });

    let violations = Certificate::try_new(certificate(&document)).expect_err("too large");

    let found: Vec<_> = violations
        .iter()
        .map(|one| (one.field.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(found, [("certificatePem", reason::TOO_LARGE)]);
}

#[test]
fn when_a_kind_is_spelled_then_it_reads_back() {
    for kind in Kind::ALL {
        assert_eq!(kind.title().parse::<Kind>(), Ok(kind));
        assert_eq!(kind.word().parse::<Kind>(), Ok(kind));
    }
}
