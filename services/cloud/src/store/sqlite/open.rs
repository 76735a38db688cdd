//! Opening: the file, its form, and whether it is ours.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use baetyl_pki::Sealer;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::{SqliteSettings, fault};
use crate::store::StoreError;

/// What brings an empty file to the newest form, step by step; never changed, only added to.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/0001_init.sql")];

const PAGE_BYTES: u32 = 4096;

/// Something else may hold the file for a moment, a backup for instance.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How long a read waits for a connection.
const READER_WAIT: Duration = Duration::from_secs(5);

/// A log that grew beyond this is cut when it was written back.
const MAX_LOG_BYTES: &str = "67108864";

/// What the store's id is sealed for, as proof that the sealer is the right one.
const PROOF: &[u8] = b"store/id";

/// Makes the file, if it is not there, for its owner only. SQLite gives the files that it
/// makes beside it the same mode.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    let create = || -> io::Result<()> {
        let is_new = !path.try_exists()?;
        let options = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        options.set_permissions(Permissions::from_mode(0o600))?;
        if is_new && let Some(folder) = path.parent() {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    create().map_err(|error| StoreError::Unwritable(error.into()))
}

/// Connects the writer. An acknowledged commit has been flushed to the disk.
pub(super) async fn connect(
    path: &Path,
    settings: &SqliteSettings,
) -> Result<SqliteConnection, StoreError> {
    let mut options = common(path)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("journal_size_limit", MAX_LOG_BYTES)
        .thread_name(|_| "store-write".into());
    if let Some(bytes) = settings.max_bytes {
        let pages = (bytes / u64::from(PAGE_BYTES)).max(1);
        options = options.pragma("max_page_count", pages.to_string());
    }
    options.connect().await.map_err(fault::of)
}

/// Makes the readers' pool; it connects when it is first used.
pub(super) fn readers(path: &Path, settings: &SqliteSettings) -> SqlitePool {
    let options = common(path)
        .read_only(true)
        .thread_name(|number| format!("store-read-{number}"));
    SqlitePoolOptions::new()
        .max_connections(settings.readers.max(1))
        .acquire_timeout(READER_WAIT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn common(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_WAIT)
        .disable_statement_logging()
}

/// Brings the file to the newest form, whole or not at all.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(fault::of)?;
    let known = MIGRATIONS.len();
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > known {
        return Err(StoreError::Corrupt(format!(
            "a newer program wrote it in form {found}, this one knows forms up to {known}"
        )));
    }
    if done == known {
        return Ok(());
    }
    let steps = MIGRATIONS[done..].concat();
    let script = format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {known}; COMMIT;");
    sqlx::raw_sql(AssertSqlSafe(script))
        .execute(&mut *connection)
        .await
        .map_err(fault::of)?;
    Ok(())
}

/// Reads the store's id, or draws it, and checks the sealer with it.
pub(super) async fn identify(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
) -> Result<String, StoreError> {
    let proof: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'id'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(fault::of)?;
    let Some(proof) = proof else {
        let id = uuid::Uuid::new_v4().to_string();
        sqlx::query("INSERT INTO meta (key, value) VALUES ('id', ?1)")
            .bind(sealer.seal(PROOF, id.as_bytes()))
            .execute(&mut *connection)
            .await
            .map_err(fault::of)?;
        return Ok(id);
    };
    let opened = sealer.open(PROOF, &proof);
    let id = opened
        .map_err(|error| StoreError::Corrupt(format!("it was sealed with another key: {error}")))?;
    String::from_utf8(id.to_vec()).map_err(|error| fault::damaged("meta.value", &error))
}

#[cfg(test)]
mod tests;
