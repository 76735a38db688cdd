//! Records: versions for compare-and-set, and prefixes.

use std::sync::Arc;

use baetyl_cloud::store::{Precondition, RecordKey, Store, Table, Write};

use crate::given::{put_record, record, record_in, refused, soon, write, write_if};

/// Keys around a prefix, sorted: what compares or matches in a surprising way.
const KEYS: [&str; 13] = [
    "",
    "A",
    "a",
    "a\0",
    "a\0/",
    "a%",
    "a/",
    "a/1",
    "a/2",
    "a0",
    "a_",
    "a\u{10FFFF}",
    "b",
];

async fn keys(store: &dyn Store, prefix: &RecordKey, after: Option<&str>) -> Vec<String> {
    let records = store
        .records(prefix, after, 100)
        .await
        .expect("they can be read");
    records.into_iter().map(|record| record.key).collect()
}

async fn write_all(store: &dyn Store, table: Table) {
    let writes = KEYS.map(|key| put_record(&record(table, key), key.to_owned()));
    write(store, writes).await.expect("they are written");
}

pub(crate) async fn when_written_again_then_the_version_rises(store: Arc<dyn Store>) {
    let key = record(Table::Desired, "node");
    for version in 0..3 {
        let at = Precondition::RecordAt(key.clone(), version);
        let value = format!("value {version}");
        write_if(&*store, [at.clone()], [put_record(&key, value.clone())])
            .await
            .unwrap();

        let found = store.record(&key).await.unwrap().expect("it was written");
        assert_eq!(found.key, "node");
        assert_eq!(found.version, version + 1);
        assert_eq!(found.value, value);
        let again = write_if(&*store, [at.clone()], [put_record(&key, "lost")]).await;
        assert_eq!(refused(again), at);
    }
    let far = Precondition::RecordAt(key.clone(), u64::MAX);
    assert_eq!(refused(write_if(&*store, [far.clone()], []).await), far);
}

pub(crate) async fn when_many_write_the_same_version_then_exactly_one_wins(store: Arc<dyn Store>) {
    let key = record(Table::NodeState, "node");
    for version in 0..10 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let (store, key) = (Arc::clone(&store), key.clone());
            writers.spawn(async move {
                let at = Precondition::RecordAt(key.clone(), version);
                let outcome = write_if(&*store, [at], [put_record(&key, writer.to_string())]).await;
                (outcome, writer)
            });
        }
        let outcomes = soon(writers.join_all()).await;

        let won: Vec<_> = outcomes
            .iter()
            .filter(|(outcome, _)| outcome.is_ok())
            .collect();
        assert_eq!(won.len(), 1);
        let found = store.record(&key).await.unwrap().expect("it was written");
        assert_eq!(found.version, version + 1);
        assert_eq!(found.value, won[0].1.to_string());
    }
}

pub(crate) async fn when_scanned_then_only_the_prefix_comes_in_order(store: Arc<dyn Store>) {
    write_all(&*store, Table::Report).await;
    write_all(&*store, Table::Request).await;

    for prefix in KEYS {
        let expected: Vec<_> = KEYS.iter().filter(|key| key.starts_with(prefix)).collect();
        let found = keys(&*store, &record(Table::Report, prefix), None).await;
        assert_eq!(
            found,
            expected.into_iter().copied().collect::<Vec<_>>(),
            "{prefix:?}"
        );
        for after in KEYS {
            let rest = KEYS
                .iter()
                .filter(|key| key.starts_with(prefix) && **key > after);
            let found = keys(&*store, &record(Table::Report, prefix), Some(after)).await;
            assert_eq!(
                found,
                rest.copied().collect::<Vec<_>>(),
                "{prefix:?} {after:?}"
            );
        }
    }
    assert!(
        keys(&*store, &record(Table::Report, "c"), None)
            .await
            .is_empty()
    );
}

pub(crate) async fn when_scanned_in_pages_then_every_record_comes_once(store: Arc<dyn Store>) {
    write_all(&*store, Table::Report).await;
    let prefix = record(Table::Report, "a");

    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.records(&prefix, after.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        seen.extend(page.into_iter().map(|record| record.key));
        // What was seen may go, and what lies before may come.
        let writes = [
            Write::DeleteRecord(record(Table::Report, &seen[0])),
            put_record(&record(Table::Report, "Z"), ""),
        ];
        write(&*store, writes).await.unwrap();
    }

    assert_eq!(seen, KEYS[2..12]);
    assert!(store.records(&prefix, None, 0).await.unwrap().is_empty());
}

pub(crate) async fn when_a_prefix_is_deleted_then_the_others_stay(store: Arc<dyn Store>) {
    write_all(&*store, Table::Report).await;
    write_all(&*store, Table::Dirty).await;

    let prefix = record(Table::Report, "a/");
    write(&*store, [Write::DeleteRecords(prefix)])
        .await
        .unwrap();

    let left: Vec<_> = KEYS
        .into_iter()
        .filter(|key| !key.starts_with("a/"))
        .collect();
    assert_eq!(keys(&*store, &record(Table::Report, ""), None).await, left);
    assert_eq!(keys(&*store, &record(Table::Dirty, ""), None).await, KEYS);
    let all = record(Table::Dirty, "");
    write(&*store, [Write::DeleteRecords(all.clone())])
        .await
        .unwrap();
    assert!(keys(&*store, &all, None).await.is_empty());
    assert_eq!(keys(&*store, &record(Table::Report, ""), None).await, left);
}

pub(crate) async fn when_a_record_is_deleted_then_it_starts_again(store: Arc<dyn Store>) {
    let key = record(Table::NodeWish, "node");
    write(&*store, [Write::DeleteRecord(key.clone())])
        .await
        .unwrap();
    write(&*store, [put_record(&key, "1"), put_record(&key, "2")])
        .await
        .unwrap();

    write(&*store, [Write::DeleteRecord(key.clone())])
        .await
        .unwrap();

    assert_eq!(store.record(&key).await.unwrap(), None);
    let absent = Precondition::RecordAt(key.clone(), 0);
    write_if(&*store, [absent], [put_record(&key, "3")])
        .await
        .unwrap();
    assert_eq!(
        store
            .record(&key)
            .await
            .unwrap()
            .expect("it is there")
            .version,
        1
    );
}

pub(crate) async fn when_records_of_tables_and_tenants_share_a_key_then_they_are_apart(
    store: Arc<dyn Store>,
) {
    let all = [
        record_in("*", Table::System, "same"),
        record_in("*", Table::Token, "same"),
        record_in("a1", Table::System, "same"),
        record_in("a1", Table::Certificate, "same"),
        record_in("a1", Table::JoinToken, "same"),
        record_in("a1", Table::Decommission, "same"),
    ];
    for (number, key) in all.iter().enumerate() {
        write(&*store, [put_record(key, number.to_string())])
            .await
            .unwrap();
    }
    for (number, key) in all.iter().enumerate() {
        let found = store.record(key).await.unwrap().expect("it was written");
        assert_eq!((found.version, found.value), (1, number.to_string().into()));
        assert_eq!(keys(&*store, key, None).await, ["same"]);
    }
    write(&*store, [Write::DeleteRecord(all[2].clone())])
        .await
        .unwrap();
    assert_eq!(store.record(&all[2]).await.unwrap(), None);
    assert!(store.record(&all[0]).await.unwrap().is_some());
}

pub(crate) async fn when_a_value_is_any_bytes_then_it_comes_back(store: Arc<dyn Store>) {
    for table in [Table::Desired, Table::System] {
        for value in [Vec::new(), vec![0], vec![0xff, 0, 0xfe], vec![7; 300_000]] {
            let key = record_in("*", table, "ключ/\n");
            write(&*store, [put_record(&key, value.clone())])
                .await
                .unwrap();
            let found = store.record(&key).await.unwrap().expect("it was written");
            assert_eq!(found.value, value);
        }
    }
}
