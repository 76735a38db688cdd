//! Every reason that the API gives, for the reference documentation, and those of the store.

use baetyl_service_kit::fault::Code;

/// A reason, its gRPC code, and who should do what about it.
pub type Reason = (&'static str, Code, &'static str);

/// Every reason that the resources, tokens and the store give.
pub fn reasons() -> &'static [Reason] {
    REASONS
}

const REASONS: &[Reason] = &[
    (
        "FIELD_VIOLATION",
        Code::InvalidArgument,
        "the caller corrects every field that is named",
    ),
    (
        "REQUEST_ID_REUSED",
        Code::InvalidArgument,
        "the caller draws a new request id",
    ),
    (
        "TOKEN_MISSING",
        Code::Unauthenticated,
        "the caller sends `authorization: Bearer …`",
    ),
    (
        "TOKEN_INVALID",
        Code::Unauthenticated,
        "the caller gets a token from an operator",
    ),
    (
        "TOKEN_EXPIRED",
        Code::Unauthenticated,
        "the caller gets a new token from an operator",
    ),
    (
        "NAMESPACE_FORBIDDEN",
        Code::PermissionDenied,
        "the caller uses a token of that namespace",
    ),
    (
        "ALL_NAMESPACES_NEEDED",
        Code::PermissionDenied,
        "the caller uses a token for all namespaces",
    ),
    (
        "RESOURCE_NOT_FOUND",
        Code::NotFound,
        "the caller checks the name",
    ),
    (
        "NAMESPACE_NOT_FOUND",
        Code::NotFound,
        "an operator creates the namespace",
    ),
    (
        "TOKEN_NOT_FOUND",
        Code::NotFound,
        "the caller checks the name",
    ),
    (
        "REVISION_NOT_FOUND",
        Code::NotFound,
        "the caller lists the revisions that are kept",
    ),
    (
        "RESOURCE_EXISTS",
        Code::AlreadyExists,
        "the caller updates it, or chooses another name",
    ),
    (
        "ETAG_MISMATCH",
        Code::Aborted,
        "the caller reads again and decides again",
    ),
    (
        "CONTENDED",
        Code::Aborted,
        "the caller tries again after a while",
    ),
    (
        "MISSING_REFERENCE",
        Code::FailedPrecondition,
        "the caller creates the inputs first, or applies them in the same set",
    ),
    (
        "IN_USE",
        Code::FailedPrecondition,
        "the caller changes the users first, or sets force",
    ),
    (
        "NAMESPACE_NOT_EMPTY",
        Code::FailedPrecondition,
        "the caller deletes what it holds, or sets force",
    ),
    (
        "RESUME_TOKEN_EXPIRED",
        Code::OutOfRange,
        "the caller lists again and watches from there",
    ),
    (
        "SHUTTING_DOWN",
        Code::Unavailable,
        "the caller connects again and resumes",
    ),
    (
        "STORE_UNWRITABLE",
        Code::Unavailable,
        "an operator makes room or mends the disk; the caller tries again",
    ),
    (
        "STORE_UNAVAILABLE",
        Code::Unavailable,
        "the caller tries again after a while",
    ),
    (
        "STORE_CORRUPT",
        Code::DataLoss,
        "an operator restores a backup, or starts the newer program",
    ),
];
