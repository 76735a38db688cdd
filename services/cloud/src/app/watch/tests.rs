//! What events mean to a watcher.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use baetyl_model::{Digest, Kind, Name, NamespaceName, Revision, Selector, Uid};
use bytes::Bytes;

use super::shown::{Shown, Verdict};
use crate::app::feed::Step;
use crate::store::{Change, Key, Stored};

fn stored(uid: &Uid, revision: u64, site: &str) -> Stored {
    Stored {
        key: Key {
            namespace: NamespaceName::parse("default").expect("a name"),
            kind: Kind::Application,
            name: Name::parse("app").expect("a name"),
        },
        uid: uid.clone(),
        revision: Revision::new(revision).expect("not 0"),
        digest: Digest::of(b""),
        body: Bytes::new(),
        labels: BTreeMap::from([("site".to_owned(), site.to_owned())]),
        references: Vec::new(),
        author: String::new(),
        create_time: UNIX_EPOCH,
        update_time: UNIX_EPOCH,
    }
}

fn step(change: Change, stored: &Stored) -> Step {
    Step {
        key: stored.key.clone(),
        uid: stored.uid.clone(),
        revision: stored.revision,
        change,
        sequence: 1,
    }
}

fn shown(kind: Kind, is_resumed: bool) -> Shown {
    let filter = Selector::parse_filter("site = demo").expect("a selector");
    Shown::new(kind, filter, is_resumed)
}

/// What a change means that is not old.
fn told(shown: &mut Shown, change: Change, left: &Stored) -> Verdict {
    let step = step(change, left);
    if shown.is_old(&step) {
        return Verdict::Pass;
    }
    let is_there = change != Change::Deleted;
    shown.judge(&step, is_there.then_some(left))
}

#[test]
fn when_a_resource_starts_and_stops_to_match_then_it_is_added_and_gone() {
    let uid = Uid::random();
    let mut shown = shown(Kind::Application, false);

    let verdicts = [
        told(&mut shown, Change::Added, &stored(&uid, 1, "other")),
        told(&mut shown, Change::Modified, &stored(&uid, 2, "demo")),
        told(&mut shown, Change::Modified, &stored(&uid, 3, "demo")),
        told(&mut shown, Change::Modified, &stored(&uid, 4, "other")),
        told(&mut shown, Change::Modified, &stored(&uid, 5, "other")),
        told(&mut shown, Change::Deleted, &stored(&uid, 5, "other")),
    ];

    use Verdict::{Added, Gone, Modified, Pass};
    assert_eq!(verdicts, [Pass, Added, Modified, Gone, Pass, Pass]);
}

#[test]
fn when_the_present_state_was_read_after_an_event_then_it_is_not_told_twice() {
    let uid = Uid::random();
    let mut shown = shown(Kind::Application, false);
    shown.list(&stored(&uid, 2, "demo"));

    let verdicts = [
        told(&mut shown, Change::Added, &stored(&uid, 1, "demo")),
        told(&mut shown, Change::Modified, &stored(&uid, 2, "demo")),
        told(&mut shown, Change::Modified, &stored(&uid, 3, "demo")),
    ];

    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Modified]);
}

#[test]
fn when_the_present_state_is_another_life_then_the_end_of_the_first_is_not_told() {
    let (first, second) = (Uid::random(), Uid::random());
    let mut shown = shown(Kind::Application, false);
    shown.list(&stored(&second, 1, "demo"));

    let verdicts = [
        told(&mut shown, Change::Deleted, &stored(&first, 3, "demo")),
        told(&mut shown, Change::Added, &stored(&second, 1, "demo")),
        told(&mut shown, Change::Deleted, &stored(&second, 1, "demo")),
    ];

    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Gone]);
}

#[test]
fn when_the_status_of_a_node_changes_then_it_is_told_without_a_revision() {
    let uid = Uid::random();
    let mut shown = shown(Kind::Node, false);
    shown.list(&stored(&uid, 2, "demo"));

    let verdict = told(&mut shown, Change::Modified, &stored(&uid, 2, "demo"));

    assert_eq!(verdict, Verdict::Modified);
}

#[test]
fn when_a_watcher_resumes_then_it_is_told_of_what_it_may_know() {
    let uid = Uid::random();
    let mut modified = shown(Kind::Application, true);
    let mut unmatched = shown(Kind::Application, true);
    let mut deleted = shown(Kind::Application, true);
    let mut added = shown(Kind::Application, true);

    let verdicts = [
        told(&mut modified, Change::Modified, &stored(&uid, 2, "demo")),
        told(&mut unmatched, Change::Modified, &stored(&uid, 2, "other")),
        told(&mut unmatched, Change::Modified, &stored(&uid, 3, "other")),
        told(&mut deleted, Change::Deleted, &stored(&uid, 2, "demo")),
        told(&mut added, Change::Added, &stored(&uid, 1, "demo")),
    ];

    use Verdict::{Added, Gone, Modified, Pass};
    assert_eq!(verdicts, [Modified, Gone, Pass, Gone, Added]);
}

#[test]
fn when_the_state_that_a_change_left_is_gone_then_only_the_deletion_is_told() {
    let uid = Uid::random();
    let mut shown = shown(Kind::Application, true);
    let change = step(Change::Modified, &stored(&uid, 2, "demo"));

    assert_eq!(shown.judge(&change, None), Verdict::Pass);
    let deleted = told(&mut shown, Change::Deleted, &stored(&uid, 2, "demo"));
    assert_eq!(deleted, Verdict::Gone);
}
