//! The named places of core where a test can kill the process; see [`baetyl_engine::crash`].

pub(crate) use baetyl_engine::crash::point;

/// The places of core.
pub const POINTS: [&str; 3] = [
    "before_accept_persist",
    "after_accept_persist",
    "before_acknowledge",
];
