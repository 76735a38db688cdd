//! PEM text: read as the reader of `rustls_pki_types` reads it.

use proptest::prelude::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};

use super::{
    certs, encode_certs, encode_private_key, encode_signing_request, private_key, signing_request,
};
use crate::testing::{authority, issued_node};
use crate::{Error, KeyPair, SigningRequest};

#[test]
fn when_a_text_holds_everything_then_both_readers_agree() {
    let authority = authority();
    let key = KeyPair::generate();
    let request = SigningRequest::create(&key, "demo").unwrap();
    let chain = authority.chain(&issued_node(&authority, key.public_key()));
    let text = [
        "a comment before\n",
        &encode_certs(&chain),
        &key.to_pem(),
        &encode_signing_request(&request),
    ]
    .concat();
    let text = text.as_bytes();

    let other: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(certs(text).unwrap(), other);
    assert_eq!(other, chain);
    let other = PrivateKeyDer::from_pem_slice(text).unwrap();
    assert_eq!(private_key(text).unwrap(), other);
    assert_eq!(other.secret_der(), key.pkcs8());
    let other = CertificateSigningRequestDer::from_pem_slice(text).unwrap();
    assert_eq!(signing_request(text).unwrap(), other.as_ref());
    assert_eq!(other.as_ref(), request);
}

#[test]
fn when_a_section_is_missing_or_broken_then_it_is_refused() {
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let open = "-----BEGIN PRIVATE KEY-----\nAAAA\n";
    for text in ["", "nothing", broken, open] {
        let text = text.as_bytes();
        assert!(matches!(certs(text), Err(Error::Pem { .. })));
        assert!(matches!(private_key(text), Err(Error::Pem { .. })));
        assert!(matches!(signing_request(text), Err(Error::Pem { .. })));
    }
}

proptest! {
    #[test]
    fn when_bytes_are_written_then_they_are_read_back(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        let chain = [CertificateDer::from(bytes.clone())];

        prop_assert_eq!(certs(encode_certs(&chain).as_bytes()).unwrap(), chain.to_vec());
        let key = private_key(encode_private_key(&bytes).as_bytes()).unwrap();
        prop_assert_eq!(key.secret_der(), &bytes[..]);
    }

    #[test]
    fn when_any_text_is_read_then_nothing_panics(text in "(-----BEGIN CERTIFICATE-----|\n|[A-Z=!]){0,40}") {
        let _ = certs(text.as_bytes());
        let _ = private_key(text.as_bytes());
    }
}
