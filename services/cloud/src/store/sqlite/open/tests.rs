//! Tests of the module `open`.

use super::*;

async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    let value = sqlx::query_scalar(sql).fetch_one(connection).await;
    value.expect("the pragma has a value")
}

#[tokio::test]
async fn when_the_writer_connects_then_commits_are_flushed_and_references_hold() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    create_file(&path).unwrap();
    let mut connection = connect(&path, &SqliteSettings::default()).await.unwrap();

    assert_eq!(pragma(&mut connection, "PRAGMA synchronous").await, 2);
    assert_eq!(pragma(&mut connection, "PRAGMA foreign_keys").await, 1);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn when_there_is_no_file_then_sqlite_does_not_make_one() {
    // Its mode would be too wide for a moment.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");

    let connected = connect(&path, &SqliteSettings::default()).await;

    assert!(matches!(connected, Err(StoreError::Unwritable(_))));
    assert!(!path.exists());
}
