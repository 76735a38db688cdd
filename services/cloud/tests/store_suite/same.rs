//! Whatever is done to both, memory and SQLite cannot be told apart.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use baetyl_cloud::store::memory::MemoryStore;
use baetyl_cloud::store::{
    Commit, Event, Key, Precondition, Record, RecordKey, Store, StoreError, Stored, Table, Write,
};
use baetyl_model::{Kind, Revision, Uid};
use proptest::prelude::*;

use crate::given::{Folder, first, key_in, namespace, next, record_in, revision};

const TENANTS: [&str; 2] = ["a1", "b1"];
const KINDS: [Kind; 4] = [
    Kind::Configuration,
    Kind::Secret,
    Kind::Certificate,
    Kind::Application,
];
const NAMES: [&str; 2] = ["one", "two"];
const RECORDS: [&str; 4] = ["", "x", "x/1", "y"];
const TABLES: [Table; 2] = [Table::Report, Table::System];

/// A resource, by place in the lists above.
type Which = (usize, usize, usize);

/// A write whose uid and revision are filled in when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    /// `skip` makes it a revision too far.
    Put {
        which: Which,
        body: u8,
        refers_to: Vec<(usize, usize)>,
        skip: bool,
    },
    Delete(Which),
    Touch(Which),
    Drop(Which, Vec<u64>),
    PutRecord(Which, u8),
    DeleteRecord(Which),
    DeleteRecords(Which),
}

#[derive(Clone, Debug)]
enum Need {
    Absent(Which),
    Exists(Which),
    At(Which),
    AtAnother(Which, u64),
    Unreferenced(Which, Vec<Which>),
    RecordAt(Which, u64),
}

fn which() -> impl Strategy<Value = Which> {
    (0..TENANTS.len(), 0..KINDS.len(), 0..NAMES.len())
}

/// Tenant, table and key of a record.
fn which_record() -> impl Strategy<Value = Which> {
    (0..TENANTS.len(), 0..TABLES.len(), 0..RECORDS.len())
}

fn step() -> impl Strategy<Value = Step> {
    let references = prop::collection::btree_set((0..KINDS.len(), 0..NAMES.len()), 0..3);
    prop_oneof![
        8 => (which(), any::<u8>(), references, prop::bool::weighted(0.05)).prop_map(
            |(which, body, refers_to, skip)| Step::Put {
                which,
                body,
                refers_to: refers_to.into_iter().collect(),
                skip,
            }
        ),
        2 => which().prop_map(Step::Delete),
        1 => which().prop_map(Step::Touch),
        2 => (which(), prop::collection::vec(1..6_u64, 0..4))
            .prop_map(|(which, numbers)| Step::Drop(which, numbers)),
        3 => (which_record(), any::<u8>()).prop_map(|(which, body)| Step::PutRecord(which, body)),
        1 => which_record().prop_map(Step::DeleteRecord),
        1 => which_record().prop_map(Step::DeleteRecords),
    ]
}

fn need() -> impl Strategy<Value = Need> {
    prop_oneof![
        1 => which().prop_map(Need::Absent),
        1 => which().prop_map(Need::Exists),
        4 => which().prop_map(Need::At),
        1 => (which(), 1..5_u64).prop_map(|(which, number)| Need::AtAnother(which, number)),
        2 => (which(), prop::collection::vec(which(), 0..6))
            .prop_map(|(which, except)| Need::Unreferenced(which, except)),
        2 => (which_record(), 0..3_u64)
            .prop_map(|(which, version)| Need::RecordAt(which, version)),
    ]
}

type Plan = (Vec<Need>, Vec<Step>);

fn plan() -> impl Strategy<Value = Plan> {
    let needs = prop_oneof![3 => Just(0..1_usize), 1 => Just(1..3_usize)];
    let needs = needs.prop_flat_map(|count| prop::collection::vec(need(), count));
    (needs, prop::collection::vec(step(), 1..5))
}

/// Fills in what is known only when the plan's turn comes.
struct Scene<'a> {
    /// Makes the tenants of this case its own, since all cases share a file.
    case: usize,
    store: &'a MemoryStore,
}

impl Scene<'_> {
    fn tenant(&self, index: usize) -> String {
        format!("{}-{}", TENANTS[index], self.case)
    }

    fn key(&self, (tenant, kind, name): Which) -> Key {
        key_in(&self.tenant(tenant), KINDS[kind], NAMES[name])
    }

    fn record(&self, (tenant, table, text): Which) -> RecordKey {
        record_in(&self.tenant(tenant), TABLES[table], RECORDS[text])
    }

    async fn precondition(&self, need: &Need) -> Precondition {
        match need {
            Need::Absent(which) => Precondition::Absent(self.key(*which)),
            Need::Exists(which) => Precondition::Exists(self.key(*which)),
            Need::At(which) => {
                let key = self.key(*which);
                let newest = self.store.get(&key).await.expect("it reads");
                newest.map_or(Precondition::Absent(key), |newest| {
                    Precondition::At(newest.key, newest.uid, newest.revision)
                })
            }
            Need::AtAnother(which, number) => {
                let key = self.key(*which);
                let newest = self.store.get(&key).await.expect("it reads");
                let uid = newest.map_or_else(Uid::random, |newest| newest.uid);
                Precondition::At(key, uid, revision(*number))
            }
            Need::Unreferenced(which, except) => {
                let except = except.iter().map(|which| self.key(*which)).collect();
                Precondition::Unreferenced(self.key(*which), except)
            }
            Need::RecordAt(which, version) => Precondition::RecordAt(self.record(*which), *version),
        }
    }

    async fn commit(&self, (needs, steps): &Plan) -> Commit {
        let mut commit = Commit::default();
        for need in needs {
            commit.preconditions.push(self.precondition(need).await);
        }
        let mut newest: BTreeMap<Key, Option<Stored>> = BTreeMap::new();
        for step in steps {
            let write = match step {
                Step::Put {
                    which,
                    body,
                    refers_to,
                    skip,
                } => {
                    let key = self.key(*which);
                    if !newest.contains_key(&key) {
                        let found = self.store.get(&key).await.expect("it reads");
                        newest.insert(key.clone(), found);
                    }
                    let mut put = match newest[&key].as_ref() {
                        None => first(&key, vec![*body]),
                        Some(before) => next(before, vec![*body]),
                    };
                    if *skip {
                        put = next(&put, vec![*body]);
                    }
                    let refers_to = refers_to.iter();
                    put.references = refers_to
                        .map(|(kind, name)| (KINDS[*kind], crate::given::name(NAMES[*name])))
                        .collect();
                    put.references.sort();
                    newest.insert(key, Some(put.clone()));
                    crate::given::put(&put)
                }
                Step::Delete(which) => {
                    newest.insert(self.key(*which), None);
                    Write::Delete(self.key(*which))
                }
                Step::Touch(which) => Write::Touch(self.key(*which)),
                Step::Drop(which, numbers) => {
                    let numbers = numbers.iter().map(|number| revision(*number)).collect();
                    Write::DropRevisions(self.key(*which), numbers)
                }
                Step::PutRecord(which, body) => {
                    Write::PutRecord(self.record(*which), vec![*body].into())
                }
                Step::DeleteRecord(which) => Write::DeleteRecord(self.record(*which)),
                Step::DeleteRecords(which) => Write::DeleteRecords(self.record(*which)),
            };
            commit.writes.push(write);
        }
        commit
    }
}

/// All that can be seen of a store, but for the clock.
#[derive(Debug, PartialEq)]
struct Seen {
    newest: Vec<Option<Stored>>,
    single: Vec<Option<Stored>>,
    revisions: Vec<Vec<Stored>>,
    lists: Vec<Vec<Stored>>,
    referrers: Vec<Vec<Key>>,
    records: Vec<Vec<Record>>,
    events: Vec<Vec<Event>>,
    sequences: Vec<u64>,
}

async fn look(store: &dyn Store, scene: &Scene<'_>) -> Result<Seen, StoreError> {
    let mut seen = Seen {
        newest: Vec::new(),
        single: Vec::new(),
        revisions: Vec::new(),
        lists: Vec::new(),
        referrers: Vec::new(),
        records: Vec::new(),
        events: Vec::new(),
        sequences: Vec::new(),
    };
    for tenant in 0..TENANTS.len() {
        for (kind, of_kind) in KINDS.into_iter().enumerate() {
            for name in 0..NAMES.len() {
                let key = scene.key((tenant, kind, name));
                seen.newest.push(store.get(&key).await?);
                seen.single
                    .push(store.get_revision(&key, revision(2)).await?);
                seen.revisions.push(store.revisions(&key, None, 100).await?);
                let before = Revision::new(3);
                seen.revisions.push(store.revisions(&key, before, 1).await?);
                seen.referrers.push(store.referrers(&key).await?);
            }
            let tenant = namespace(&scene.tenant(tenant));
            let after = crate::given::name("one");
            seen.lists
                .push(store.list(&tenant, of_kind, None, 1).await?);
            seen.lists
                .push(store.list(&tenant, of_kind, Some(&after), 9).await?);
        }
        for table in 0..TABLES.len() {
            for text in 0..RECORDS.len() {
                let prefix = scene.record((tenant, table, text));
                seen.records.push(store.records(&prefix, None, 100).await?);
                seen.records
                    .push(store.records(&prefix, Some("x"), 1).await?);
                seen.records
                    .push(store.record(&prefix).await?.into_iter().collect());
            }
        }
        let tenant = namespace(&scene.tenant(tenant));
        let mut events = store.events(&tenant, 0, 1000).await?;
        for event in &mut events {
            event.time = SystemTime::UNIX_EPOCH;
        }
        seen.events.push(events);
        seen.sequences.push(store.sequence(&tenant).await?);
    }
    Ok(seen)
}

#[test]
fn when_the_same_is_done_to_both_then_the_same_is_seen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let folder = Folder::new();
    let durable = runtime.block_on(folder.open());
    let cases = Cell::new(0_usize);
    let (refused, done) = (Cell::new(0), Cell::new(0));

    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(plans in prop::collection::vec(plan(), 1..16))| {
        cases.set(cases.get() + 1);
        let memory = MemoryStore::new();
        let scene = Scene { case: cases.get(), store: &memory };
        runtime.block_on(async {
            for plan in &plans {
                let commit = scene.commit(plan).await;
                let in_memory = memory.commit(commit.clone()).await;
                let on_disk = durable.commit(commit.clone()).await;
                match (&in_memory, &on_disk) {
                    (Ok(()), Ok(())) => done.set(done.get() + 1),
                    (Err(StoreError::Precondition(one)), Err(StoreError::Precondition(two))) => {
                        refused.set(refused.get() + 1);
                        prop_assert_eq!(one, two);
                    }
                    other => prop_assert!(false, "{:?} of {:?}", other, commit),
                }
            }
            let in_memory = look(&memory, &scene).await.expect("it reads");
            let on_disk = look(&durable, &scene).await.expect("it reads");
            prop_assert_eq!(in_memory, on_disk);
            Ok(())
        })?;
    });
    let counts = (refused.get(), done.get());
    assert!(
        counts.0 > 50 && counts.1 > 50,
        "too one-sided to prove much: {counts:?}"
    );
}
