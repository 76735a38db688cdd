//! Durations with bounds and a default.

use std::time::Duration;

use crate::violation::{Check, Path, reason};

/// What a duration may be, both ends included, and what it is when nothing is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
    pub(crate) default: Duration,
}

/// What a duration may be, both ends included; there is no default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

/// Checks the limits of a duration that may be absent, and writes the canonical form.
pub(crate) fn check(
    field: &mut Option<prost_types::Duration>,
    limits: Limits,
    path: &Path,
    check: &mut Check,
) {
    if field.is_some() {
        let Limits { least, most } = limits;
        let bounds = Bounds {
            least,
            most,
            default: least,
        };
        normalise(field, bounds, path, check);
    }
}

/// Fills the default, checks the bounds, and writes the canonical form.
pub(crate) fn normalise(
    field: &mut Option<prost_types::Duration>,
    bounds: Bounds,
    path: &Path,
    check: &mut Check,
) {
    let duration = match *field {
        None => Ok(bounds.default),
        Some(duration) => Duration::try_from(duration),
    };
    let Bounds { least, most, .. } = bounds;
    match duration {
        Ok(duration) if (least..=most).contains(&duration) => *field = canonical(duration),
        // Negative ones do not convert.
        _ => {
            let description = format!("must be {least:?} to {most:?}");
            check.add(path, reason::OUT_OF_BOUNDS, description);
        }
    }
}

fn canonical(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}
