//! Who a certificate speaks for: SPIFFE names, the node's uid, the serial number.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use uuid::Uuid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::fingerprint::{read_hex, write_hex};
use crate::{Error, Fingerprint, PublicKey, time};

/// How a node's uid is written in its certificate, as a second URI.
const UID_PREFIX: &str = "urn:uuid:";

/// A name in an identity: of a namespace, node, application or service.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `.`; the first and the last one
/// a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > 63 || !is_name(text, b"-.") {
            return Err(Error::name("name", text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A trust domain: the installation that identities belong to.
///
/// 1 to 255 characters of `a-z`, `0-9`, `-`, `.` and `_`; the first and the
/// last one a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Returns the trust domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > 255 || !is_name(text, b"-._") {
            return Err(Error::name("trust domain", text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str, inner: &[u8]) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|byte| alphanumeric(byte) || inner.contains(byte))
}

/// What an identity names inside of its trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An edge node: `/ns/<namespace>/node/<node>`.
    Node {
        /// The tenant.
        namespace: Name,
        /// The node.
        node: Name,
    },
    /// A service of an application on a node:
    /// `/ns/<namespace>/node/<node>/app/<application>/svc/<service>`.
    Workload {
        /// The tenant.
        namespace: Name,
        /// The node.
        node: Name,
        /// The application.
        application: Name,
        /// The service of the application.
        service: Name,
    },
    /// A part of the platform on a node, such as `core` or `function`:
    /// `/ns/<namespace>/node/<node>/system/<service>`.
    EdgeSystem {
        /// The tenant.
        namespace: Name,
        /// The node.
        node: Name,
        /// The part of the platform.
        service: Name,
    },
    /// A part of the platform in the cloud: `/system/<service>`.
    CloudSystem {
        /// The part of the platform.
        service: Name,
    },
}

/// A SPIFFE name: `spiffe://<trust domain>/<path of the subject>`.
///
/// The text form is exact: no port, query, empty segment, escape or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// The installation.
    pub trust_domain: TrustDomain,
    /// Who in it.
    pub subject: Subject,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.trust_domain)?;
        match &self.subject {
            Subject::Node { namespace, node } => write!(f, "/ns/{namespace}/node/{node}"),
            Subject::Workload {
                namespace,
                node,
                application,
                service,
            } => write!(
                f,
                "/ns/{namespace}/node/{node}/app/{application}/svc/{service}"
            ),
            Subject::EdgeSystem {
                namespace,
                node,
                service,
            } => write!(f, "/ns/{namespace}/node/{node}/system/{service}"),
            Subject::CloudSystem { service } => write!(f, "/system/{service}"),
        }
    }
}

impl FromStr for SpiffeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unreadable = || Error::name("spiffe id", text);
        let path = text.strip_prefix("spiffe://").ok_or_else(unreadable)?;
        let segments: Vec<&str> = path.split('/').take(10).collect();
        let (trust_domain, subject) = segments.split_first().ok_or_else(unreadable)?;
        let subject = match *subject {
            ["system", service] => Subject::CloudSystem {
                service: service.parse()?,
            },
            ["ns", namespace, "node", node] => Subject::Node {
                namespace: namespace.parse()?,
                node: node.parse()?,
            },
            ["ns", namespace, "node", node, "system", service] => Subject::EdgeSystem {
                namespace: namespace.parse()?,
                node: node.parse()?,
                service: service.parse()?,
            },
            [
                "ns",
                namespace,
                "node",
                node,
                "app",
                application,
                "svc",
                service,
            ] => Subject::Workload {
                namespace: namespace.parse()?,
                node: node.parse()?,
                application: application.parse()?,
                service: service.parse()?,
            },
            _ => return Err(unreadable()),
        };
        Ok(Self {
            trust_domain: trust_domain.parse()?,
            subject,
        })
    }
}

/// A certificate's serial number: up to 20 bytes without leading zeros.
///
/// Text form: lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Draws a random serial number of 16 bytes, 126 bits of them random.
    pub(crate) fn random() -> Self {
        let mut bytes = crate::random::bytes::<16>();
        // Positive, and always of the same length.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes.to_vec())
    }

    /// Returns the bytes of the number, the most significant first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        let start = bytes.iter().position(|byte| *byte != 0);
        let bytes = bytes.get(start.unwrap_or(bytes.len())..).unwrap_or(&[]);
        if bytes.is_empty() || bytes.len() > 20 {
            return Err(invalid("its serial number is not acceptable"));
        }
        Ok(Self(bytes.to_vec()))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        read_hex(text)
            .and_then(|bytes| Self::from_der(&bytes).ok())
            .ok_or_else(|| Error::name("serial number", text))
    }
}

/// What a leaf certificate says about its holder.
///
/// Reading it proves nothing: only a certificate that a handshake or
/// [`crate::verify`] accepted speaks for anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The holder's name, for people and policy.
    pub spiffe: SpiffeId,
    /// The node's uid, which a node that was deleted and made again does not share.
    pub uid: Option<Uuid>,
    /// The number under which the issuer knows the certificate.
    pub serial: Serial,
    /// When its life begins.
    pub not_before: SystemTime,
    /// When its life ends.
    pub not_after: SystemTime,
    /// The holder's key.
    pub public_key: PublicKey,
}

impl PeerIdentity {
    /// Reads a leaf certificate (DER).
    ///
    /// # Errors
    /// [`Error::CertificateInvalid`] when it cannot be read, is an authority's,
    /// or does not carry exactly one SPIFFE name and at most one uid;
    /// [`Error::NameInvalid`] when the SPIFFE name breaks the grammar;
    /// [`Error::KeyUnsupported`] when its key is not P-256.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let certificate = parse(der)?;
        if certificate.is_ca() {
            return Err(invalid("it belongs to an authority"));
        }
        let mut spiffe = None;
        let mut uid = None;
        for uri in uris(&certificate)? {
            let is_first = if uri.starts_with("spiffe:") {
                spiffe.replace(uri.parse::<SpiffeId>()?).is_none()
            } else if let Some(text) = uri.strip_prefix(UID_PREFIX) {
                let read = Uuid::try_parse(text).map_err(|_| invalid("its uid is not a uuid"))?;
                uid.replace(read).is_none()
            } else {
                true
            };
            if !is_first {
                return Err(invalid("it names more than one holder"));
            }
        }
        Ok(Self {
            spiffe: spiffe.ok_or_else(|| invalid("it carries no spiffe id"))?,
            uid,
            serial: Serial::from_der(certificate.raw_serial())?,
            not_before: time::from_asn1(&certificate.validity().not_before),
            not_after: time::from_asn1(&certificate.validity().not_after),
            public_key: PublicKey::from_spki(certificate.public_key().raw)?,
        })
    }

    /// Returns when the holder should ask for the next certificate: after two
    /// thirds of this one's life.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before + life.unwrap_or_default() / 3 * 2
    }

    /// Returns the fingerprint of the holder's key.
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.public_key.fingerprint()
    }
}

/// Writes a node's uid as the URI that its certificate carries.
pub(crate) fn uid_uri(uid: Uuid) -> String {
    format!("{UID_PREFIX}{uid}")
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| invalid("it cannot be read"))?;
    if !rest.is_empty() {
        return Err(invalid("bytes follow it"));
    }
    Ok(certificate)
}

/// Returns the URIs among a certificate's alternative names, in order.
pub(crate) fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, Error> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| invalid("its alternative names cannot be read"))?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => {
                return Err(invalid("its alternative names cannot be read"));
            }
            _ => {}
        }
    }
    Ok(uris)
}

pub(crate) fn invalid(why: &'static str) -> Error {
    Error::CertificateInvalid { why }
}

#[cfg(test)]
mod tests;
