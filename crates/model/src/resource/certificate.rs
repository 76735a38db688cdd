//! A TLS certificate with its private key: the key is kept on update unless replaced, and never
//! read. What PEM says is for who knows certificates; here it is text.

use baetyl_proto::resource::v1 as pb;
use prost::bytes::Bytes;

use super::{Rules, resource, salt};
use crate::id::Kind;
use crate::violation::{Check, Path, reason};

/// The longest PEM text of one field, in bytes.
pub const MAX_PEM: usize = 64 * 1024;

/// How a section of a PEM text begins.
const BEGIN: &str = "-----BEGIN ";

/// What follows in that of a certificate.
const CERTIFICATE: &str = "CERTIFICATE-----";

resource!(
    /// A checked certificate with its private key.
    Certificate,
    pb::Certificate
);

impl Certificate {
    /// Returns the same certificate with what it says of itself, which who reads PEM found out.
    #[must_use]
    pub fn with_details(mut self, details: pb::CertificateDetails) -> Self {
        self.message.details = Some(details);
        self
    }

    /// Returns whether both hold the same; salt and details do not count.
    pub fn is_same_spec(&self, other: &Self) -> bool {
        let spec = |certificate: &Self| pb::Certificate {
            salt: Bytes::new(),
            details: None,
            ..certificate.message.clone()
        };
        spec(self) == spec(other)
    }

    /// Draws a new salt, as each revision has its own.
    #[must_use]
    pub fn salted(mut self) -> Self {
        self.message.salt = salt::draw();
        self
    }

    /// Returns what people read: all but the private key.
    pub fn view(self) -> pb::Certificate {
        pb::Certificate {
            private_key_pem: String::new(),
            salt: Bytes::new(),
            ..self.message
        }
    }
}

impl Rules for pb::Certificate {
    const KIND: Kind = Kind::Certificate;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        self.salt.clear();
        self.details = None;
        if let Some(before) = before
            && self.private_key_pem.is_empty()
        {
            self.private_key_pem.clone_from(&before.private_key_pem);
        }
        let root = Path::root();
        let texts = [
            ("certificatePem", &self.certificate_pem),
            ("privateKeyPem", &self.private_key_pem),
            ("caPem", &self.ca_pem),
        ];
        for (field, text) in texts {
            let path = root.field(field);
            if text.is_empty() && field != "caPem" {
                check.add(&path, reason::REQUIRED, "must be set");
            }
            check.bytes(&path, text.len(), MAX_PEM);
            // It is returned to whoever asks.
            if field != "privateKeyPem" && !has_certificates_only(text) {
                let description = "must have certificates only; a key belongs to privateKeyPem";
                check.add(&path, reason::INVALID_FORMAT, description);
            }
        }
    }
}

/// Whether every section of a PEM text says that it is a certificate.
fn has_certificates_only(pem: &str) -> bool {
    let mut sections = pem.match_indices(BEGIN);
    sections.all(|(at, _)| pem[at + BEGIN.len()..].starts_with(CERTIFICATE))
}
