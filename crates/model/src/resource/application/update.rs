//! How a new revision replaces the old one.

use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use crate::duration::{self, Bounds};
use crate::violation::{Check, Path, reason};

const SOAK: Bounds = Bounds {
    least: Duration::ZERO,
    most: Duration::from_secs(3600),
    default: Duration::ZERO,
};

const DEADLINE: Bounds = Bounds {
    least: Duration::from_secs(1),
    most: Duration::from_secs(3600),
    default: Duration::from_secs(60),
};

pub(super) fn normalise(update: &mut pb::UpdateStrategy, path: &Path, check: &mut Check) {
    duration::normalise(&mut update.soak, SOAK, &path.field("soak"), check);
    duration::normalise(
        &mut update.deadline,
        DEADLINE,
        &path.field("deadline"),
        check,
    );
    update.rollback.get_or_insert(true);
    let soak = update.soak.map(Duration::try_from);
    let deadline = update.deadline.map(Duration::try_from);
    if let (Some(Ok(soak)), Some(Ok(deadline))) = (soak, deadline)
        && soak >= deadline
    {
        let description = format!("must be shorter than the deadline, {deadline:?}");
        check.add(&path.field("soak"), reason::OUT_OF_BOUNDS, description);
    }
}
