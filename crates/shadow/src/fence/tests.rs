//! The laws of fences: nothing goes backward, and a restored store gets ahead.

use proptest::prelude::*;

use super::{Admission, Epoch, Fence, Generation, Revision, Stamp, admit};
use crate::Digest;
use crate::arbitrary::{fences, stamps};

fn stamp(epoch: u64, generation: u64, body: &str) -> Stamp {
    Stamp {
        fence: Fence::new(Epoch::new(epoch), Generation::new(generation)),
        digest: Digest::of(body.as_bytes()),
    }
}

#[test]
fn when_a_document_is_offered_then_the_table_decides() {
    let held = stamp(1, 5, "a");
    let rows = [
        (stamp(1, 6, "b"), Admission::Newer),
        (stamp(2, 0, "b"), Admission::Newer),
        (stamp(2, 5, "a"), Admission::Newer),
        (stamp(1, 5, "a"), Admission::Same),
        (stamp(1, 5, "b"), Admission::Conflict),
        (stamp(1, 4, "a"), Admission::Older),
        (stamp(0, 9, "b"), Admission::Older),
    ];
    for (offered, expected) in rows {
        assert_eq!(admit(Some(&held), &offered), expected, "{offered:?}");
        assert_eq!(admit(None, &offered), Admission::Newer);
    }
}

#[test]
fn when_a_counter_is_at_its_end_then_there_is_no_next() {
    let last = i64::MAX as u64;
    let fence = |number| Fence::new(Epoch::new(number), Generation::new(number));

    assert_eq!(Revision::new(0), None);
    assert_eq!(Revision::FIRST.next(), Revision::new(2));
    assert_eq!(Revision::new(last).and_then(Revision::next), None);
    assert_eq!(Generation::new(last).next(), None);
    assert_eq!(fence(last).next(), None);
    assert_eq!(fence(1).overtaking(fence(last)), None);
    assert_eq!(fence(1).overtaking(fence(u64::MAX)), None);
}

#[test]
fn when_a_fence_is_printed_then_the_epoch_comes_first() {
    assert_eq!(stamp(3, 14, "").fence.to_string(), "3/14");
}

proptest! {
    /// A node that takes what is newer, whatever is offered in whatever order,
    /// holds the highest fence of all, and never held a lower one after a higher.
    #[test]
    fn when_many_are_offered_then_the_held_one_never_goes_backward(
        offers in proptest::collection::vec(stamps(), 1..20),
    ) {
        let mut held: Option<Stamp> = None;
        for offered in &offers {
            let before = held;
            if admit(held.as_ref(), offered) == Admission::Newer {
                held = Some(*offered);
            }
            prop_assert!(held.map(|held| held.fence) >= before.map(|held| held.fence));
        }
        let highest = offers.iter().map(|offered| offered.fence).max();
        prop_assert_eq!(held.map(|held| held.fence), highest);
    }

    #[test]
    fn when_it_is_offered_again_then_it_is_the_same(offered in stamps()) {
        prop_assert_eq!(admit(Some(&offered), &offered), Admission::Same);
    }

    #[test]
    fn when_one_is_newer_then_the_other_is_older(a in stamps(), b in stamps()) {
        let mirrored = match admit(Some(&a), &b) {
            Admission::Newer => Admission::Older,
            Admission::Older => Admission::Newer,
            Admission::Same => Admission::Same,
            Admission::Conflict => Admission::Conflict,
        };
        prop_assert_eq!(admit(Some(&b), &a), mirrored);
    }

    #[test]
    fn when_a_store_overtakes_then_its_next_document_is_newer_than_both(
        stored in fences(),
        shown in stamps(),
        body: [u8; 4],
    ) {
        let fence = stored.overtaking(shown.fence).unwrap();
        let offered = Stamp { fence, digest: Digest::of(&body) };

        prop_assert!(fence > stored && fence > shown.fence);
        prop_assert_eq!(fence.generation, stored.generation);
        prop_assert_eq!(admit(Some(&shown), &offered), Admission::Newer);
    }

    #[test]
    fn when_the_next_is_taken_then_it_is_newer(fence in fences()) {
        prop_assert!(fence.next().unwrap() > fence);
    }
}
