//! A tenant: it has nothing but what all kinds have.

use baetyl_proto::resource::v1 as pb;

use super::{Rules, resource};
use crate::id::Kind;
use crate::violation::Check;

resource!(
    /// A checked tenant.
    Namespace,
    pb::Namespace
);

impl Rules for pb::Namespace {
    const KIND: Kind = Kind::Namespace;

    fn normalise(&mut self, _before: Option<&Self>, _check: &mut Check) {}
}
