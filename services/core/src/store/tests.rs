//! One suite for the store, over each kind of tables.

mod faulty;
mod power;

use std::path::PathBuf;

use baetyl_proto::sync::v1::{DesiredApplication, Fence as WireFence, InputRef};
use baetyl_shadow::{Epoch, Fence, Generation, Patch};
use tempfile::TempDir;

use super::*;
use crate::value;

pub(super) const UID: &str = "7f3c1c52-6f0e-4c11-9d42-0f0a3a5a9f10";

/// A folder with a key file, and what opens a store in it.
pub(super) struct Place {
    pub(super) folder: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("core.redb")
    }
}

/// An application with a configuration and a secret, all named by what they hold.
pub(super) struct Wish {
    pub(super) offer: Offer,
}

impl Wish {
    pub(super) fn new(generation: u64, contents: &[&str]) -> Self {
        let fence = Fence::new(Epoch::new(1), Generation::new(generation));
        let mut bodies = BTreeMap::new();
        let mut body = |text: String| {
            let bytes = Bytes::from(text);
            let digest = Digest::of(&bytes);
            bodies.insert(digest, bytes);
            digest.to_string()
        };
        let input = |kind: &str, digest| InputRef {
            kind: kind.into(),
            name: "input".into(),
            revision: generation,
            digest,
        };
        let applications = contents.iter().map(|content| DesiredApplication {
            name: (*content).to_owned(),
            revision: generation,
            digest: body(format!("application {content}")),
            inputs: vec![
                input("configuration", body(format!("configuration {content}"))),
                input("secret", body(format!("canary {content}"))),
            ],
            ..DesiredApplication::default()
        });
        let document = DesiredDocument {
            node_uid: UID.into(),
            fence: Some(WireFence {
                epoch: 1,
                generation,
            }),
            applications: applications.collect(),
            properties: BTreeMap::from([(
                "generation".to_owned(),
                value::from_json(&generation.into()),
            )]),
            core: None,
        };
        let document = Bytes::from(document.encode_to_vec());
        let digest = Digest::of(&document);
        let offer = Offer {
            stamp: Stamp { fence, digest },
            document,
            bodies,
            now: UnixMillis(i64::try_from(generation).unwrap()),
        };
        Self { offer }
    }

    pub(super) fn digests(&self) -> BTreeSet<Digest> {
        self.offer.bodies.keys().copied().collect()
    }
}

fn record(name: &str, references: &BTreeSet<Digest>) -> Record {
    Record {
        name: name.into(),
        bytes: format!("record of {name}").into_bytes(),
        references: references.clone(),
    }
}

fn each_kind(check: impl Fn(&Store)) {
    let place = Place::new();
    let memory = Store::open(Box::new(Memory::new()), &place.key_file()).unwrap();
    memory.claim(UID).unwrap();
    check(&memory);
    let place = Place::new();
    let tables = Durable::open(&place.file()).unwrap();
    let durable = Store::open(Box::new(tables), &place.key_file()).unwrap();
    durable.claim(UID).unwrap();
    check(&durable);
}

#[test]
fn when_a_desired_state_is_accepted_then_all_of_it_is_there() {
    each_kind(|store| {
        let wish = Wish::new(1, &["one", "two"]);
        let document = DesiredDocument::decode(wish.offer.document.clone()).unwrap();
        assert_eq!(store.missing(&document).unwrap().len(), 6);

        let admission = store.accept(&wish.offer).unwrap();

        assert_eq!(admission, Admission::Newer);
        assert_eq!(store.held().unwrap().unwrap().document, document);
        assert_eq!(store.missing(&document).unwrap(), []);
        for (digest, bytes) in &wish.offer.bodies {
            assert_eq!(store.body(digest).unwrap().as_ref(), Some(bytes));
        }
    });
}

#[test]
fn when_an_older_or_conflicting_one_is_offered_then_nothing_changes() {
    each_kind(|store| {
        let held = Wish::new(2, &["held"]);
        store.accept(&held.offer).unwrap();
        for (offered, wanted) in [
            (Wish::new(2, &["held"]), Admission::Same),
            (Wish::new(1, &["older"]), Admission::Older),
            (Wish::new(2, &["other"]), Admission::Conflict),
        ] {
            let admission = store.accept(&offered.offer).unwrap();

            assert_eq!(admission, wanted);
            assert_eq!(store.stamp().unwrap(), Some(held.offer.stamp));
        }
    });
}

#[test]
fn when_a_body_is_missing_or_wrong_then_the_offer_is_refused_whole() {
    each_kind(|store| {
        let wish = Wish::new(1, &["one"]);
        let mut lacking = wish.offer.clone();
        lacking.bodies.pop_first();
        let mut wrong = wish.offer;
        *wrong.bodies.values_mut().next().unwrap() = Bytes::from_static(b"other");
        for offer in [lacking, wrong] {
            let error = store.accept(&offer).unwrap_err();

            assert!(matches!(error, StoreError::BodyMissing(_)), "{error}");
            assert_eq!(store.stamp().unwrap(), None);
        }
    });
}

#[test]
fn when_the_document_is_not_what_its_stamp_says_then_it_is_refused() {
    each_kind(|store| {
        let good = Wish::new(1, &["one"]).offer;
        let mut changed = good.clone();
        changed.document = Bytes::from_static(b"\xff");
        let mut unreadable = changed.clone();
        unreadable.stamp.digest = Digest::of(b"\xff");
        let mut refenced = good.clone();
        refenced.stamp.fence = refenced.stamp.fence.next().unwrap();
        for offer in [changed, unreadable, refenced] {
            let error = store.accept(&offer).unwrap_err();

            assert!(matches!(error, StoreError::DocumentInvalid { .. }));
        }
        store.claim("another").unwrap();
        let error = store.accept(&good).unwrap_err();
        assert!(matches!(error, StoreError::DocumentInvalid { .. }));
    });
}

#[test]
fn when_bodies_are_needed_by_nothing_then_they_go_with_the_second_next_generation() {
    each_kind(|store| {
        let [first, second, third] =
            [1, 2, 3].map(|generation| Wish::new(generation, &[&format!("g{generation}")]));
        store.accept(&first.offer).unwrap();
        let serving = first.digests().into_iter().take(1).collect();
        store.save_record(&record("serving", &serving)).unwrap();

        store.accept(&second.offer).unwrap();
        for digest in first.digests() {
            assert!(
                store.body(&digest).unwrap().is_some(),
                "still the one before"
            );
        }
        store.accept(&third.offer).unwrap();

        for digest in first.digests() {
            let is_kept = store.body(&digest).unwrap().is_some();
            assert_eq!(is_kept, serving.contains(&digest));
        }
        for digest in second.digests().union(&third.digests()) {
            assert!(store.body(digest).unwrap().is_some());
        }
        store.remove_record("serving").unwrap();
        assert_eq!(store.collect_garbage().unwrap(), 1);
        assert_eq!(store.collect_garbage().unwrap(), 0);
    });
}

#[test]
fn when_records_are_saved_then_they_are_listed_until_removed() {
    each_kind(|store| {
        let one = record("one", &BTreeSet::from([Digest::of(b"1"), Digest::of(b"2")]));
        let two = record("two", &BTreeSet::new());
        store.save_record(&two).unwrap();
        store.save_record(&one).unwrap();
        assert_eq!(store.records().unwrap(), [one, two.clone()]);

        store.remove_record("one").unwrap();
        store.remove_record("never").unwrap();

        assert_eq!(store.records().unwrap(), [two]);
    });
}

#[test]
fn when_properties_are_wanted_or_reported_then_each_side_keeps_its_own() {
    each_kind(|store| {
        let patch = Patch::parse(br#"{"temperature": 20}"#).unwrap();
        let now = UnixMillis(5);
        let merged = store
            .change_properties(|held| held.reported.merge(&patch, now).map(drop))
            .unwrap();
        assert!(merged.is_ok());

        store.accept(&Wish::new(1, &[]).offer).unwrap();

        let held = store.properties().unwrap();
        assert_eq!(held.reported.get("temperature").unwrap().time, now);
        let wanted = held.desired.get("generation").unwrap();
        assert_eq!(wanted.time, UnixMillis(1));
    });
}

#[test]
fn when_the_node_is_another_one_then_what_was_left_is_forgotten() {
    each_kind(|store| {
        store.accept(&Wish::new(7, &["one"]).offer).unwrap();
        store.save_record(&record("one", &BTreeSet::new())).unwrap();
        store.save_authority(vec![1]).unwrap();
        assert!(!store.claim(UID).unwrap());
        assert!(store.stamp().unwrap().is_some());

        assert!(store.claim("another").unwrap());

        assert_eq!(store.stamp().unwrap(), None);
        assert_eq!(store.records().unwrap(), []);
        assert_eq!(store.authority().unwrap(), None);
        assert_eq!(store.collect_garbage().unwrap(), 0);
    });
}

#[test]
fn when_routes_change_then_their_generation_grows_and_else_stays() {
    each_kind(|store| {
        let [one, two] = [Digest::of(b"1"), Digest::of(b"2")];
        let generations = [(one, 0), (one, 0), (two, 0), (two, 9), (two, 3), (one, 0)]
            .map(|(digest, floor)| store.routes_generation(digest, floor).unwrap());

        assert_eq!(generations, [1, 1, 2, 9, 9, 10]);
    });
}

#[test]
fn when_the_file_is_opened_again_then_everything_is_there_and_secrets_are_sealed() {
    let place = Place::new();
    let wish = Wish::new(1, &["one"]);
    {
        let tables = Durable::open(&place.file()).unwrap();
        let store = Store::open(Box::new(tables), &place.key_file()).unwrap();
        store.claim(UID).unwrap();
        store.accept(&wish.offer).unwrap();
        store.save_converged(wish.offer.stamp.fence).unwrap();
    }

    let bytes = std::fs::read(place.file()).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"configuration one"));
    assert!(!holds(b"canary"));
    let tables = Durable::open(&place.file()).unwrap();
    let store = Store::open(Box::new(tables), &place.key_file()).unwrap();
    assert_eq!(store.stamp().unwrap(), Some(wish.offer.stamp));
    assert_eq!(store.converged().unwrap(), Some(wish.offer.stamp.fence));
    for (digest, bytes) in &wish.offer.bodies {
        assert_eq!(store.body(digest).unwrap().as_ref(), Some(bytes));
    }
}

#[test]
fn when_another_has_the_file_open_then_it_says_so() {
    let place = Place::new();
    let _first = Durable::open(&place.file()).unwrap();

    let error = Durable::open(&place.file()).unwrap_err();

    assert!(matches!(error, StoreError::Locked), "{error:?}");
}

#[test]
fn when_making_the_file_was_cut_short_then_it_is_made_again() {
    let place = Place::new();
    let beside = place.folder.path().join("core.redb.new");
    std::fs::write(beside, b"half of a file").unwrap();

    Durable::open(&place.file()).unwrap();
}
