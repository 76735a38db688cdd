//! Key pairs and proofs of possession.

use proptest::prelude::*;

use super::{KeyPair, PublicKey};
use crate::Error;

#[test]
fn when_a_key_is_written_then_it_is_read_back() {
    let key = KeyPair::generate();

    let read = KeyPair::from_pem(key.to_pem().as_bytes()).unwrap();

    assert_eq!(read.public_key(), key.public_key());
    assert_eq!(read.pkcs8(), key.pkcs8());
    assert_eq!(key.to_private_key_der().secret_der(), key.pkcs8());
}

#[test]
fn when_two_keys_are_made_then_they_differ() {
    let fingerprint = || KeyPair::generate().public_key().fingerprint();

    assert_ne!(fingerprint(), fingerprint());
}

#[test]
fn when_a_key_is_of_another_kind_then_it_is_refused() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    for other in [p384, ed25519] {
        let read = KeyPair::from_pem(other.serialize_pem().as_bytes());
        assert!(matches!(read, Err(Error::KeyInvalid)));
        let spki = rcgen::PublicKeyData::subject_public_key_info(&other);
        assert!(matches!(
            PublicKey::from_spki(&spki),
            Err(Error::KeyUnsupported)
        ));
    }
}

#[test]
fn when_a_public_key_is_written_then_it_is_as_others_write_it() {
    let key = KeyPair::generate();
    let public_key = key.public_key();

    let spki = public_key.to_spki();

    assert_eq!(spki, rcgen::PublicKeyData::subject_public_key_info(&key));
    assert_eq!(PublicKey::from_spki(&spki).unwrap(), *public_key);
    assert!(PublicKey::from_spki(&spki[..90]).is_err());
    assert!(PublicKey::from_spki(&[&spki[..], &[0]].concat()).is_err());
}

#[test]
fn when_a_proof_is_of_other_bytes_or_keys_then_it_is_refused() {
    let key = KeyPair::generate();
    let other = KeyPair::generate();
    let proof = key.prove(b"nonce 1");

    assert!(key.public_key().check_proof(b"nonce 1", &proof).is_ok());
    let refused = [
        key.public_key().check_proof(b"nonce 2", &proof),
        other.public_key().check_proof(b"nonce 1", &proof),
        key.public_key().check_proof(b"nonce 1", b""),
        // A plain signature, as a handshake or request makes it, proves nothing.
        key.public_key()
            .check_proof(b"nonce 1", &key.sign(b"nonce 1")),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::SignatureInvalid)));
    }
}

#[test]
fn when_a_key_is_shown_for_debugging_then_only_its_fingerprint_is_seen() {
    let key = KeyPair::generate();

    let shown = format!("{key:?}");

    let fingerprint = key.public_key().fingerprint();
    assert_eq!(
        shown,
        format!("KeyPair {{ public_key: PublicKey({fingerprint}), .. }}")
    );
}

proptest! {
    #[test]
    fn when_any_bytes_are_read_as_a_key_then_nothing_panics(bytes: Vec<u8>) {
        prop_assert!(KeyPair::from_pkcs8(&bytes).is_err());
        prop_assert!(PublicKey::from_spki(&bytes).is_err());
    }
}
