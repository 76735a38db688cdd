//! Names, SPIFFE ids, serial numbers, and what is read from a certificate.

use std::time::Duration;

use proptest::prelude::*;

use super::{Name, PeerIdentity, Serial, SpiffeId, Subject, TrustDomain};
use crate::testing::{authority, issued_node, name, now, uid};
use crate::{Error, KeyPair};

fn names() -> impl Strategy<Value = Name> {
    "[a-z0-9]([-a-z0-9.]{0,10}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

fn subjects() -> impl Strategy<Value = Subject> {
    let node = (names(), names());
    prop_oneof![
        node.prop_map(|(namespace, node)| Subject::Node { namespace, node }),
        (names(), names(), names(), names()).prop_map(|(namespace, node, application, service)| {
            Subject::Workload {
                namespace,
                node,
                application,
                service,
            }
        }),
        (names(), names(), names()).prop_map(|(namespace, node, service)| Subject::EdgeSystem {
            namespace,
            node,
            service,
        }),
        names().prop_map(|service| Subject::CloudSystem { service }),
    ]
}

fn spiffe_ids() -> impl Strategy<Value = SpiffeId> {
    let domains = "[a-z0-9]([-a-z0-9._]{0,20}[a-z0-9])?";
    (domains, subjects()).prop_map(|(domain, subject)| SpiffeId {
        trust_domain: domain.parse().unwrap(),
        subject,
    })
}

proptest! {
    #[test]
    fn when_a_spiffe_id_is_printed_then_it_is_read_back(id in spiffe_ids()) {
        prop_assert_eq!(id.to_string().parse::<SpiffeId>().unwrap(), id);
    }

    #[test]
    fn when_any_text_is_read_then_what_is_taken_prints_as_it_was(
        text in "spiffe://[a-z.]{0,3}(/(ns|node|app|svc|system|[a-zA-Z0-9.%_-]{0,3})){0,9}",
    ) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn when_any_bytes_are_read_as_a_certificate_then_nothing_panics(bytes: Vec<u8>) {
        prop_assert!(PeerIdentity::from_der(&bytes).is_err());
    }
}

#[test]
fn when_the_grammar_is_broken_then_the_id_is_refused() {
    let rows = [
        "",
        "spiffe://",
        "spiffe://td",
        "spiffe://td/",
        "http://td/ns/a/node/b",
        "SPIFFE://td/ns/a/node/b",
        "spiffe:///ns/a/node/b",
        "spiffe://td/ns/a/node/b/",
        "spiffe://td//ns/a/node/b",
        "spiffe://td/ns/a/node",
        "spiffe://td/ns//node/b",
        "spiffe://td/ns/a/node/..",
        "spiffe://td/ns/a/node/B",
        "spiffe://td/ns/a/node/b%2fc",
        "spiffe://td/ns/a/node/b?x=1",
        "spiffe://td/ns/a/node/b#x",
        "spiffe://td:443/ns/a/node/b",
        "spiffe://user@td/ns/a/node/b",
        "spiffe://Td/ns/a/node/b",
        "spiffe://td/ns/a/node/b/app/c",
        "spiffe://td/ns/a/node/b/app/c/svc/d/e",
        "spiffe://td/system",
        "spiffe://td/system/a/b",
    ];
    for text in rows {
        let read = text.parse::<SpiffeId>();
        assert!(matches!(read, Err(Error::NameInvalid { .. })), "{text}");
    }
}

#[test]
fn when_a_name_breaks_the_rules_then_it_is_refused() {
    let longest = "n".repeat(63);
    for text in ["a", "a-b.c", "0", &longest] {
        assert!(text.parse::<Name>().is_ok(), "{text}");
    }
    let too_long = format!("{longest}n");
    for text in [
        "", "-a", "a-", ".a", "a.", "A", "a_b", "a/b", "a b", "ä", &too_long,
    ] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
    assert!("a_b.example".parse::<TrustDomain>().is_ok());
    assert!("a/b".parse::<TrustDomain>().is_err());
}

#[test]
fn when_serial_numbers_are_drawn_then_they_have_16_bytes_and_differ() {
    let (one, two) = (Serial::random(), Serial::random());

    assert_ne!(one, two);
    for serial in [one, two] {
        assert_eq!(serial.as_bytes().len(), 16);
        assert_eq!(serial.to_string().parse::<Serial>().unwrap(), serial);
    }
    for text in ["", "00", "0", "xy", &"ff".repeat(21)] {
        assert!(text.parse::<Serial>().is_err(), "{text}");
    }
    assert_eq!("0001".parse::<Serial>().unwrap().to_string(), "01");
}

#[test]
fn when_a_node_certificate_is_read_then_it_says_what_was_issued() {
    let authority = authority();
    let key = KeyPair::generate();
    let issued = issued_node(&authority, key.public_key());

    let read = PeerIdentity::from_der(&issued.certificate).unwrap();

    assert_eq!(read, issued.identity);
    assert_eq!(read.uid, Some(uid()));
    assert_eq!(read.key_fingerprint(), key.public_key().fingerprint());
    let expected = Subject::Node {
        namespace: name("default"),
        node: name("demo"),
    };
    assert_eq!(read.spiffe.subject, expected);
    assert_eq!(
        read.spiffe.to_string(),
        "spiffe://test.baetyl/ns/default/node/demo"
    );
    assert!(now() < read.renew_at() && read.renew_at() < read.not_after);
    assert_eq!(read.not_before, now() - Duration::from_secs(300));
}

#[test]
fn when_a_certificate_does_not_name_one_holder_then_it_is_refused() {
    let node = "spiffe://td/ns/a/node/b";
    let uid = "urn:uuid:7f3c1c52-6f0e-4c11-9d42-0f0a3a5a9f10";
    let rows: [(&[&str], bool); 7] = [
        (&[node], true),
        (&[node, uid], true),
        (&[uid, node, "https://example.com"], true),
        (&[], false),
        (&[uid], false),
        (&[node, "spiffe://td/ns/a/node/c"], false),
        (&[node, uid, uid], false),
    ];
    for (uris, expected) in rows {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = uris
            .iter()
            .map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap()))
            .collect();
        let certificate = params.self_signed(&KeyPair::generate()).unwrap();

        let read = PeerIdentity::from_der(certificate.der());

        assert_eq!(read.is_ok(), expected, "{uris:?}");
    }
}

#[test]
fn when_a_certificate_belongs_to_an_authority_then_it_is_nobody() {
    let read = PeerIdentity::from_der(authority().certificate());

    assert!(matches!(read, Err(Error::CertificateInvalid { .. })));
}
