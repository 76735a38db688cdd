//! Why somebody is not, or no longer, a node.

use baetyl_service_kit::fault::{Code, Fault, Violation};

use crate::store::StoreError;

/// Why somebody is not, or no longer, a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// The text is not a join token of this installation.
    #[error("the join token is not known here")]
    TokenInvalid,
    /// The token's time is over.
    #[error("the join token has expired; make another one")]
    TokenExpired,
    /// Another device used the token first.
    #[error("the join token was used with another key")]
    TokenReused,
    /// The signing request is malformed, or does not prove its key.
    #[error("certificate_request: {0}")]
    RequestInvalid(#[source] baetyl_pki::Error),
    /// The signature does not prove possession of the certificate's key.
    #[error("the signature does not prove possession of the certificate's key")]
    ProofInvalid,
    /// No certificate was shown.
    #[error("a client certificate is needed")]
    CertificateMissing,
    /// The certificate is malformed, not a node's, or of another authority.
    #[error("the certificate is not one of a node of this installation")]
    CertificateInvalid,
    /// The certificate is ours, and its number is not in the books: a backup was restored.
    #[error("the certificate is not in the books; renew it")]
    CertificateUnknown,
    /// The certificate's life is over.
    #[error("the certificate has expired; join again with a new token")]
    CertificateExpired,
    /// The certificate was revoked.
    #[error("the certificate was revoked; join again with a new token")]
    CertificateRevoked,
    /// There is no such node, or another one by the same name.
    #[error("the node does not exist any more")]
    NodeNotFound,
    /// Others wrote the same records all the time.
    #[error("too many requests for the same node; try again")]
    Busy,
    /// The list of revoked certificates cannot be written.
    #[error("the revocation cannot be written down")]
    Revocation(#[source] std::io::Error),
    /// The certificate cannot be signed.
    #[error("the certificate cannot be signed")]
    Signing(#[source] baetyl_pki::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ActivationError {
    fn code(&self) -> Code {
        match self {
            Self::TokenInvalid | Self::TokenExpired | Self::CertificateMissing => {
                Code::Unauthenticated
            }
            Self::RequestInvalid(_) => Code::InvalidArgument,
            Self::TokenReused
            | Self::ProofInvalid
            | Self::CertificateInvalid
            | Self::CertificateUnknown
            | Self::CertificateExpired
            | Self::CertificateRevoked
            | Self::NodeNotFound => Code::PermissionDenied,
            Self::Busy => Code::Unavailable,
            Self::Revocation(_) | Self::Signing(_) => Code::Internal,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenReused => "TOKEN_REUSED",
            Self::RequestInvalid(_) => "FIELD_VIOLATION",
            Self::ProofInvalid => "PROOF_INVALID",
            Self::CertificateMissing => "CERTIFICATE_MISSING",
            Self::CertificateInvalid => "CERTIFICATE_INVALID",
            Self::CertificateUnknown => "CERTIFICATE_UNKNOWN",
            Self::CertificateExpired => "CERTIFICATE_EXPIRED",
            Self::CertificateRevoked => "CERTIFICATE_REVOKED",
            Self::NodeNotFound => "NODE_NOT_FOUND",
            Self::Busy => "BUSY",
            Self::Revocation(_) => "REVOCATION_UNWRITABLE",
            Self::Signing(_) => "SIGNING_FAILED",
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::RequestInvalid(error) => vec![Violation::new(
                "certificate_request",
                "INVALID_REQUEST",
                error.to_string(),
            )],
            _ => Vec::new(),
        }
    }
}
