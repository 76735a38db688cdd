//! The route of a function service: what of its application gets calls, and what waits.

use std::time::Duration;

use baetyl_proto::function::v1::Route;

/// What of an application a route leads to; the default leads nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routed {
    pub(crate) revision: u64,
    /// What its runtimes call their release when they attach; empty for any.
    pub(crate) release: String,
}

impl Routed {
    /// Whatever runs of a revision.
    pub(crate) fn any_of(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }
}

/// A function service that can be called.
pub(crate) struct Routable<'a> {
    pub(crate) application: &'a str,
    pub(crate) service: &'a str,
    /// Names of its functions, the default one first.
    pub(crate) functions: Vec<String>,
    pub(crate) timeout: Duration,
}

impl Routable<'_> {
    /// Its route, with what waits to become active.
    pub(crate) fn route(self, active: &Routed, standby: &Routed) -> Route {
        Route {
            application: self.application.to_owned(),
            service: self.service.to_owned(),
            active_revision: active.revision,
            active_release: active.release.clone(),
            standby_revision: standby.revision,
            standby_release: standby.release.clone(),
            functions: self.functions,
            timeout: prost_types::Duration::try_from(self.timeout).ok(),
            queue_limit: 0,
        }
    }
}
