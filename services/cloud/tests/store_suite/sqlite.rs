//! What only a durable store can get wrong: the file, a full disk, another opening.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::slice;
use std::sync::Arc;

use baetyl_cloud::store::sqlite::{SqliteSettings, SqliteStore};
use baetyl_cloud::store::{Precondition, Store, StoreError, Table, Write};
use baetyl_model::Kind;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::given::{
    Folder, configuration, created, key, key_in, next, put, put_record, record, record_in, refused,
    revision, soon, write, write_if,
};

/// Another hand on the same file.
async fn connect(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.file());
    options.connect().await.expect("it connects")
}

async fn run(folder: &Folder, sql: &str) {
    let mut connection = connect(folder).await;
    let done = sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await;
    done.expect("the statement runs");
    connection.close().await.expect("it closes");
}

async fn refusal(folder: &Folder) -> StoreError {
    let sealer = crate::given::sealer_in(folder.path());
    SqliteStore::open(folder.file(), sealer)
        .await
        .expect_err("it is refused")
}

#[tokio::test]
async fn when_opened_again_then_everything_is_there() {
    let folder = Folder::new();
    let token = record_in("*", Table::System, "token");
    let secret = key(Kind::Secret, "password");
    let store = folder.open().await;
    let id = store.id().to_owned();
    let one = created(&store, &secret, "one").await;
    let two = next(&one, "two");
    write(&store, [put(&two), put_record(&token, "value")])
        .await
        .unwrap();
    let events = store.events(&secret.namespace, 0, 10).await.unwrap();
    store.close().await;

    // In good order the first time, just dropped the second.
    for _ in 0..2 {
        let store = folder.open().await;

        assert_eq!(store.id(), id);
        assert_eq!(
            store.revisions(&secret, None, 10).await.unwrap(),
            [two.clone(), one.clone()]
        );
        assert_eq!(store.record(&token).await.unwrap().unwrap().value, "value");
        assert_eq!(
            store.events(&secret.namespace, 0, 10).await.unwrap(),
            events
        );
        assert_eq!(store.sequence(&secret.namespace).await.unwrap(), 2);
    }

    let store = folder.open().await;
    write(&store, [Write::Touch(secret.clone())]).await.unwrap();
    assert_eq!(store.sequence(&secret.namespace).await.unwrap(), 3);
}

#[tokio::test]
async fn when_two_stores_are_made_then_their_ids_differ() {
    let (one, two) = (Folder::new(), Folder::new());

    assert_ne!(one.open().await.id(), two.open().await.id());
}

#[tokio::test]
async fn when_opened_then_only_the_owner_may_read_the_files() {
    let folder = Folder::new();
    std::fs::write(folder.file(), "").unwrap();
    std::fs::set_permissions(folder.file(), Permissions::from_mode(0o644)).unwrap();

    let store = folder.open().await;
    created(&store, &configuration("limits"), "").await;

    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("store.db") {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            seen.push((name, mode));
        }
    }
    seen.sort();
    let expected = ["store.db", "store.db-shm", "store.db-wal"];
    assert_eq!(seen, expected.map(|name| (name.to_owned(), 0o600)));
}

#[tokio::test]
async fn when_the_folder_is_missing_then_opening_says_unwritable() {
    let folder = Folder::new();
    let sealer = crate::given::sealer_in(folder.path());

    let opened = SqliteStore::open(folder.path().join("nowhere/store.db"), sealer).await;

    assert!(
        matches!(opened, Err(StoreError::Unwritable(_))),
        "{opened:?}"
    );
}

#[tokio::test]
async fn when_a_newer_program_wrote_the_file_then_it_is_refused_and_left_alone() {
    let folder = Folder::new();
    folder.open().await.close().await;
    run(&folder, "PRAGMA user_version = 99").await;

    let refused = refusal(&folder).await;

    let StoreError::Corrupt(why) = refused else {
        panic!("expected that it is refused, got {refused:?}");
    };
    assert!(why.contains("newer program") && why.contains("99"), "{why}");
    run(&folder, "PRAGMA user_version = 1").await;
    folder.open().await.close().await;
}

#[tokio::test]
async fn when_the_file_is_something_else_then_it_is_refused() {
    let folder = Folder::new();
    let text = "this is not a database, and long enough to be looked at ".repeat(40);
    std::fs::write(folder.file(), &text).unwrap();

    let refused = refusal(&folder).await;

    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), text);
}

#[tokio::test]
async fn when_a_body_was_changed_in_the_file_then_reading_says_corrupt() {
    let folder = Folder::new();
    let store = folder.open().await;
    let limits = configuration("limits");
    created(&store, &limits, "31.5").await;

    run(&folder, "UPDATE revision SET body = CAST('99.9' AS BLOB)").await;

    let found = store.get(&limits).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}

#[tokio::test]
async fn when_closed_then_calls_say_unavailable_and_waiters_end() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut commits = store.commits();

    store.close().await;
    store.close().await;

    let read = store.get(&configuration("limits")).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    let written = write(&store, []).await;
    assert!(
        matches!(written, Err(StoreError::Unavailable(_))),
        "{written:?}"
    );
    assert!(soon(commits.changed()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_commits_share_a_transaction_then_each_has_its_own_outcome() {
    let folder = Folder::new();
    let store = Arc::new(folder.open().await);
    let mut writers = tokio::task::JoinSet::new();
    // More than fit into the queue at once.
    for number in 0..400_u64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let key = record(Table::Dirty, &number.to_string());
            let version = number % 3;
            let at = Precondition::RecordAt(key.clone(), version);
            let outcome = write_if(&*store, [at], [put_record(&key, "x")]).await;
            assert_eq!(outcome.is_ok(), version == 0, "{outcome:?}");
        });
    }

    soon(writers.join_all()).await;

    let all = store
        .records(&record(Table::Dirty, ""), None, 1000)
        .await
        .unwrap();
    assert_eq!(all.len(), 134);
    assert_eq!(*store.commits().borrow(), 134);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_disk_is_full_then_nothing_is_half_done_and_room_helps() {
    let folder = Folder::new();
    let settings = SqliteSettings {
        max_bytes: Some(512 * 1024),
        ..SqliteSettings::default()
    };
    let store = Arc::new(folder.open_with(settings).await);
    let limits = configuration("limits");
    let before = created(&*store, &limits, "before").await;
    let wish = record(Table::NodeWish, "one");
    let large = record(Table::Report, "large");
    let after = next(&before, "after");
    let too_much = || {
        let writes = [
            put(&after),
            put_record(&wish, "value"),
            put_record(&large, vec![7; 600 * 1024]),
        ];
        write(&*store, writes)
    };

    // The large one shares its transaction with small ones, in whatever order they come.
    let mut small = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        small.spawn(async move {
            let key = record(Table::Dirty, &number.to_string());
            write(&*store, [put_record(&key, "x")])
                .await
                .expect("there is room for it");
        });
    }
    let full = too_much().await;
    soon(small.join_all()).await;

    assert!(matches!(full, Err(StoreError::Unwritable(_))), "{full:?}");
    assert_eq!(
        store.revisions(&limits, None, 10).await.unwrap(),
        slice::from_ref(&before)
    );
    assert_eq!(store.record(&wish).await.unwrap(), None);
    assert_eq!(store.sequence(&limits.namespace).await.unwrap(), 1);
    let small = store
        .records(&record(Table::Dirty, ""), None, 100)
        .await
        .unwrap();
    assert_eq!(small.len(), 20);

    // Now to the brim, and back.
    let mut kept = 0_usize;
    let full = loop {
        let key = record(Table::Report, &format!("{kept:06}"));
        match write(&*store, [put_record(&key, vec![7; 5000])]).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Unwritable(_)), "{full:?}");
    let reports = record(Table::Report, "");
    let found = store.records(&reports, None, usize::MAX).await.unwrap();
    assert_eq!(found.len(), kept);
    assert!(kept > 10);
    write(&*store, [Write::DeleteRecords(reports)])
        .await
        .unwrap();
    write(&*store, [put(&after)]).await.unwrap();
    assert_eq!(store.get(&limits).await.unwrap(), Some(after.clone()));
}

#[tokio::test]
async fn when_another_program_reads_meanwhile_then_commits_go_on() {
    let folder = Folder::new();
    let store = folder.open().await;
    let node = key_in("plant", Kind::Node, "node");
    let one = created(&store, &node, "one").await;
    let mut backup = connect(&folder).await;
    let mut reading = backup.begin().await.unwrap();
    let count = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM revision");
    assert_eq!(count().fetch_one(&mut *reading).await.unwrap(), 1);

    write(&store, [put(&next(&one, "two"))]).await.unwrap();

    assert_eq!(count().fetch_one(&mut *reading).await.unwrap(), 1);
    let newest = store.get(&node).await.unwrap().expect("it is there");
    assert_eq!(newest.revision, revision(2));
    refused(write(&store, [put(&one)]).await);
}
