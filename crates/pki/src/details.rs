//! What a certificate of somebody else says of itself, and whether a key belongs to it.
//!
//! Certificates that applications serve are not ours: any key that TLS knows here will do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::fingerprint::write_hex;
use crate::identity::invalid;
use crate::{Error, Fingerprint, time};

/// Curves by the number that certificates name them with (RFC 5480).
const CURVES: [(&str, &str); 3] = [
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
];

/// The number of Ed25519 keys (RFC 8410).
const ED25519: &str = "1.3.101.112";

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Distinguished name of the subject.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Serial number in hexadecimal digits.
    pub serial_number: String,
    /// Names, addresses and URIs that it is for, sorted.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Algorithm of the public key: `ECDSA P-256`.
    pub key_algorithm: String,
}

impl Details {
    /// Reads a certificate. Neither its signature nor its life is checked.
    ///
    /// # Errors
    /// [`Error::CertificateInvalid`] when it cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let certificate = parsed(der)?;
        let mut serial_number = String::new();
        // Writing to text cannot fail.
        write_hex(&mut serial_number, certificate.raw_serial()).ok();
        let alternatives = certificate
            .subject_alternative_name()
            .map_err(|_| invalid("its alternative names cannot be read"))?;
        let mut names: Vec<String> = alternatives
            .iter()
            .flat_map(|alternatives| &alternatives.value.general_names)
            .filter_map(name)
            .collect();
        names.sort_unstable();
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial_number,
            names,
            not_before: time::from_asn1(&certificate.validity().not_before),
            not_after: time::from_asn1(&certificate.validity().not_after),
            fingerprint: Fingerprint::of(der),
            key_algorithm: algorithm(certificate.public_key()),
        })
    }
}

/// Checks that a private key belongs to a certificate.
///
/// # Errors
/// [`Error::KeyMismatch`] when it belongs to another one; [`Error::KeyUnsupported`] when it is
/// neither RSA (2048 bits and more), ECDSA (P-256, P-384) nor Ed25519;
/// [`Error::CertificateInvalid`] when the certificate cannot be read.
pub fn check_key(certificate: &CertificateDer<'_>, key: &PrivateKeyDer<'_>) -> Result<(), Error> {
    let certificate = parsed(certificate)?;
    let signer =
        rustls::crypto::ring::sign::any_supported_type(key).map_err(|_| Error::KeyUnsupported)?;
    let public_key = signer.public_key().ok_or(Error::KeyUnsupported)?;
    if public_key.as_ref() == certificate.public_key().raw {
        return Ok(());
    }
    Err(Error::KeyMismatch)
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(invalid("it cannot be read")),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    let number = key.algorithm.algorithm.to_id_string();
    if number == ED25519 {
        return "Ed25519".to_owned();
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(_)) => {
            let parameters = key.algorithm.parameters.as_ref();
            let curve = parameters.and_then(|curve| curve.as_oid().ok());
            let curve = curve.map(|curve| curve.to_id_string()).unwrap_or_default();
            let known = CURVES.iter().find(|(known, _)| *known == curve);
            format!("ECDSA {}", known.map_or(curve.as_str(), |(_, name)| name))
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests;
