//! The names of fields in core's logs that the kit does not know.

pub(crate) use baetyl_service_kit::telemetry::field::{ATTEMPT, ERROR};

/// Identity of a sync session, given by the cloud.
pub(crate) const SESSION_ID: &str = "session.id";
/// Epoch and generation of a desired state.
pub(crate) const FENCE: &str = "desired.fence";
/// Name of the node.
pub(crate) const NODE_NAME: &str = "node.name";
/// Name of an application.
pub(crate) const APP_NAME: &str = "app.name";
