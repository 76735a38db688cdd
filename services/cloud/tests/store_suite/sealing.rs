//! Secrets at rest: not to be found in any file, and not to be moved.

use baetyl_cloud::store::sqlite::SqliteStore;
use baetyl_cloud::store::{Store, StoreError, Table};
use baetyl_model::{Digest, Kind};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::given::{
    Folder, configuration, created, key, next, put, put_record, record, record_in, sealer_in, write,
};

const CANARY: &str = "yellow-canary-5309";
const SPARROW: &str = "brown-sparrow-5309";

/// How often a text is in the files of a store.
fn occurrences(folder: &Folder, text: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let windows = bytes.windows(text.len());
        count += windows.filter(|window| *window == text.as_bytes()).count();
    }
    count
}

async fn run(folder: &Folder, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(folder.file());
    let mut connection = options.connect().await.expect("it connects");
    let changed = sqlx::query(sql)
        .execute(&mut connection)
        .await
        .expect("it runs");
    assert_ne!(changed.rows_affected(), 0);
    connection.close().await.expect("it closes");
}

#[tokio::test]
async fn when_secrets_are_written_then_no_file_shows_them() {
    let folder = Folder::new();
    let store = folder.open().await;
    let secret = key(Kind::Secret, "password");
    let one = created(&store, &secret, CANARY).await;
    let two = next(&one, format!("{CANARY} again"));
    let system = record_in("*", Table::System, "ca");
    let writes = [
        put(&two),
        put_record(&system, CANARY),
        put_record(&system, format!("{CANARY} again")),
        // What is not secret is found, so the search works.
        put_record(&record(Table::Report, "one"), SPARROW),
    ];
    write(&store, writes).await.unwrap();
    created(&store, &configuration("limits"), SPARROW).await;

    assert_eq!(occurrences(&folder, CANARY), 0);
    assert!(occurrences(&folder, SPARROW) >= 2);
    let found = store.get_revision(&secret, one.revision).await.unwrap();
    assert_eq!(found.as_ref(), Some(&one));
    assert_eq!(one.digest, Digest::of(CANARY.as_bytes()));
    let found = store.record(&system).await.unwrap().expect("it is there");
    assert_eq!(found.value, format!("{CANARY} again"));
    store.close().await;
    assert_eq!(occurrences(&folder, CANARY), 0);
    assert!(occurrences(&folder, SPARROW) >= 2);
}

#[tokio::test]
async fn when_certificates_and_registries_are_written_then_no_file_shows_them() {
    for kind in [Kind::Certificate, Kind::Registry] {
        let folder = Folder::new();
        let store = folder.open().await;
        let hidden = key(kind, "hidden");
        let one = created(&store, &hidden, CANARY).await;
        write(&store, [put(&next(&one, format!("{CANARY} again")))])
            .await
            .unwrap();
        created(&store, &configuration("limits"), SPARROW).await;

        assert_eq!(occurrences(&folder, CANARY), 0, "{kind}");
        assert!(occurrences(&folder, SPARROW) >= 1);
        let found = store.get_revision(&hidden, one.revision).await.unwrap();
        assert_eq!(found, Some(one));
        store.close().await;
        assert_eq!(occurrences(&folder, CANARY), 0, "{kind}");
    }
}

#[tokio::test]
async fn when_values_are_printed_for_developers_then_bodies_are_hidden() {
    let stored = crate::given::first(&key(Kind::Secret, "password"), CANARY);
    let system = record_in("*", Table::System, "ca");

    let shown = format!("{:?} {:?}", put(&stored), put_record(&system, CANARY));

    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("<18 bytes>"), "{shown}");
}

#[tokio::test]
async fn when_opened_with_another_key_then_it_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.open().await.close().await;

    let opened = SqliteStore::open(folder.file(), sealer_in(other.path())).await;

    let Err(StoreError::Corrupt(why)) = opened else {
        panic!("expected that it is refused, got {opened:?}");
    };
    assert!(why.contains("another key"), "{why}");
}

#[tokio::test]
async fn when_a_sealed_body_is_moved_to_another_secret_then_it_does_not_open() {
    let folder = Folder::new();
    let store = folder.open().await;
    let (one, two) = (key(Kind::Secret, "one"), key(Kind::Secret, "two"));
    // The same body, so that only the place tells them apart.
    created(&store, &one, CANARY).await;
    created(&store, &two, CANARY).await;

    run(
        &folder,
        "UPDATE revision SET body = (SELECT body FROM revision WHERE name = 'one') \
         WHERE name = 'two'",
    )
    .await;

    assert!(store.get(&one).await.unwrap().is_some());
    let moved = store.get(&two).await;
    assert!(matches!(moved, Err(StoreError::Corrupt(_))), "{moved:?}");
}

#[tokio::test]
async fn when_an_old_version_of_a_record_is_put_back_then_it_does_not_open() {
    let folder = Folder::new();
    let store = folder.open().await;
    let system = record_in("*", Table::System, "revoked");
    write(&store, [put_record(&system, "none")]).await.unwrap();
    run(
        &folder,
        "INSERT INTO meta (key, value) SELECT 'old', value FROM record",
    )
    .await;
    write(&store, [put_record(&system, "one")]).await.unwrap();

    run(
        &folder,
        "UPDATE record SET value = (SELECT value FROM meta WHERE key = 'old')",
    )
    .await;

    let found = store.record(&system).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}
