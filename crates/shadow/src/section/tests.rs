//! The laws of sections: a delta brings the other side to the same digest.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{MAX_ENTRIES, MAX_KEY_BYTES, Section, SectionDelta, delta};
use crate::arbitrary::sections;
use crate::{Digest, Error};

fn section(entries: &[(&str, &str)]) -> Section {
    let mut section = Section::new();
    for (key, body) in entries {
        section.insert(key, Digest::of(body.as_bytes())).unwrap();
    }
    section
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn when_the_delta_is_applied_then_the_digests_agree(a in sections(), b in sections()) {
        let mut held = a.clone();
        held.apply(&delta(&a, &b)).unwrap();

        prop_assert_eq!(held.digest(), b.digest());
        prop_assert_eq!(held, b);
    }

    #[test]
    fn when_both_ends_are_equal_then_the_delta_is_empty(a in sections()) {
        prop_assert!(delta(&a, &a).is_empty());
    }

    #[test]
    fn when_the_delta_is_applied_twice_then_it_is_as_once(a in sections(), b in sections()) {
        let change = delta(&a, &b);
        let mut held = a;
        held.apply(&change).unwrap();
        held.apply(&change).unwrap();

        prop_assert_eq!(held, b);
    }

    #[test]
    fn when_digests_agree_then_sections_are_equal(a in sections(), b in sections()) {
        prop_assert_eq!(a.digest() == b.digest(), a == b);
    }

    /// Reports are lost at will; each is computed from the last acknowledged
    /// end, and after the first that arrives both sides agree.
    #[test]
    fn when_reports_are_lost_then_the_next_one_makes_up_for_it(
        states in proptest::collection::vec((sections(), any::<bool>()), 1..8),
    ) {
        let mut cloud = Section::new();
        let mut acknowledged = Section::new();
        for (now, arrives) in states {
            let report = delta(&acknowledged, &now);
            if arrives {
                cloud.apply(&report).unwrap();
                acknowledged = now.clone();
                prop_assert_eq!(cloud.digest(), now.digest());
            }
        }
    }

    #[test]
    fn when_a_delta_names_an_entry_then_it_needs_to(a in sections(), b in sections()) {
        let change = delta(&a, &b);

        for (key, digest) in &change.changed {
            prop_assert_eq!(b.get(key), Some(digest));
            prop_assert_ne!(a.get(key), Some(digest));
        }
        for key in &change.removed {
            prop_assert!(a.get(key).is_some() && b.get(key).is_none());
        }
    }
}

/// A delta is not a state: applied to another end than it was computed from,
/// it leads elsewhere, and the digest tells.
#[test]
fn when_the_ends_differ_then_the_digest_tells() {
    let acknowledged = section(&[("a", "1"), ("b", "1")]);
    let now = section(&[("a", "1"), ("b", "2")]);
    let mut lost_its_store = Section::new();

    lost_its_store.apply(&delta(&acknowledged, &now)).unwrap();

    assert_ne!(lost_its_store.digest(), now.digest());
}

#[test]
fn when_keys_could_run_together_then_digests_still_differ() {
    let rows = [
        (section(&[("a", "1"), ("b", "1")]), section(&[("ab", "1")])),
        (section(&[("a", "1")]), section(&[("a", "2")])),
        (section(&[]), section(&[("a", "1")])),
    ];
    for (left, right) in rows {
        assert_ne!(left.digest(), right.digest());
    }
}

#[test]
fn when_a_key_is_empty_or_too_long_then_it_is_refused() {
    let longest = "k".repeat(MAX_KEY_BYTES);
    let mut section = Section::new();

    assert_eq!(section.insert(&longest, Digest::of(b"")), Ok(()));
    for key in [String::new(), format!("{longest}k")] {
        let refused = section.insert(&key, Digest::of(b""));
        assert!(matches!(refused, Err(Error::KeyInvalid { .. })));
    }
}

#[test]
fn when_a_delta_would_fill_it_beyond_the_bound_then_nothing_changes() {
    let entry = |index: usize| (format!("{index}"), Digest::of(b""));
    let full = Section::try_from((0..MAX_ENTRIES).map(entry).collect::<BTreeMap<_, _>>()).unwrap();
    let mut held = full.clone();
    let one_more = SectionDelta {
        changed: [entry(1), entry(MAX_ENTRIES)].into(),
        removed: ["7".to_owned()].into(),
    };
    let two_more = SectionDelta {
        changed: [entry(MAX_ENTRIES), entry(MAX_ENTRIES + 1)].into(),
        ..one_more.clone()
    };

    assert_eq!(
        held.apply(&two_more),
        Err(Error::TooManyEntries { limit: MAX_ENTRIES })
    );
    assert_eq!(held, full);
    assert_eq!(held.apply(&one_more), Ok(()));
    assert_eq!(held.len(), MAX_ENTRIES);
}

#[test]
fn when_it_is_written_as_json_then_it_is_a_map_and_read_back() {
    let held = section(&[("a", "1"), ("b", "2")]);

    let json = serde_json::to_value(&held).unwrap();

    assert_eq!(json["a"], Digest::of(b"1").to_string());
    assert_eq!(serde_json::from_value::<Section>(json).unwrap(), held);
}
