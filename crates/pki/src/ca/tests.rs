//! Authorities: what they issue passes the checks of rustls, and only theirs.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::certificate::X509Certificate;

use super::{Authority, BACKDATE, Profile, SHORTEST_LIFETIME, Validity};
use crate::identity::{parse, uris};
use crate::testing::{DAY, authority, days, issued_node, name, node, now, uid};
use crate::{Error, KeyPair, Sealer, SigningRequest, Usage};

fn parsed<'a>(certificate: &'a CertificateDer<'static>) -> X509Certificate<'a> {
    parse(certificate).unwrap()
}

#[test]
fn when_an_authority_is_made_then_it_may_sign_leaves_only() {
    let authority = authority();
    let certificate = parsed(authority.certificate());

    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert_eq!(uris(&certificate).unwrap(), ["spiffe://test.baetyl"]);
    assert_eq!(authority.not_after(), now() + DAY * 3650);
}

#[test]
fn when_a_request_is_signed_then_the_certificate_is_accepted_for_its_use_only() {
    let authority = authority();
    let key = KeyPair::generate();
    // The names in the request are those of somebody else.
    let der = SigningRequest::create(&key, "admin").unwrap();
    let request = SigningRequest::parse(&der).unwrap();

    let issued = authority
        .issue(request.public_key(), &node(), days(30))
        .unwrap();

    let chain = [issued.certificate.clone()];
    let identity = authority.roots().verify(&chain, Usage::Client, now());
    assert_eq!(identity.unwrap(), issued.identity);
    let as_server = authority.roots().verify(&chain, Usage::Server, now());
    assert!(matches!(as_server, Err(Error::WrongUsage)));
    let certificate = parsed(&issued.certificate);
    assert!(!certificate.subject().to_string().contains("admin"));
    let names = [
        "spiffe://test.baetyl/ns/default/node/demo".into(),
        format!("urn:uuid:{}", uid()),
    ];
    assert_eq!(uris(&certificate).unwrap(), names);
    assert_eq!(issued.identity.public_key, *key.public_key());
}

#[test]
fn when_another_authority_signed_then_it_is_refused_even_with_the_same_name() {
    let (ours, theirs) = (authority(), authority());
    let issued = issued_node(&theirs, KeyPair::generate().public_key());

    // Sending their authority along does not make it trusted.
    let refused = ours
        .roots()
        .verify(&theirs.chain(&issued), Usage::Client, now());

    assert!(
        matches!(refused, Err(Error::UnknownAuthority)),
        "{refused:?}"
    );
}

#[test]
fn when_any_part_of_a_certificate_is_changed_then_it_is_refused() {
    let authority = authority();
    let issued = issued_node(&authority, KeyPair::generate().public_key());
    for place in (0..issued.certificate.len()).step_by(7) {
        let mut changed = issued.certificate.to_vec();
        changed[place] ^= 1;

        let chain = [CertificateDer::from(changed)];

        assert!(
            authority
                .roots()
                .verify(&chain, Usage::Client, now())
                .is_err()
        );
    }
}

#[test]
fn when_the_time_is_outside_of_its_life_then_it_is_refused() {
    let authority = authority();
    let issued = issued_node(&authority, KeyPair::generate().public_key());
    let chain = [issued.certificate];
    let at = |time: SystemTime| authority.roots().verify(&chain, Usage::Client, time);

    let begin = now() - BACKDATE;
    let end = now() + DAY * 30;
    let second = Duration::from_secs(1);
    assert!(matches!(at(begin - second), Err(Error::NotYetValid)));
    assert!(at(begin).is_ok());
    assert!(at(end).is_ok());
    assert!(matches!(at(end + second), Err(Error::Expired)));
}

#[test]
fn when_a_leaf_would_outlive_its_authority_then_it_ends_with_it() {
    let authority = authority();
    let key = KeyPair::generate();
    let late = |before_end: Duration, lifetime: Duration| Validity {
        now: authority.not_after() - before_end,
        lifetime,
    };

    let issued = authority.issue(key.public_key(), &node(), late(DAY, DAY * 2));
    assert_eq!(issued.unwrap().identity.not_after, authority.not_after());
    let refused = authority.issue(
        key.public_key(),
        &node(),
        late(Duration::from_secs(59), DAY),
    );
    assert!(matches!(refused, Err(Error::AuthorityExpired)));
}

#[test]
fn when_a_lifetime_is_impossible_then_it_is_refused() {
    let authority = authority();
    let key = KeyPair::generate();
    let lifetimes = [
        Duration::ZERO,
        SHORTEST_LIFETIME - Duration::from_secs(1),
        DAY * 365 * 9000,
        Duration::MAX,
    ];
    for lifetime in lifetimes {
        let validity = Validity {
            now: now(),
            lifetime,
        };
        let refused = authority.issue(key.public_key(), &node(), validity);
        assert!(
            matches!(refused, Err(Error::LifetimeInvalid)),
            "{lifetime:?}"
        );
    }
}

#[test]
fn when_a_workload_is_issued_then_it_is_client_and_server_on_loopback() {
    let authority = authority();
    let key = KeyPair::generate();
    let profile = Profile::workload(
        name("default"),
        name("demo"),
        name("sensors"),
        name("window"),
    );

    let issued = authority
        .issue(key.public_key(), &profile, days(1))
        .unwrap();

    let chain = [issued.certificate.clone()];
    for usage in [Usage::Client, Usage::Server] {
        assert!(authority.roots().verify(&chain, usage, now()).is_ok());
    }
    let spiffe = issued.identity.spiffe.to_string();
    assert_eq!(
        spiffe,
        "spiffe://test.baetyl/ns/default/node/demo/app/sensors/svc/window"
    );
    assert_eq!(issued.identity.uid, None);
    let parsed = rustls::server::ParsedCertificate::try_from(&issued.certificate).unwrap();
    let is_valid_for = |host: &str| {
        let host = ServerName::try_from(host.to_owned()).unwrap();
        rustls::client::verify_server_name(&parsed, &host).is_ok()
    };
    for host in ["localhost", "127.0.0.1", "::1", "window"] {
        assert!(is_valid_for(host), "{host}");
    }
    assert!(!is_valid_for("sensors"));
}

#[test]
fn when_parts_of_the_platform_are_issued_then_uses_and_hosts_are_as_they_need() {
    let authority = authority();
    let key = KeyPair::generate();
    let host = || vec![ServerName::try_from("cloud.example").unwrap()];
    let cloud = Profile::cloud_system(name("cloud"), host());
    let core = Profile::edge_system(name("default"), name("demo"), name("core"), host());
    let rows = [
        (cloud, "spiffe://test.baetyl/system/cloud", false, false),
        (
            core,
            "spiffe://test.baetyl/ns/default/node/demo/system/core",
            true,
            true,
        ),
    ];
    for (profile, spiffe, is_client, is_local) in rows {
        let issued = authority
            .issue(key.public_key(), &profile, days(1))
            .unwrap();

        let chain = authority.chain(&issued);
        let verify = |usage| authority.roots().verify(&chain, usage, now());
        assert_eq!(issued.identity.spiffe.to_string(), spiffe);
        assert!(verify(Usage::Server).is_ok());
        assert_eq!(verify(Usage::Client).is_ok(), is_client);
        let parsed = rustls::server::ParsedCertificate::try_from(&issued.certificate).unwrap();
        let local = ServerName::try_from("localhost").unwrap();
        assert!(rustls::client::verify_server_name(&parsed, &host()[0]).is_ok());
        assert_eq!(
            rustls::client::verify_server_name(&parsed, &local).is_ok(),
            is_local
        );
    }
}

#[test]
fn when_a_service_name_is_no_host_then_the_workload_is_issued_without_it() {
    let authority = authority();
    let profile = Profile::workload(name("default"), name("demo"), name("a"), name("a..b"));

    let issued = authority.issue(KeyPair::generate().public_key(), &profile, days(1));

    assert!(issued.is_ok());
}

#[test]
fn when_a_leaf_acts_as_an_authority_then_nobody_believes_it() {
    let authority = authority();
    let key = KeyPair::generate();
    let issued = issued_node(&authority, key.public_key());

    let made = Authority::from_parts(issued.certificate, key);

    assert!(matches!(made, Err(Error::CertificateInvalid { .. })));
}

#[test]
fn when_an_authority_is_sealed_then_it_opens_and_issues_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::open_or_create(&folder.path().join("key"), None)
        .unwrap()
        .sealer;
    let authority = authority();

    let sealed = authority.to_sealed(&sealer);
    let opened = Authority::from_sealed(&sealer, &sealed).unwrap();

    assert_eq!(opened.fingerprint(), authority.fingerprint());
    assert_eq!(opened.trust_domain(), authority.trust_domain());
    let issued = issued_node(&opened, KeyPair::generate().public_key());
    let chain = [issued.certificate];
    assert!(
        authority
            .roots()
            .verify(&chain, Usage::Client, now())
            .is_ok()
    );
    let key = opened.issuer.key().pkcs8();
    assert!(!sealed.windows(16).any(|window| window == &key[40..56]));
}

#[test]
fn when_the_key_is_of_another_authority_then_they_are_not_put_together() {
    let made = Authority::from_parts(authority().certificate().clone(), KeyPair::generate());

    assert!(matches!(made, Err(Error::KeyMismatch)));
}

#[test]
fn when_the_common_name_is_empty_or_too_long_then_no_authority_is_made() {
    let trust_domain = "td".parse().unwrap();
    for common_name in ["", &"n".repeat(65)] {
        let made = Authority::create(common_name, &trust_domain, days(1));
        assert!(matches!(made, Err(Error::NameInvalid { .. })));
    }
}

#[test]
fn when_many_are_issued_then_no_serial_number_comes_twice() {
    let authority = authority();
    let key = KeyPair::generate();
    let serials: std::collections::HashSet<_> = (0..50)
        .map(|_| issued_node(&authority, key.public_key()).identity.serial)
        .collect();

    assert_eq!(serials.len(), 50);
}
