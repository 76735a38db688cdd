//! Signing requests: only an intact one proves its key.

use proptest::prelude::*;

use super::{MAX_BYTES, SigningRequest};
use crate::{Error, KeyPair, pem};

#[test]
fn when_a_request_is_intact_then_its_key_is_taken() {
    let key = KeyPair::generate();
    let der = SigningRequest::create(&key, "demo").unwrap();

    let read = SigningRequest::parse(&der).unwrap();

    assert_eq!(read.public_key(), key.public_key());
    let text = pem::encode_signing_request(&der);
    assert_eq!(SigningRequest::from_pem(text.as_bytes()).unwrap(), read);
}

#[test]
fn when_the_key_in_the_request_is_exchanged_then_it_is_refused() {
    let mut der = SigningRequest::create(&KeyPair::generate(), "demo").unwrap();
    let other = KeyPair::generate().public_key().to_spki();
    let place = der
        .windows(26)
        .position(|window| window == &other[..26])
        .unwrap();
    der[place..place + other.len()].copy_from_slice(&other);

    let read = SigningRequest::parse(&der);

    let why = "its signature does not prove the key";
    assert!(matches!(read, Err(Error::RequestInvalid { why: w }) if w == why));
}

#[test]
fn when_the_key_is_of_another_kind_then_the_request_is_refused() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::default();
        let request = params.serialize_request(&key).unwrap();

        let read = SigningRequest::parse(request.der());

        assert!(matches!(read, Err(Error::KeyUnsupported)));
    }
}

#[test]
fn when_bytes_are_too_many_or_follow_then_it_is_refused() {
    let der = SigningRequest::create(&KeyPair::generate(), "demo").unwrap();
    for bytes in [
        vec![0; MAX_BYTES + 1],
        [&der[..], &[0]].concat(),
        Vec::new(),
    ] {
        let read = SigningRequest::parse(&bytes);
        assert!(matches!(read, Err(Error::RequestInvalid { .. })));
    }
}

#[test]
fn when_the_requested_name_is_empty_or_too_long_then_no_request_is_made() {
    let key = KeyPair::generate();
    for name in ["", &"n".repeat(65)] {
        let made = SigningRequest::create(&key, name);
        assert!(matches!(made, Err(Error::NameInvalid { .. })));
    }
    assert!(SigningRequest::create(&key, &"n".repeat(64)).is_ok());
}

/// The frame around the signed part and the signature may be written in more
/// than one way; what is inside may not, and no other key ever comes out.
#[test]
fn when_any_bit_is_changed_then_it_is_refused_or_has_the_same_key() {
    let key = KeyPair::generate();
    let der = SigningRequest::create(&key, "demo").unwrap();
    let body = 3..5 + usize::from(der[4]);
    let signature = body.end + 15..der.len();
    for place in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[place] ^= 1_u8 << bit;

            if let Ok(read) = SigningRequest::parse(&changed) {
                assert!(!body.contains(&place) && !signature.contains(&place));
                assert_eq!(read.public_key(), key.public_key());
            }
        }
    }
}

proptest! {
    #[test]
    fn when_any_bytes_are_read_then_nothing_panics(bytes: Vec<u8>) {
        prop_assert!(SigningRequest::parse(&bytes).is_err());
    }
}
