//! What can go wrong with keys and certificates.

use crate::files::FileError;
use crate::seal::SealError;

/// An error of this crate's keys and certificates; a variant per thing a caller can do.
///
/// [`Error::reason`] is stable and goes to people and programs; the text may change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not PEM, or holds no section of the kind that was asked for.
    #[error("the pem text holds no readable {wanted}")]
    Pem {
        /// What was looked for, for instance `certificate`.
        wanted: &'static str,
    },
    /// The private key is not an ECDSA P-256 key in PKCS#8 form.
    #[error("the private key is not an ecdsa p-256 key in pkcs#8 form")]
    KeyInvalid,
    /// The public key is not an ECDSA P-256 key.
    #[error("the public key is not an ecdsa p-256 key")]
    KeyUnsupported,
    /// The certificate was made for another key.
    #[error("the certificate was made for another key")]
    KeyMismatch,
    /// The signing request cannot be read, or its signature does not prove the key.
    #[error("the signing request is not acceptable: {why}")]
    RequestInvalid {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A signature does not belong to the bytes and the key.
    #[error("the signature does not prove possession of the key")]
    SignatureInvalid,
    /// The certificate cannot be read, or lacks what it must carry.
    #[error("the certificate is not acceptable: {why}")]
    CertificateInvalid {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The certificate's life has ended.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate's life has not begun; the clock of one side may be wrong.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// No trusted authority signed the certificate.
    #[error("the certificate is not signed by a trusted authority")]
    UnknownAuthority,
    /// The certificate is genuine, and made for something else.
    #[error("the certificate is not made for this use")]
    WrongUsage,
    /// A name breaks the rules for names in identities.
    #[error("{what} {value:?} is not valid")]
    NameInvalid {
        /// What kind of name, for instance `trust domain`.
        what: &'static str,
        /// The name as it was given, cut to 64 characters.
        value: String,
    },
    /// A lifetime is shorter than a minute, or ends outside of what a certificate can say.
    #[error("the lifetime is not possible in a certificate")]
    LifetimeInvalid,
    /// The authority's own certificate has expired: it must be replaced first.
    #[error("the certificate authority has expired")]
    AuthorityExpired,
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something sealed could not be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Error {
    /// Returns the stable reason, in UPPER_SNAKE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pem { .. } => "PEM_INVALID",
            Self::KeyInvalid => "KEY_INVALID",
            Self::KeyUnsupported => "KEY_UNSUPPORTED",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::RequestInvalid { .. } => "CSR_INVALID",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::CertificateInvalid { .. } => "CERTIFICATE_INVALID",
            Self::Expired => "CERTIFICATE_EXPIRED",
            Self::NotYetValid => "CERTIFICATE_NOT_YET_VALID",
            Self::UnknownAuthority => "CERTIFICATE_UNTRUSTED",
            Self::WrongUsage => "CERTIFICATE_WRONG_USAGE",
            Self::NameInvalid { .. } => "NAME_INVALID",
            Self::LifetimeInvalid => "LIFETIME_INVALID",
            Self::AuthorityExpired => "AUTHORITY_EXPIRED",
            Self::File(error) => error.reason(),
            Self::Seal(error) => error.reason(),
        }
    }

    pub(crate) fn name(what: &'static str, value: &str) -> Self {
        let value = value.chars().take(64).collect();
        Self::NameInvalid { what, value }
    }
}
