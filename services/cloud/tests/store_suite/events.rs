//! Events: gapless, ordered, kept as long as promised; and the counter that wakes waiters.

use std::sync::Arc;

use baetyl_cloud::store::{
    Change, EVENTS_KEPT, Event, Key, Precondition, Store, StoreError, Table, Write,
};
use baetyl_model::{Kind, NamespaceName};

use crate::given::{
    configuration, created, first, key_in, namespace, next, put, put_record, record, refused,
    revision, soon, write, write_if,
};

#[track_caller]
fn compacted(outcome: Result<Vec<Event>, StoreError>) -> u64 {
    match outcome {
        Err(StoreError::Compacted { oldest }) => oldest,
        other => panic!("expected that they were compacted, got {other:?}"),
    }
}

/// Everything after a sequence, in pages of seven.
async fn paged(store: &dyn Store, tenant: &NamespaceName, mut after: u64) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let page = store
            .events(tenant, after, 7)
            .await
            .expect("they are there");
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { return all };
        after = last.sequence;
        all.extend(page);
    }
}

pub(crate) async fn when_written_touched_and_deleted_then_events_tell_it(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let one = created(&*store, &key, "1").await;
    let two = next(&one, "2");
    write(&*store, [put(&two)]).await.unwrap();
    write(&*store, [Write::Touch(key.clone())]).await.unwrap();
    write(&*store, [put_record(&record(Table::Dirty, "one"), "")])
        .await
        .unwrap();
    write(&*store, [Write::Delete(key.clone())]).await.unwrap();

    let events = store.events(&key.namespace, 0, 10).await.unwrap();

    let changes = [
        Change::Added,
        Change::Modified,
        Change::Modified,
        Change::Deleted,
    ];
    let revisions = [1, 2, 2, 2].map(revision);
    assert_eq!(events.len(), 4);
    for (index, event) in events.iter().enumerate() {
        let expected = Event {
            sequence: index as u64 + 1,
            key: key.clone(),
            uid: one.uid.clone(),
            revision: revisions[index],
            change: changes[index],
            time: event.time,
        };
        assert_eq!(*event, expected);
    }
    assert_eq!(events[0].time, one.update_time);
    assert_eq!(events[1].time, two.update_time);
    assert!(events[2].time <= events[3].time);
    assert_eq!(store.sequence(&key.namespace).await.unwrap(), 4);
}

pub(crate) async fn when_namespaces_are_written_then_each_has_its_own_sequence(
    store: Arc<dyn Store>,
) {
    for tenant in ["a1", "b1"] {
        let writes = [
            put(&first(&key_in(tenant, Kind::Node, "one"), "")),
            put(&first(&key_in(tenant, Kind::Node, "two"), "")),
        ];
        write(&*store, writes).await.unwrap();
    }
    created(&*store, &key_in("b1", Kind::Node, "three"), "").await;

    for (tenant, count) in [("a1", 2), ("b1", 3), ("c1", 0)] {
        let tenant = namespace(tenant);
        assert_eq!(store.sequence(&tenant).await.unwrap(), count);
        let events = store.events(&tenant, 0, 10).await.unwrap();
        assert_eq!(events.len() as u64, count);
        assert!(events.iter().all(|event| event.key.namespace == tenant));
    }
}

pub(crate) async fn when_eight_write_at_once_then_events_are_gapless_and_ordered(
    store: Arc<dyn Store>,
) {
    const WRITERS: usize = 8;
    const EACH: u64 = 25;
    let tenant = namespace("default");
    let mut commits = store.commits();
    let watcher = tokio::spawn({
        let (store, tenant) = (Arc::clone(&store), tenant.clone());
        async move {
            let mut seen: Vec<Event> = Vec::new();
            while seen.len() < WRITERS * EACH as usize {
                let after = seen.last().map_or(0, |event| event.sequence);
                let new = store
                    .events(&tenant, after, 10)
                    .await
                    .expect("they are there");
                if new.is_empty() {
                    commits.changed().await.expect("the store is open");
                }
                seen.extend(new);
            }
            seen
        }
    });
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let key = configuration(&format!("of-writer-{writer}"));
            let mut newest = created(&*store, &key, "1").await;
            for number in 2..=EACH {
                // Refused ones use no number.
                let absent = Precondition::Absent(key.clone());
                let touch = [Write::Touch(key.clone()), Write::Delete(key.clone())];
                refused(write_if(&*store, [absent], touch).await);
                newest = next(&newest, number.to_string());
                write(&*store, [put(&newest)])
                    .await
                    .expect("nobody else writes it");
            }
            key
        });
    }
    let keys: Vec<Key> = soon(writers.join_all()).await;
    let seen = soon(watcher).await.expect("the watcher ends");

    assert_eq!(paged(&*store, &tenant, 0).await, seen);
    let sequences: Vec<u64> = seen.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=WRITERS as u64 * EACH).collect::<Vec<_>>());
    for key in keys {
        let own = seen.iter().filter(|event| event.key == key);
        let revisions: Vec<u64> = own.map(|event| event.revision.number()).collect();
        assert_eq!(revisions, (1..=EACH).collect::<Vec<_>>());
    }
}

pub(crate) async fn when_events_are_read_in_pages_then_none_is_missed_or_repeated(
    store: Arc<dyn Store>,
) {
    let key = configuration("limits");
    created(&*store, &key, "").await;
    let touches = std::iter::repeat_n(Write::Touch(key.clone()), 29);
    write(&*store, touches).await.unwrap();
    let tenant = &key.namespace;

    let sequences = |events: Vec<Event>| events.iter().map(|one| one.sequence).collect::<Vec<_>>();
    let all = paged(&*store, tenant, 0).await;
    assert_eq!(sequences(all), (1..=30).collect::<Vec<_>>());
    let rest = store.events(tenant, 28, 100).await.unwrap();
    assert_eq!(sequences(rest), [29, 30]);
    assert_eq!(store.events(tenant, 30, 100).await.unwrap(), []);
    assert_eq!(store.events(tenant, 5, 0).await.unwrap(), []);
}

pub(crate) async fn when_more_events_happen_than_are_kept_then_the_oldest_are_compacted(
    store: Arc<dyn Store>,
) {
    const DROPPED: u64 = 50;
    let key = configuration("limits");
    let tenant = &key.namespace;
    created(&*store, &key, "").await;
    let other = key_in("other", Kind::Node, "node");
    created(&*store, &other, "").await;
    for count in [5000, 5000, DROPPED as usize - 1] {
        let touches = std::iter::repeat_n(Write::Touch(key.clone()), count);
        write(&*store, touches).await.unwrap();
    }

    assert_eq!(store.sequence(tenant).await.unwrap(), EVENTS_KEPT + DROPPED);
    let oldest = DROPPED + 1;
    assert_eq!(compacted(store.events(tenant, 0, 10).await), oldest);
    assert_eq!(compacted(store.events(tenant, 0, 0).await), oldest);
    assert_eq!(
        compacted(store.events(tenant, DROPPED - 1, 10).await),
        oldest
    );
    let kept = store.events(tenant, DROPPED, usize::MAX).await.unwrap();
    assert_eq!(kept.len() as u64, EVENTS_KEPT);
    assert_eq!(kept[0].sequence, oldest);
    assert_eq!(
        store.events(&other.namespace, 0, 10).await.unwrap().len(),
        1
    );
}

pub(crate) async fn when_a_sequence_is_from_another_life_then_it_is_compacted(
    store: Arc<dyn Store>,
) {
    let key = configuration("limits");
    created(&*store, &key, "").await;

    assert_eq!(compacted(store.events(&key.namespace, 2, 10).await), 1);
    assert_eq!(
        compacted(store.events(&key.namespace, u64::MAX, 10).await),
        1
    );
    assert_eq!(compacted(store.events(&namespace("other"), 1, 10).await), 1);
}

pub(crate) async fn when_committed_then_waiters_wake_and_find_it(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let mut commits = store.commits();
    let before = *commits.borrow();
    let waiter = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            commits.changed().await.expect("the store is open");
            let now = *commits.borrow_and_update();
            (now, store.get(&key).await.expect("it reads"))
        }
    });

    let stored = created(&*store, &key, "body").await;

    let (now, found) = soon(waiter).await.expect("the waiter ends");
    assert!(now > before);
    assert_eq!(found, Some(stored));
    let late = store.commits();
    assert!(
        !late.has_changed().expect("the store is open"),
        "only what is new wakes"
    );
}

pub(crate) async fn when_refused_then_nobody_wakes(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let commits = store.commits();

    refused(write(&*store, [Write::Touch(key)]).await);

    assert!(!commits.has_changed().expect("the store is open"));
}
