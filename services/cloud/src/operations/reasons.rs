//! Every reason that activation, the sync line and the operations on nodes give.

use baetyl_service_kit::fault::Code;

use crate::error::Reason;

/// Every reason that activation, the sync line and the operations on nodes give.
pub const REASONS: &[Reason] = &[
    (
        "TOKEN_INVALID",
        Code::Unauthenticated,
        "an operator makes a join token: `baetyl node add`",
    ),
    (
        "TOKEN_EXPIRED",
        Code::Unauthenticated,
        "an operator makes a new join token",
    ),
    (
        "TOKEN_REUSED",
        Code::PermissionDenied,
        "an operator finds out which device used the token, and makes another one",
    ),
    (
        "PROOF_INVALID",
        Code::PermissionDenied,
        "the device signs the request with the key of its certificate",
    ),
    (
        "CERTIFICATE_MISSING",
        Code::Unauthenticated,
        "the device shows its client certificate",
    ),
    (
        "CERTIFICATE_INVALID",
        Code::PermissionDenied,
        "the device joins this installation first",
    ),
    (
        "CERTIFICATE_UNKNOWN",
        Code::PermissionDenied,
        "the device renews its certificate: the store was restored from a backup",
    ),
    (
        "CERTIFICATE_EXPIRED",
        Code::PermissionDenied,
        "an operator makes a join token, the device joins again",
    ),
    (
        "CERTIFICATE_REVOKED",
        Code::PermissionDenied,
        "an operator decides whether the device may join again",
    ),
    (
        "NODE_NOT_FOUND",
        Code::PermissionDenied,
        "an operator adds the node, the device joins again",
    ),
    (
        "NODE_OFFLINE",
        Code::Unavailable,
        "the caller waits until the node is online",
    ),
    (
        "NOT_REFERENCED",
        Code::PermissionDenied,
        "the node waits for its newest desired state",
    ),
    (
        "BODY_GONE",
        Code::NotFound,
        "the node waits for its newest desired state",
    ),
    (
        "OFFSET_OUT_OF_RANGE",
        Code::OutOfRange,
        "the node begins the body again",
    ),
    (
        "APPLICATION_NOT_DESIRED",
        Code::FailedPrecondition,
        "the caller checks the selector of the application",
    ),
    (
        "APPLICATION_NOT_FOUND",
        Code::NotFound,
        "the caller checks the name",
    ),
    (
        "SERVICE_NOT_FOUND",
        Code::NotFound,
        "the caller checks the name",
    ),
    (
        "CHANNEL_LIMIT",
        Code::ResourceExhausted,
        "the caller closes a log stream of the node",
    ),
    (
        "CHANNEL_BROKEN",
        Code::Unavailable,
        "the caller tries again; an operator updates the node",
    ),
    (
        "CHANNEL_ENDED",
        Code::Unknown,
        "the caller reads the message; `node-reason` is the node's own word",
    ),
    (
        "UNIMPLEMENTED",
        Code::Unimplemented,
        "an operator updates the node",
    ),
    (
        "BUSY",
        Code::Unavailable,
        "the caller tries again after a while",
    ),
    (
        "REVOCATION_UNWRITABLE",
        Code::Internal,
        "an operator makes room or mends the disk; the caller tries again",
    ),
    (
        "SIGNING_FAILED",
        Code::Internal,
        "an operator reads the log",
    ),
    (
        "RESOURCE_UNREADABLE",
        Code::Internal,
        "an operator reads the log",
    ),
];
