//! What can go wrong with the store.

use std::io;

use baetyl_pki::SealError;
use baetyl_service_kit::fault::{Code, Fault};
use baetyl_shadow::Digest;

/// The store could not do its work, or refused an offer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the file open.
    #[error("another process uses the store")]
    Locked,
    /// The storage failed: the disk is full, broken or gone.
    #[error("the storage failed")]
    Storage(#[source] Box<redb::Error>),
    /// The file could not be made or opened.
    #[error("the file of the store cannot be used")]
    File(#[from] io::Error),
    /// A newer program wrote the store.
    #[error("a newer program wrote the store")]
    FormatUnknown,
    /// A value is not what was written.
    #[error("the stored {what} cannot be read")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
    /// What is sealed cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// An offered document is not acceptable.
    #[error("the desired document is not acceptable: {why}")]
    DocumentInvalid {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A body that the document needs was not given, or is another one.
    #[error("the body {0} is missing")]
    BodyMissing(Digest),
    /// The work panicked; what it was is in the log.
    #[error("the work on the store was interrupted")]
    Interrupted,
}

impl StoreError {
    pub(super) fn corrupt(what: &'static str) -> Self {
        Self::Corrupt { what }
    }

    fn storage(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            other => Self::Storage(Box::new(other)),
        }
    }
}

impl Fault for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Locked => Code::FailedPrecondition,
            Self::Storage(_) | Self::File(_) | Self::Interrupted => Code::Internal,
            Self::FormatUnknown => Code::FailedPrecondition,
            Self::Corrupt { .. } => Code::DataLoss,
            Self::Seal(_) => Code::Internal,
            Self::DocumentInvalid { .. } | Self::BodyMissing(_) => Code::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Locked => "STORE_LOCKED",
            Self::Storage(_) | Self::File(_) | Self::Interrupted => "STORE_FAILED",
            Self::FormatUnknown => "STORE_VERSION_UNKNOWN",
            Self::Corrupt { .. } => "STORE_CORRUPT",
            Self::Seal(error) => error.reason(),
            Self::DocumentInvalid { .. } => "DESIRED_INVALID",
            Self::BodyMissing(_) => "BODY_MISSING",
        }
    }
}

/// redb has an error type for each call; to us they are all one.
macro_rules! from_redb {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::storage(error.into())
            }
        })+
    };
}

from_redb!(
    CommitError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);
