//! The durable store: one SQLite file.
//!
//! One connection writes and belongs to one task, which joins the commits that wait into one
//! transaction: they share the flush to the disk, which is most of the cost, and each has its
//! own outcome. Reads go through a few connections of their own and see whole commits only.
//! The bodies of secrets and the records of [`Table::System`](super::Table::System) are
//! sealed, each for the place where it stands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baetyl_model::{Kind, Name, NamespaceName, Revision};
use baetyl_pki::Sealer;
use parking_lot::Mutex;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::{Commit, Event, Key, Record, RecordKey, Store, StoreError, Stored};

mod column;
mod fault;
mod open;
mod read;
mod seal;
mod write;
mod writer;

use read::Reader;
use writer::{Job, Writer};

/// How many commits may wait for the writer. Each holds its bodies in memory; the writer takes
/// [`writer::MAX_BATCH`] at a time, so that this is a few flushes of the disk.
const QUEUE: usize = 128;

/// How long a commit waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The largest size of the database, in bytes; none by default. Beyond it, and beyond the
    /// disk, commits are [`StoreError::Unwritable`]. The log beside it (`-wal`) comes on top.
    pub max_bytes: Option<u64>,
    /// How many reads run at once; at least 1, 4 by default.
    pub readers: u32,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            max_bytes: None,
            readers: 4,
        }
    }
}

/// A store in a SQLite file with mode 0600, and its `-wal` and `-shm` beside it.
///
/// Belongs to one process at a time. [`SqliteStore::close`] ends it in good order; a store that
/// is just dropped, or killed, has lost nothing that was acknowledged.
#[derive(Debug)]
pub struct SqliteStore {
    id: String,
    pool: SqlitePool,
    sealer: Arc<Sealer>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    commits: watch::Receiver<u64>,
    tasks: TaskTracker,
}

impl SqliteStore {
    /// Opens the store in a file, or makes it; brings an older one to this program's form.
    ///
    /// # Errors
    /// [`StoreError::Unwritable`] when the file cannot be made or written;
    /// [`StoreError::Corrupt`] when it is no store, was written by a newer program, or was
    /// sealed with another key.
    pub async fn open(
        path: impl AsRef<Path>,
        sealer: impl Into<Arc<Sealer>>,
    ) -> Result<Self, StoreError> {
        Self::open_with(path, sealer, SqliteSettings::default()).await
    }

    /// Opens a store as [`SqliteStore::open`] does, with settings.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_with(
        path: impl AsRef<Path>,
        sealer: impl Into<Arc<Sealer>>,
        settings: SqliteSettings,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let sealer = sealer.into();
        open::create_file(path)?;
        let mut connection = open::connect(path, &settings).await?;
        open::migrate(&mut connection).await?;
        let id = open::identify(&mut connection, &sealer).await?;

        let (commits, commits_seen) = watch::channel(0);
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let writer = Writer::new(connection, Arc::clone(&sealer), commits);
        let tasks = TaskTracker::new();
        tasks.spawn(writer.run(waiting));
        tasks.close();
        Ok(Self {
            id,
            pool: open::readers(path, &settings),
            sealer,
            jobs: Mutex::new(Some(jobs)),
            commits: commits_seen,
            tasks,
        })
    }

    /// Finishes the commits that wait, writes the log back into the file, and closes it. Every
    /// call from now on is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.jobs.lock().take();
        self.pool.close().await;
        self.tasks.wait().await;
    }

    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        Ok(Reader {
            connection: self.pool.acquire().await.map_err(fault::of)?,
            sealer: &self.sealer,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.reader().await?.newest(key).await
    }

    async fn get_revision(
        &self,
        key: &Key,
        revision: Revision,
    ) -> Result<Option<Stored>, StoreError> {
        self.reader().await?.revision(key, revision).await
    }

    async fn revisions(
        &self,
        key: &Key,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        self.reader().await?.revisions(key, before, limit).await
    }

    async fn list(
        &self,
        namespace: &NamespaceName,
        kind: Kind,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut reader = self.reader().await?;
        reader.list(namespace, kind, after, limit).await
    }

    async fn namespaces(
        &self,
        after: Option<&NamespaceName>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        self.reader().await?.namespaces(after, limit).await
    }

    async fn referrers(&self, key: &Key) -> Result<Vec<Key>, StoreError> {
        let mut reader = self.reader().await?;
        read::referrers(&mut reader.connection, key).await
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.reader().await?.record(key).await
    }

    async fn records(
        &self,
        prefix: &RecordKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().await?.records(prefix, after, limit).await
    }

    async fn events(
        &self,
        namespace: &NamespaceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.reader().await?.events(namespace, after, limit).await
    }

    async fn sequence(&self, namespace: &NamespaceName) -> Result<u64, StoreError> {
        self.reader().await?.sequence(namespace).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check_digests()?;
        let jobs = self.jobs.lock().clone();
        let jobs = jobs.ok_or_else(|| fault::unavailable("the store is closed"))?;
        let (reply, outcome) = oneshot::channel();
        let place = tokio::time::timeout(QUEUE_WAIT, jobs.reserve()).await;
        match place {
            Ok(Ok(place)) => place.send(Job { commit, reply }),
            Ok(Err(_)) => return Err(fault::unavailable("the writer of the store has ended")),
            Err(_) => return Err(fault::unavailable("too many commits are waiting")),
        }
        // No deadline: the writer answers everything it takes, or ends.
        let ended = |_| fault::unavailable("the writer of the store has ended");
        outcome.await.map_err(ended)?
    }

    fn commits(&self) -> watch::Receiver<u64> {
        let mut commits = self.commits.clone();
        commits.mark_unchanged();
        commits
    }
}
