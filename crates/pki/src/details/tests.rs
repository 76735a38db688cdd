//! Certificates of other authorities, with keys of all sorts.

use rcgen::{CertificateParams, DnType, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::pem;
use crate::testing::{DAY, now};
use crate::time::to_offset;

struct Made {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> Made {
    let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
    let mut params = CertificateParams::new(vec!["shop.example.com".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "shop");
    params
        .subject_alt_names
        .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
    params.subject_alt_names.push(SanType::URI(
        "spiffe://example.com/shop".try_into().expect("ascii"),
    ));
    params.serial_number = Some(vec![1, 0xab].into());
    params.not_before = to_offset(now()).expect("a time");
    params.not_after = to_offset(now() + DAY).expect("a time");
    let certificate = params.self_signed(&key).expect("signed");
    Made {
        certificate: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

#[test]
fn when_a_certificate_is_read_then_it_says_who_and_until_when() {
    let made = made(&rcgen::PKCS_ECDSA_P256_SHA256);

    let details = Details::from_der(&made.certificate).expect("it can be read");

    assert!(details.subject.contains("CN=shop"), "{}", details.subject);
    assert_eq!(details.issuer, details.subject);
    assert_eq!(details.serial_number, "01ab");
    assert_eq!(
        details.names,
        ["10.0.0.1", "shop.example.com", "spiffe://example.com/shop"]
    );
    assert_eq!(
        (details.not_before, details.not_after),
        (now(), now() + DAY)
    );
    assert_eq!(details.fingerprint, Fingerprint::of(&made.certificate));
    assert_eq!(details.key_algorithm, "ECDSA P-256");
}

#[test]
fn when_keys_are_of_other_sorts_then_they_are_named_and_checked() {
    let sorts = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
    ];

    for (algorithm, name) in sorts {
        let (own, other) = (made(algorithm), made(algorithm));
        let details = Details::from_der(&own.certificate).expect("it can be read");

        assert_eq!(details.key_algorithm, name);
        assert!(check_key(&own.certificate, &own.key).is_ok(), "{name}");
        let refused = check_key(&own.certificate, &other.key);
        assert!(matches!(refused, Err(Error::KeyMismatch)), "{name}");
    }
}

#[test]
fn when_the_key_is_rsa_in_the_old_form_then_it_is_checked_too() {
    let chain = pem::certs(include_bytes!("rsa.pem")).expect("a certificate");
    let key = pem::private_key(include_bytes!("rsa.pem")).expect("a key");

    let details = Details::from_der(&chain[0]).expect("it can be read");

    assert_eq!(details.key_algorithm, "RSA 2048");
    assert!(check_key(&chain[0], &key).is_ok());
    let other = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(matches!(
        check_key(&other.certificate, &key),
        Err(Error::KeyMismatch)
    ));
}

#[test]
fn when_bytes_are_no_certificate_or_key_then_it_is_said() {
    let made = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut longer = made.certificate.to_vec();
    longer.push(0);

    for wrong in [b"".as_slice(), b"x", &longer] {
        let refused = Details::from_der(wrong);
        assert!(matches!(refused, Err(Error::CertificateInvalid { .. })));
    }
    let nonsense = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(b"x".to_vec()));
    let refused = check_key(&made.certificate, &nonsense);
    assert!(matches!(refused, Err(Error::KeyUnsupported)));
}
