//! Why a request is refused: one error for everything that the API does.

use baetyl_model::{Kind, Name, NamespaceName, Violation};
use baetyl_service_kit::fault::{Code, Fault, InvalidArgument, Precondition, Resource};

use crate::seam::BoxFault;
use crate::store::{Key, StoreError};

mod reasons;

pub use reasons::{Reason, reasons};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fields are wrong, all of them named.
    #[error(transparent)]
    Invalid(#[from] InvalidArgument),
    /// There is no bearer token.
    #[error("a bearer token is needed")]
    TokenMissing,
    /// The token is malformed, was never made here, or was revoked.
    #[error("the bearer token is not known here")]
    TokenInvalid,
    /// The token's time is over.
    #[error("the bearer token has expired")]
    TokenExpired,
    /// The token is good for another tenant.
    #[error("the token is not good for namespace {0:?}")]
    NamespaceForbidden(String),
    /// Only a token for all tenants may do this.
    #[error("this needs a token for all namespaces")]
    AllNamespacesNeeded,
    /// There is no such resource.
    #[error("{} {name:?} does not exist", kind.word())]
    NotFound {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// There is no such tenant.
    #[error("namespace {0:?} does not exist")]
    NamespaceNotFound(NamespaceName),
    /// There is no such token.
    #[error("token {0:?} does not exist")]
    TokenNotFound(String),
    /// The revision was dropped or never made.
    #[error("revision {revision} of {key} does not exist")]
    RevisionNotFound {
        /// Of which resource.
        key: Key,
        /// Which one.
        revision: u64,
    },
    /// The name is taken.
    #[error("{} {name:?} exists already", kind.word())]
    AlreadyExists {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// The name of a token is taken.
    #[error("token {0:?} exists already")]
    TokenExists(String),
    /// The request id came with another body before.
    #[error("the request id was used for something else")]
    RequestIdReused,
    /// Somebody changed the resource in the meantime.
    #[error("{key} was changed since it was read")]
    EtagMismatch {
        /// Which resource.
        key: Key,
    },
    /// Others write the same resource all the time.
    #[error("the same resources are written all the time; try again")]
    Contended,
    /// Inputs do not exist.
    #[error("{}", missing(.0))]
    MissingReference(Vec<Missing>),
    /// Others use the resource.
    #[error("{key} is in use by {}", listed(.users))]
    InUse {
        /// Which resource.
        key: Key,
        /// Who uses it, sorted.
        users: Vec<Key>,
    },
    /// The tenant still has resources.
    #[error("namespace {namespace:?} is not empty: {}", counted(.holds))]
    NamespaceNotEmpty {
        /// Which one.
        namespace: NamespaceName,
        /// What it holds.
        holds: Vec<(Kind, usize)>,
    },
    /// What happened since is not known any more, or is of another store.
    #[error("the resume token is too old or of another store; list again")]
    ResumeTokenExpired,
    /// This process is ending.
    #[error("the server is shutting down; connect again")]
    ShuttingDown,
    /// A stored body is not what it should be.
    #[error("what is stored under {key} cannot be read")]
    Unreadable {
        /// Which resource.
        key: Key,
        /// Why.
        source: baetyl_model::BodyError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Another part of the control plane refused.
    #[error("{0}")]
    Other(BoxFault),
}

/// An input that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Who refers to it.
    pub user: Key,
    /// What is missing.
    pub input: Key,
}

impl Error {
    /// One wrong field.
    pub(crate) fn field(field: &str, reason: &'static str, description: impl Into<String>) -> Self {
        Self::violations(vec![Violation::new(field, reason, description)])
    }

    /// Wrong fields.
    pub(crate) fn violations(violations: Vec<Violation>) -> Self {
        Self::Invalid(InvalidArgument { violations })
    }

    pub(crate) fn not_found(key: &Key) -> Self {
        Self::NotFound {
            kind: key.kind,
            name: key.name.to_string(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Precondition(_) => Self::Contended,
            StoreError::Compacted { .. } => Self::ResumeTokenExpired,
            StoreError::Unwritable(_) | StoreError::Corrupt(_) | StoreError::Unavailable(_) => {
                Self::Store(error)
            }
        }
    }
}

impl From<BoxFault> for Error {
    fn from(fault: BoxFault) -> Self {
        Self::Other(fault)
    }
}

fn missing(all: &[Missing]) -> String {
    let Some(first) = all.first() else {
        return "an input does not exist".to_owned();
    };
    let kind = first.input.kind.word();
    let text = format!("{kind} {:?} does not exist", first.input.name.as_str());
    match all.len() {
        1 => text,
        count => format!("{count} inputs do not exist, the first: {text}"),
    }
}

/// The most names that stand in a message; details have more of them.
const NAMED: usize = 3;

fn listed(users: &[Key]) -> String {
    let name = |key: &Key| format!("{} {:?}", key.kind.word(), key.name.as_str());
    let names: Vec<String> = users.iter().take(NAMED).map(name).collect();
    let names = names.join(", ");
    match users.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn counted(holds: &[(Kind, usize)]) -> String {
    let counts: Vec<String> = holds
        .iter()
        .map(|(kind, count)| format!("{count} of kind {}", kind.word()))
        .collect();
    counts.join(", ")
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::RequestIdReused => Code::InvalidArgument,
            Self::TokenMissing | Self::TokenInvalid | Self::TokenExpired => Code::Unauthenticated,
            Self::NamespaceForbidden(_) | Self::AllNamespacesNeeded => Code::PermissionDenied,
            Self::NotFound { .. }
            | Self::NamespaceNotFound(_)
            | Self::TokenNotFound(_)
            | Self::RevisionNotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } | Self::TokenExists(_) => Code::AlreadyExists,
            Self::EtagMismatch { .. } | Self::Contended => Code::Aborted,
            Self::MissingReference(_) | Self::InUse { .. } | Self::NamespaceNotEmpty { .. } => {
                Code::FailedPrecondition
            }
            Self::ResumeTokenExpired => Code::OutOfRange,
            Self::ShuttingDown => Code::Unavailable,
            Self::Unreadable { .. } => Code::DataLoss,
            Self::Store(error) => error.code(),
            Self::Other(fault) => fault.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::TokenMissing => "TOKEN_MISSING",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::NamespaceForbidden(_) => "NAMESPACE_FORBIDDEN",
            Self::AllNamespacesNeeded => "ALL_NAMESPACES_NEEDED",
            Self::NotFound { .. } => "RESOURCE_NOT_FOUND",
            Self::NamespaceNotFound(_) => "NAMESPACE_NOT_FOUND",
            Self::TokenNotFound(_) => "TOKEN_NOT_FOUND",
            Self::RevisionNotFound { .. } => "REVISION_NOT_FOUND",
            Self::AlreadyExists { .. } | Self::TokenExists(_) => "RESOURCE_EXISTS",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::Contended => "CONTENDED",
            Self::MissingReference(_) => "MISSING_REFERENCE",
            Self::InUse { .. } => "IN_USE",
            Self::NamespaceNotEmpty { .. } => "NAMESPACE_NOT_EMPTY",
            Self::ResumeTokenExpired => "RESUME_TOKEN_EXPIRED",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Unreadable { .. } => "STORE_CORRUPT",
            Self::Store(error) => error.reason(),
            Self::Other(fault) => fault.reason(),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NamespaceNotEmpty { holds, .. } => holds
                .iter()
                .map(|(kind, count)| (kind.word(), count.to_string()))
                .collect(),
            Self::Other(fault) => fault.metadata(),
            _ => Vec::new(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations.clone(),
            Self::RequestIdReused => {
                vec![Violation::new("requestId", self.reason(), self.to_string())]
            }
            Self::Other(fault) => fault.violations(),
            _ => Vec::new(),
        }
    }

    fn preconditions(&self) -> Vec<Precondition> {
        match self {
            Self::MissingReference(all) => all.iter().map(missing_precondition).collect(),
            Self::InUse { key, users } => users
                .iter()
                .map(|user| in_use_precondition(key, user))
                .collect(),
            Self::NamespaceNotEmpty { namespace, .. } => vec![Precondition {
                kind: "NOT_EMPTY".to_owned(),
                subject: namespace.to_string(),
                description: "delete what it holds, or set force".to_owned(),
            }],
            Self::Other(fault) => fault.preconditions(),
            _ => Vec::new(),
        }
    }

    fn resource(&self) -> Option<Resource> {
        let of_key = |key: &Key| Resource {
            kind: key.kind.title().to_owned(),
            name: format!("{}/{}", key.namespace, key.name),
        };
        let named = |kind: &str, name: &str| Resource {
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        match self {
            Self::NotFound { kind, name } => Some(named(kind.title(), name)),
            Self::AlreadyExists { kind, name } => Some(named(kind.title(), name.as_str())),
            Self::NamespaceNotFound(namespace) | Self::NamespaceNotEmpty { namespace, .. } => {
                Some(named("Namespace", namespace.as_str()))
            }
            Self::TokenNotFound(name) | Self::TokenExists(name) => Some(named("Token", name)),
            Self::RevisionNotFound { key, .. }
            | Self::EtagMismatch { key }
            | Self::InUse { key, .. } => Some(of_key(key)),
            Self::MissingReference(all) => all.first().map(|first| of_key(&first.input)),
            Self::Other(fault) => fault.resource(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Other(fault) => fault.retry_after(),
            _ => None,
        }
    }
}

fn missing_precondition(missing: &Missing) -> Precondition {
    let Missing { user, input } = missing;
    Precondition {
        kind: "MISSING_REFERENCE".to_owned(),
        subject: input.to_string(),
        description: format!("{user} refers to it and it does not exist"),
    }
}

fn in_use_precondition(key: &Key, user: &Key) -> Precondition {
    Precondition {
        kind: "IN_USE".to_owned(),
        subject: user.to_string(),
        description: format!("refers to {key}"),
    }
}

#[cfg(test)]
mod tests;
