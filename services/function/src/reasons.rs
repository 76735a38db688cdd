//! Every reason that this service's API gives, for the reference documentation.

use baetyl_service_kit::fault::Code;

#[cfg(test)]
mod tests;

/// A reason, its gRPC code, and who should do what about it.
pub type Reason = (&'static str, Code, &'static str);

/// Every reason that invocations, runtimes and routes give.
#[rustfmt::skip]
pub const REASONS: &[Reason] = &[
    ("FIELD_VIOLATION", Code::InvalidArgument, "the caller corrects every field that is named"),
    ("CREDENTIALS_MISSING", Code::Unauthenticated, "the caller shows the edge token or a certificate of the node"),
    ("TOKEN_INVALID", Code::Unauthenticated, "the caller reads the edge token anew from its file"),
    ("CERTIFICATE_INVALID", Code::Unauthenticated, "the caller uses a certificate that core made"),
    ("PERMISSION_DENIED", Code::PermissionDenied, "the caller does this with the certificate of the service concerned"),
    ("FUNCTION_NOT_FOUND", Code::NotFound, "the caller checks the names: `ListFunctions`"),
    ("NO_RUNTIME", Code::Unavailable, "the caller tries again; an operator looks at the application when it stays so"),
    ("OVERLOADED", Code::ResourceExhausted, "the caller tries again after the time in the details; an operator raises the concurrency"),
    ("FUNCTION_TIMEOUT", Code::DeadlineExceeded, "the author makes the function faster, or the caller waits longer"),
    ("CALL_CANCELLED", Code::Cancelled, "nobody: the caller gave the call up"),
    ("FUNCTION_RAISED", Code::Unknown, "the author of the function reads type, message and stack in the details"),
    ("RUNTIME_DIED", Code::Unavailable, "the caller tries again where repeating is safe: the call may have run"),
    ("RESULT_NOT_ENCODABLE", Code::Internal, "the author returns what the runtime can encode"),
    ("RESULT_TOO_LARGE", Code::Internal, "the author returns less, or yields it in several values"),
    ("HANDLER_NOT_FOUND", Code::Internal, "the author corrects the name of the handler"),
    ("CODE_NOT_LOADED", Code::Internal, "the author reads why in the message"),
    ("OUT_OF_MEMORY", Code::Internal, "the author uses less memory, or raises the limit"),
    ("PROTOCOL_ERROR", Code::Internal, "the author of the runtime corrects it"),
    ("RUNTIME_FAILED", Code::Internal, "an operator reads the log of the application"),
    ("STALE_ROUTES", Code::FailedPrecondition, "core sends the table with a higher generation"),
    ("ROUTES_NOT_STORED", Code::Internal, "an operator makes room or mends the disk; core sends the table again"),
    ("SUPERSEDED", Code::FailedPrecondition, "nobody: a later start of the same instance is registered"),
    ("TOO_MANY_RUNTIMES", Code::ResourceExhausted, "an operator takes registrations back"),
    ("LEASE_NOT_FOUND", Code::NotFound, "nobody: the lease is over already"),
    ("SHUTTING_DOWN", Code::Unavailable, "the caller tries again after a while"),
];
