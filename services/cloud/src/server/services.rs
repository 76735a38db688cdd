//! The services of the API listener that need a bearer token.

use std::sync::Arc;
use std::time::SystemTime;

use baetyl_service_kit::serve::Grpc;

use crate::api::{self, Api};
use crate::operations::Operations;
use crate::status::Reader;
use crate::sync::Parts;

/// Adds them.
pub(super) fn add(grpc: Grpc, parts: &Parts, nodes: Operations, status: Reader) -> Grpc {
    let parts = api::Parts {
        store: Arc::clone(&parts.store),
        nodes: Arc::new(nodes),
        status: Arc::new(status),
        impact: parts.matching.clone(),
        shutdown: parts.shutdown.clone(),
    };
    Api::new(parts, SystemTime::now()).add_to(grpc)
}
