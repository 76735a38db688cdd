//! Certificates that are what they say, and those that are not.

use std::time::{Duration, SystemTime};

use baetyl_model::{Message, Resource};
use baetyl_pki::{Authority, KeyPair, Profile, ServerName, Validity, pem};
use baetyl_proto::resource::v1 as pb;

use super::resource;

struct Made {
    authority: Authority,
    key: KeyPair,
}

impl Made {
    fn new() -> Self {
        let trust_domain = "test.baetyl".parse().expect("a trust domain");
        Self {
            authority: Authority::create("test", &trust_domain, validity()).expect("valid"),
            key: KeyPair::generate(),
        }
    }

    /// A new certificate for a key.
    fn certificate(&self, key: &KeyPair) -> String {
        let host = ServerName::try_from("shop.example.com").expect("a host");
        let profile = Profile::cloud_system("shop".parse().expect("a name"), vec![host]);
        let issued = self
            .authority
            .issue(key.public_key(), &profile, validity())
            .expect("valid");
        pem::encode_certs(&[issued.certificate])
    }

    /// A right document.
    fn message(&self) -> pb::Certificate {
        pb::Certificate {
            name: "tls".to_owned(),
            certificate_pem: self.certificate(&self.key),
            private_key_pem: self.key.to_pem().to_string(),
            ca_pem: pem::encode_certs(std::slice::from_ref(self.authority.certificate())),
            ..Default::default()
        }
    }
}

fn validity() -> Validity {
    Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    }
}

fn told(outcome: Result<Resource, Vec<baetyl_model::Violation>>) -> Vec<(String, String)> {
    let violations = outcome.err().unwrap_or_default().into_iter();
    let told = violations.map(|one| (one.field, one.reason));
    told.collect()
}

fn one(field: &str, reason: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), reason.to_owned())]
}

#[test]
fn when_a_certificate_is_right_then_it_says_what_it_is() {
    let made = Made::new();

    let checked = resource(made.message().into(), None).expect("right");

    let Resource::Certificate(certificate) = checked else {
        unreachable!("it is a certificate");
    };
    let details = certificate.message().details.clone().expect("filled");
    assert!(
        details
            .subject_alternative_names
            .contains(&"shop.example.com".to_owned())
    );
    assert_eq!(details.key_algorithm, "ECDSA P-256");
    assert_eq!(details.fingerprint.len(), 64);
    assert!(details.issuer.contains("test"), "{}", details.issuer);
    let seconds = |time: Option<prost_types::Timestamp>| time.expect("filled").seconds;
    assert!(seconds(details.not_after) > seconds(details.not_before));
}

#[test]
fn when_parts_are_wrong_then_all_of_them_are_named() {
    let mut wrong = Made::new().message();
    wrong.name = "A".to_owned();
    wrong.certificate_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into();
    wrong.private_key_pem = "no key".to_owned();
    wrong.ca_pem = "no certificate".to_owned();

    let found = told(resource(wrong.into(), None));

    let expected = [
        ("name", "INVALID_NAME"),
        ("certificatePem", "INVALID_FORMAT"),
        ("caPem", "INVALID_FORMAT"),
        ("privateKeyPem", "INVALID_FORMAT"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn when_the_key_is_of_another_certificate_then_it_is_refused() {
    let made = Made::new();
    let mut message = made.message();
    message.private_key_pem = KeyPair::generate().to_pem().to_string();

    let found = told(resource(message.into(), None));

    assert_eq!(found, one("privateKeyPem", "CONFLICT"));
}

#[test]
fn when_no_key_is_sent_then_the_old_one_is_kept_as_long_as_it_fits() {
    let made = Made::new();
    let before = resource(made.message().into(), None).expect("right");
    let without_key = |certificate_pem: String| -> Message {
        pb::Certificate {
            certificate_pem,
            private_key_pem: String::new(),
            ..made.message()
        }
        .into()
    };
    let renewed = without_key(made.certificate(&made.key));
    let other = without_key(made.certificate(&KeyPair::generate()));

    let after = resource(renewed.clone(), Some(&before)).expect("the key fits");

    assert!(!after.is_same_spec(&before), "the certificate is a new one");
    let (Resource::Certificate(before_one), Resource::Certificate(after)) = (&before, &after)
    else {
        unreachable!("both are certificates");
    };
    assert_eq!(
        after.message().private_key_pem,
        before_one.message().private_key_pem
    );
    let found = told(resource(other, Some(&before)));
    assert_eq!(found, one("privateKeyPem", "REQUIRED"));
    assert_eq!(
        told(resource(renewed, None)),
        one("privateKeyPem", "REQUIRED")
    );
}

#[test]
fn when_a_chain_has_one_that_cannot_be_read_then_its_number_is_said() {
    let mut message = Made::new().message();
    message
        .certificate_pem
        .push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

    let violations = resource(message.into(), None).expect_err("refused");

    assert_eq!(violations[0].field, "certificatePem");
    assert_eq!(violations[0].description, "certificate 2 cannot be read");
}
