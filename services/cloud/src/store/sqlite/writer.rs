//! The task that owns the writing connection.

use std::slice;
use std::sync::Arc;

use baetyl_pki::Sealer;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{fault, write};
use crate::store::{Commit, StoreError};

/// The most commits that share a transaction: more would gain little, and the first of them
/// would wait for the last.
pub(super) const MAX_BATCH: usize = 32;

/// A commit that waits, and who waits for it.
pub(super) struct Job {
    pub(super) commit: Commit,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// What became of one commit.
type Outcome = Result<(), StoreError>;

/// Writes, one transaction after the other.
pub(super) struct Writer {
    connection: SqliteConnection,
    sealer: Arc<Sealer>,
    commits: watch::Sender<u64>,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        sealer: Arc<Sealer>,
        commits: watch::Sender<u64>,
    ) -> Self {
        Self {
            connection,
            sealer,
            commits,
        }
    }

    /// Writes until nobody can send any more, then closes the file.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let outcomes = self.write(&batch).await;
            for (job, outcome) in batch.drain(..).zip(outcomes) {
                // Whoever stopped waiting does not want to know.
                let _ = job.reply.send(outcome);
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = %error, "store not closed in good order");
        }
    }

    /// Writes commits together. When the disk is full, or the file is damaged somewhere, each
    /// is tried alone: one that cannot be written must not take the others with it.
    async fn write(&mut self, batch: &[Job]) -> Vec<Outcome> {
        match self.transaction(batch).await {
            Ok(outcomes) => return outcomes,
            Err(error) if batch.len() == 1 => return vec![Err(error)],
            Err(StoreError::Unavailable(error)) => {
                // They waited for it together, and would only wait in turn.
                let same = |_| Err(StoreError::Unavailable(error.to_string().into()));
                return batch.iter().map(same).collect();
            }
            Err(_) => {}
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            match self.transaction(slice::from_ref(job)).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(error) => outcomes.push(Err(error)),
            }
        }
        outcomes
    }

    /// Writes commits in one transaction, each with its own outcome; an error means that
    /// nothing at all was written.
    async fn transaction(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, StoreError> {
        let done = self.try_transaction(batch).await;
        if done.is_err() {
            // This fails only where SQLite has rolled back already.
            let _ = self.run_sql("ROLLBACK").await;
        }
        let outcomes = done?;
        let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        if written > 0 {
            self.commits.send_modify(|count| *count += written as u64);
        }
        Ok(outcomes)
    }

    async fn try_transaction(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        self.run_sql("BEGIN IMMEDIATE").await?;
        for job in batch {
            self.run_sql("SAVEPOINT one").await?;
            let outcome = write::apply(&mut self.connection, &self.sealer, &job.commit).await;
            match outcome {
                Ok(()) => {}
                Err(StoreError::Precondition(_)) => self.run_sql("ROLLBACK TO one").await?,
                Err(error) => return Err(error),
            }
            self.run_sql("RELEASE one").await?;
            outcomes.push(outcome);
        }
        self.run_sql("COMMIT").await?;
        Ok(outcomes)
    }

    async fn run_sql(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = sqlx::query(sql).execute(&mut self.connection).await;
        done.map(|_| ()).map_err(fault::of)
    }
}
