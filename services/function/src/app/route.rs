//! Routes: where calls of a service go. Whole tables, checked before they are taken.

use std::collections::HashSet;
use std::time::Duration;

use baetyl_service_kit::fault::{InvalidArgument, Violation};
use serde::{Deserialize, Serialize};

use self::stored::StoredRoute;
use super::release::{self, Release};

mod stored;

/// Most routes in a table.
pub const MAX_ROUTES: usize = 4096;
/// Most functions of one service.
pub const MAX_FUNCTIONS: usize = 256;
/// Most calls that may wait for one service.
pub const MAX_QUEUE: u32 = 65_536;
/// The timeout of a route that names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest timeout of a route.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

const MAX_NAME_BYTES: usize = 63;
const MAX_FUNCTION_NAME_BYTES: usize = 128;

/// Where calls of one service go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRoute", into = "StoredRoute")]
pub struct Route {
    /// Name of the application; empty for a service that was registered by address only.
    pub application: String,
    /// Name of the service, unique on the node.
    pub service: String,
    /// Release whose runtimes get the calls.
    pub active: Release,
    /// Release whose runtimes may attach and wait for its promotion. It may be of the active
    /// revision: then only the labels tell the two apart.
    pub standby: Option<Release>,
    /// Names of the functions, the first one is the default; none leaves it to the runtimes.
    pub functions: Vec<String>,
    /// The longest that a call may take, at least 1 ms.
    pub timeout: Duration,
    /// Calls that may wait; `None` for the proxy's own limit.
    pub queue_limit: Option<u32>,
}

impl Route {
    /// The unambiguous name, `application.service`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.application, self.service)
    }

    /// Whether runtimes of a release may attach.
    #[must_use]
    pub fn admits(&self, release: &Release) -> bool {
        let mut routed = std::iter::once(&self.active).chain(&self.standby);
        routed.any(|each| each.matches(release))
    }

    fn check(&self, at: &str, violations: &mut Vec<Violation>) {
        for (field, name) in [
            ("application", &self.application),
            ("service", &self.service),
        ] {
            if !is_name(name) {
                violations.push(Violation::new(
                    format!("{at}.{field}"),
                    "NAME",
                    "must be 1 to 63 of a-z, 0-9, - and ., a letter or digit at both ends",
                ));
            }
        }
        let standby = self.standby.as_ref();
        for (field, routed) in [
            ("active_release", Some(&self.active)),
            ("standby_release", standby),
        ] {
            if routed.is_some_and(|routed| !release::is_label(&routed.label)) {
                let description =
                    format!("must have at most {} characters", release::MAX_LABEL_BYTES);
                violations.push(Violation::new(
                    format!("{at}.{field}"),
                    "OUT_OF_BOUNDS",
                    description,
                ));
            }
        }
        check_functions(
            self.functions.iter(),
            &format!("{at}.functions"),
            violations,
        );
        if self.timeout < Duration::from_millis(1) || self.timeout > MAX_TIMEOUT {
            let field = format!("{at}.timeout");
            violations.push(Violation::new(
                field,
                "OUT_OF_BOUNDS",
                "must be between 1 ms and 24 h",
            ));
        }
        if self.queue_limit.is_some_and(|limit| limit > MAX_QUEUE) {
            let field = format!("{at}.queue_limit");
            let description = format!("must be at most {MAX_QUEUE}");
            violations.push(Violation::new(field, "OUT_OF_BOUNDS", description));
        }
    }
}

/// Checks names of functions: at most 256, unique, 1 to 128 of letters, digits, `_`, `-`, `.`.
pub fn check_functions<'a>(
    names: impl Iterator<Item = &'a String>,
    at: &str,
    violations: &mut Vec<Violation>,
) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        let field = || format!("{at}[{index}]");
        if index == MAX_FUNCTIONS {
            let description = format!("must have at most {MAX_FUNCTIONS} entries");
            violations.push(Violation::new(at, "TOO_MANY", description));
            return;
        }
        if !is_function_name(name) {
            let description = "must be 1 to 128 of letters, digits, _, - and .";
            violations.push(Violation::new(field(), "NAME", description));
        } else if !seen.insert(name) {
            violations.push(Violation::new(
                field(),
                "DUPLICATE",
                format!("{name:?} is there twice"),
            ));
        }
    }
}

/// Whether a text can name an application or a service.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME_BYTES
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'.'))
}

/// Whether a text can name a function.
#[must_use]
pub fn is_function_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=MAX_FUNCTION_NAME_BYTES).contains(&text.len()) && text.bytes().all(inner)
}

/// A whole table as core sets it and as it lies on disk; always valid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct RouteSet {
    generation: u64,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Unchecked {
    generation: u64,
    routes: Vec<Route>,
}

impl TryFrom<Unchecked> for RouteSet {
    type Error = InvalidArgument;

    fn try_from(set: Unchecked) -> Result<Self, InvalidArgument> {
        Self::try_new(set.generation, set.routes)
    }
}

/// The table is older than the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("generation {offered} is older than {present}, which is in force")]
pub struct StaleRoutes {
    /// What was offered.
    pub offered: u64,
    /// What is in force.
    pub present: u64,
}

impl RouteSet {
    /// Checks a table.
    ///
    /// # Errors
    /// Every violation: too many routes, wrong names and bounds, services or full names that are
    /// there twice.
    pub fn try_new(generation: u64, routes: Vec<Route>) -> Result<Self, InvalidArgument> {
        let mut violations = Vec::new();
        if routes.len() > MAX_ROUTES {
            let description = format!("must have at most {MAX_ROUTES} entries");
            violations.push(Violation::new("routes", "TOO_MANY", description));
            return Err(InvalidArgument { violations });
        }
        let mut services = HashSet::new();
        let mut full_names = HashSet::new();
        for (index, route) in routes.iter().enumerate() {
            let at = format!("routes[{index}]");
            route.check(&at, &mut violations);
            let is_new = services.insert(route.service.as_str());
            // Dots in names let two pairs spell the same full name.
            if !full_names.insert(route.full_name()) || !is_new {
                let description = format!("{:?} is there twice", route.service);
                violations.push(Violation::new(
                    format!("{at}.service"),
                    "DUPLICATE",
                    description,
                ));
            }
        }
        InvalidArgument::check(violations)?;
        Ok(Self { generation, routes })
    }

    /// Orders tables.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The routes, in the order in which they were set.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether this table may take the place of `present`: an equal generation may, since core
    /// repeats itself after it was restarted.
    ///
    /// # Errors
    /// The generation is lower.
    pub fn replaces(&self, present: &Self) -> Result<(), StaleRoutes> {
        if self.generation < present.generation {
            return Err(StaleRoutes {
                offered: self.generation,
                present: present.generation,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
