//! A route as it lies on disk: flat, so that tables from before releases had labels are read, and
//! a program of that time reads those of now.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Route;
use crate::app::release::Release;

#[derive(Serialize, Deserialize)]
pub(super) struct StoredRoute {
    application: String,
    service: String,
    active_revision: u64,
    #[serde(default)]
    active_release: String,
    #[serde(default)]
    standby_revision: Option<u64>,
    #[serde(default)]
    standby_release: String,
    #[serde(default)]
    functions: Vec<String>,
    timeout: Duration,
    #[serde(default)]
    queue_limit: Option<u32>,
}

impl From<StoredRoute> for Route {
    fn from(stored: StoredRoute) -> Self {
        let label = stored.standby_release;
        Self {
            application: stored.application,
            service: stored.service,
            active: Release {
                revision: stored.active_revision,
                label: stored.active_release,
            },
            standby: stored
                .standby_revision
                .map(|revision| Release { revision, label }),
            functions: stored.functions,
            timeout: stored.timeout,
            queue_limit: stored.queue_limit,
        }
    }
}

impl From<Route> for StoredRoute {
    fn from(route: Route) -> Self {
        let (standby_revision, standby_release) = match route.standby {
            Some(standby) => (Some(standby.revision), standby.label),
            None => (None, String::new()),
        };
        Self {
            application: route.application,
            service: route.service,
            active_revision: route.active.revision,
            active_release: route.active.label,
            standby_revision,
            standby_release,
            functions: route.functions,
            timeout: route.timeout,
            queue_limit: route.queue_limit,
        }
    }
}
