//! What the tests share: an authority, a node, a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::{Authority, Issued, Name, Profile, PublicKey, Validity};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Some time in 2026, on a whole second.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub(crate) fn days(count: u32) -> Validity {
    Validity {
        now: now(),
        lifetime: DAY * count,
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

pub(crate) fn uid() -> Uuid {
    Uuid::from_u128(0x7f3c_1c52_6f0e_4c11_9d42_0f0a_3a5a_9f10)
}

/// An authority for ten years.
pub(crate) fn authority() -> Authority {
    let trust_domain = "test.baetyl".parse().expect("a valid trust domain");
    Authority::create("test authority", &trust_domain, days(3650)).expect("a valid authority")
}

pub(crate) fn node() -> Profile {
    Profile::node(name("default"), name("demo"), uid())
}

/// The node `default/demo`, for 30 days.
pub(crate) fn issued_node(authority: &Authority, public_key: &PublicKey) -> Issued {
    authority
        .issue(public_key, &node(), days(30))
        .expect("a valid certificate")
}
