//! ECDSA P-256 key pairs, public keys, and proof of possession.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{Error, Fingerprint, pem};

/// What stands before the 65 bytes of a P-256 point in its DER form (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Put before what is signed as a proof of possession, so that the signature
/// can never stand for a certificate, a request or a handshake.
const PROOF_CONTEXT: &[u8] = b"baetyl proof of possession v1\0";

/// An ECDSA P-256 key pair. It is made where it is used and never travels.
///
/// `Debug` shows the public key's fingerprint only. Our copy of the private
/// bytes is erased from memory when dropped.
pub struct KeyPair {
    pkcs8: Zeroizing<Vec<u8>>,
    signer: EcdsaKeyPair,
    public_key: PublicKey,
}

impl KeyPair {
    /// Makes a new key pair from the operating system's random source.
    pub fn generate() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .expect("a running linux always answers getrandom");
        Self::from_pkcs8(document.as_ref()).expect("ring reads the keys that it makes")
    }

    /// Reads a key pair from PKCS#8 DER bytes.
    ///
    /// # Errors
    /// [`Error::KeyInvalid`] when it is not a P-256 key with its public half.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let signer =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new())
                .map_err(|_| Error::KeyInvalid)?;
        let point = signer
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| Error::KeyInvalid)?;
        Ok(Self {
            pkcs8: Zeroizing::new(der.to_vec()),
            signer,
            public_key: PublicKey { point },
        })
    }

    /// Reads the first private key of a PEM text.
    ///
    /// # Errors
    /// [`Error::Pem`] when there is none; [`Error::KeyInvalid`] when it is not
    /// a P-256 key in PKCS#8 form (`BEGIN PRIVATE KEY`).
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        match pem::private_key(text)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            _ => Err(Error::KeyInvalid),
        }
    }

    /// Writes the private key as PEM text, which is erased from memory when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode_private_key(&self.pkcs8)
    }

    /// Returns the PKCS#8 DER bytes of the private key.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Returns the private key in the form that rustls takes.
    pub fn to_private_key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// Returns the public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Proves possession of the key over bytes that the other side chose.
    ///
    /// The bytes should hold a nonce and everything that the request asks for.
    /// [`PublicKey::check_proof`] is the other half.
    pub fn prove(&self, bytes: &[u8]) -> Vec<u8> {
        self.sign(&[PROOF_CONTEXT, bytes].concat())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.signer
            .sign(&SystemRandom::new(), message)
            .expect("signing fails only without random bytes")
            .as_ref()
            .to_vec()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

impl rcgen::PublicKeyData for KeyPair {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for KeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Self::sign(self, message))
    }
}

/// An ECDSA P-256 public key.
///
/// `Debug` shows its fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Uncompressed: `04`, x, y.
    point: [u8; 65],
}

impl PublicKey {
    /// Reads the DER form of a public key (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// [`Error::KeyUnsupported`] when it is not an uncompressed P-256 point.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        der.strip_prefix(&SPKI_PREFIX)
            .and_then(|point| point.try_into().ok())
            .filter(|point: &[u8; 65]| point.first() == Some(&0x04))
            .map(|point| Self { point })
            .ok_or(Error::KeyUnsupported)
    }

    /// Writes the DER form of the key (`SubjectPublicKeyInfo`).
    pub fn to_spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.point[..]].concat()
    }

    /// Returns the SHA-256 over the DER form; the key's name in tables and logs.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.to_spki())
    }

    /// Checks a proof of possession that [`KeyPair::prove`] made over the same bytes.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] when the proof is of other bytes or of another key.
    pub fn check_proof(&self, bytes: &[u8], proof: &[u8]) -> Result<(), Error> {
        self.check_signature(&[PROOF_CONTEXT, bytes].concat(), proof)
    }

    pub(crate) fn check_signature(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature)
            .map_err(|_| Error::SignatureInvalid)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests;
