//! Signing requests: made beside the key, checked by the issuer.

use rcgen::{CertificateParams, DistinguishedName, DnType};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::{Error, KeyPair, PublicKey, pem};

/// A request of this many bytes is refused unread; ours have about 250.
pub const MAX_BYTES: usize = 16 * 1024;

/// `ecdsa-with-SHA256`, the one signature that a P-256 request is made with.
const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";

/// A signing request whose sender holds the private key, and nothing more.
///
/// The names in the request are not kept: the issuer takes its public key only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    public_key: PublicKey,
}

impl SigningRequest {
    /// Makes a request (DER) for a key, with a name for people to read.
    ///
    /// # Errors
    /// [`Error::NameInvalid`] when the name is empty or longer than 64 bytes.
    pub fn create(key: &KeyPair, requested_name: &str) -> Result<Vec<u8>, Error> {
        // 64 is the upper bound of a common name in RFC 5280.
        if requested_name.is_empty() || requested_name.len() > 64 {
            return Err(Error::name("requested name", requested_name));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, requested_name);
        let request = params
            .serialize_request(key)
            .map_err(|_| Error::name("requested name", requested_name))?;
        Ok(request.der().to_vec())
    }

    /// Reads a request (DER) and checks that it is signed with its own key.
    ///
    /// # Errors
    /// [`Error::RequestInvalid`] when it is too large, cannot be read, or the
    /// signature is wrong; [`Error::KeyUnsupported`] when the key is not P-256.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_BYTES {
            return Err(invalid("it is too large"));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| invalid("it cannot be read"))?;
        if !rest.is_empty() {
            return Err(invalid("bytes follow it"));
        }
        let body = &request.certification_request_info;
        let public_key = PublicKey::from_spki(body.subject_pki.raw)?;
        if request.signature_algorithm.algorithm.to_id_string() != ECDSA_WITH_SHA256 {
            return Err(invalid("its signature is not ecdsa with sha-256"));
        }
        public_key
            .check_signature(body.raw, &request.signature_value.data)
            .map_err(|_| invalid("its signature does not prove the key"))?;
        Ok(Self { public_key })
    }

    /// Reads a request in PEM form; otherwise as [`SigningRequest::parse`].
    ///
    /// # Errors
    /// [`Error::Pem`] when there is no request in the text, and those of `parse`.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        if text.len() > 2 * MAX_BYTES {
            return Err(invalid("it is too large"));
        }
        Self::parse(&pem::signing_request(text)?)
    }

    /// Returns the key that the sender proved to hold.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

fn invalid(why: &'static str) -> Error {
    Error::RequestInvalid { why }
}

#[cfg(test)]
mod tests;
