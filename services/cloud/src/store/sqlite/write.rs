//! One commit inside the writer's transaction.

use std::collections::BTreeSet;
use std::time::SystemTime;

use baetyl_model::{NamespaceName, Revision, Uid};
use baetyl_pki::Sealer;
use bytes::Bytes;
use sqlx::sqlite::SqliteConnection;

use super::seal::Place;
use super::{column, fault, read};
use crate::store::{
    Change, Commit, EVENTS_KEPT, Key, Precondition, RecordKey, StoreError, Stored, Write,
};

/// Does what a commit says. After an error the caller rolls back.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    commit: &Commit,
) -> Result<(), StoreError> {
    let mut work = Work {
        connection,
        sealer,
        now: SystemTime::now(),
        changed: BTreeSet::new(),
    };
    for precondition in &commit.preconditions {
        work.require(precondition).await?;
    }
    for write in &commit.writes {
        work.write(write).await?;
    }
    work.drop_old_events().await
}

struct Work<'a> {
    connection: &'a mut SqliteConnection,
    sealer: &'a Sealer,
    now: SystemTime,
    /// Where events were added.
    changed: BTreeSet<NamespaceName>,
}

/// What an event is about.
struct Happened<'a> {
    key: &'a Key,
    uid: &'a Uid,
    revision: Revision,
    change: Change,
    time: SystemTime,
}

impl Work<'_> {
    async fn require(&mut self, precondition: &Precondition) -> Result<(), StoreError> {
        let holds = match precondition {
            Precondition::Absent(key) | Precondition::Exists(key) | Precondition::At(key, ..) => {
                let pointer = read::pointer(self.connection, key).await?;
                precondition.allows(pointer.as_ref())
            }
            Precondition::Unreferenced(key, except) => {
                let referrers = read::referrers(self.connection, key).await?;
                referrers.iter().all(|referrer| except.contains(referrer))
            }
            Precondition::RecordAt(key, version) => {
                let found = read::version(self.connection, key).await?;
                u64::try_from(found) == Ok(*version)
            }
        };
        if holds {
            return Ok(());
        }
        Err(StoreError::Precondition(Box::new(precondition.clone())))
    }

    async fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Put(put) => self.put(put).await,
            Write::Delete(key) => self.delete(key).await,
            Write::Touch(key) => self.log_newest(key, Change::Modified).await,
            Write::DropRevisions(key, dropped) => self.drop_revisions(key, dropped).await,
            Write::PutRecord(key, value) => self.put_record(key, value).await,
            Write::DeleteRecord(key) => self.delete_record(key).await,
            Write::DeleteRecords(prefix) => self.delete_records(prefix).await,
        }
    }

    async fn put(&mut self, put: &Stored) -> Result<(), StoreError> {
        self.require(&put.follows()).await?;
        let Stored { key, uid, .. } = put;
        let revision = column::number(put.revision.number());
        let sql = "INSERT INTO resource (namespace, kind, name, uid, revision) \
                   VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (namespace, kind, name) \
                   DO UPDATE SET uid = excluded.uid, revision = excluded.revision";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .bind(uid.as_str())
            .bind(revision)
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let sql = "INSERT INTO revision (namespace, kind, name, revision, uid, digest, body, \
                   labels, refers_to, author, create_time, update_time) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let body = Place::Body(key, uid, put.revision).close(self.sealer, &put.body);
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .bind(revision)
            .bind(uid.as_str())
            .bind(put.digest.as_bytes().as_slice())
            .bind(body)
            .bind(column::json_text(&put.labels))
            .bind(column::json_text(&put.references))
            .bind(put.author.as_str())
            .bind(column::nanoseconds(put.create_time))
            .bind(column::nanoseconds(put.update_time))
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        self.put_references(put).await?;
        self.log(Happened {
            key,
            uid,
            revision: put.revision,
            change: put.change(),
            time: put.update_time,
        })
        .await
    }

    async fn put_references(&mut self, put: &Stored) -> Result<(), StoreError> {
        let key = &put.key;
        let sql = "DELETE FROM reference \
                   WHERE namespace = ?1 AND from_kind = ?2 AND from_name = ?3";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let sql = "INSERT INTO reference (namespace, from_kind, from_name, to_kind, to_name) \
                   VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        for (to_kind, to_name) in &put.references {
            sqlx::query(sql)
                .bind(key.namespace.as_str())
                .bind(key.kind.word())
                .bind(key.name.as_str())
                .bind(to_kind.word())
                .bind(to_name.as_str())
                .execute(&mut *self.connection)
                .await
                .map_err(fault::of)?;
        }
        Ok(())
    }

    async fn delete(&mut self, key: &Key) -> Result<(), StoreError> {
        self.log_newest(key, Change::Deleted).await?;
        // Its revisions and its references to others go with it.
        let sql = "DELETE FROM resource WHERE namespace = ?1 AND kind = ?2 AND name = ?3";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        Ok(())
    }

    async fn drop_revisions(&mut self, key: &Key, dropped: &[Revision]) -> Result<(), StoreError> {
        let Some((_, newest)) = read::pointer(self.connection, key).await? else {
            return Ok(());
        };
        let sql = "DELETE FROM revision \
                   WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND revision = ?4";
        for revision in dropped.iter().filter(|one| **one != newest) {
            sqlx::query(sql)
                .bind(key.namespace.as_str())
                .bind(key.kind.word())
                .bind(key.name.as_str())
                .bind(column::number(revision.number()))
                .execute(&mut *self.connection)
                .await
                .map_err(fault::of)?;
        }
        Ok(())
    }

    async fn put_record(&mut self, key: &RecordKey, value: &Bytes) -> Result<(), StoreError> {
        let version = read::version(self.connection, key).await? + 1;
        let sql = "INSERT INTO record (namespace, collection, key, version, value) \
                   VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (namespace, collection, key) \
                   DO UPDATE SET version = excluded.version, value = excluded.value";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.table.word())
            .bind(key.key.as_bytes())
            .bind(version)
            .bind(Place::Record(key, version).close(self.sealer, value))
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        Ok(())
    }

    async fn delete_record(&mut self, key: &RecordKey) -> Result<(), StoreError> {
        let sql = "DELETE FROM record WHERE namespace = ?1 AND collection = ?2 AND key = ?3";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.table.word())
            .bind(key.key.as_bytes())
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        Ok(())
    }

    async fn delete_records(&mut self, prefix: &RecordKey) -> Result<(), StoreError> {
        let sql = "DELETE FROM record \
                   WHERE namespace = ?1 AND collection = ?2 AND key >= ?3 AND key < ?4";
        sqlx::query(sql)
            .bind(prefix.namespace.as_str())
            .bind(prefix.table.word())
            .bind(prefix.key.as_bytes())
            .bind(column::prefix_end(&prefix.key))
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        Ok(())
    }

    /// Adds an event about a resource, which must exist.
    async fn log_newest(&mut self, key: &Key, change: Change) -> Result<(), StoreError> {
        let Some((uid, revision)) = read::pointer(self.connection, key).await? else {
            return Err(StoreError::Precondition(Box::new(Precondition::Exists(
                key.clone(),
            ))));
        };
        let time = self.now;
        self.log(Happened {
            key,
            uid: &uid,
            revision,
            change,
            time,
        })
        .await
    }

    /// Adds an event. The counter's row orders the writers of a namespace, here and in a
    /// database with many of them.
    async fn log(&mut self, happened: Happened<'_>) -> Result<(), StoreError> {
        let Happened { key, uid, .. } = happened;
        let sql = "INSERT INTO sequence (namespace, newest) VALUES (?1, 1) \
                   ON CONFLICT (namespace) DO UPDATE SET newest = newest + 1 RETURNING newest";
        let sequence: i64 = sqlx::query_scalar(sql)
            .bind(key.namespace.as_str())
            .fetch_one(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let sql = "INSERT INTO event (namespace, sequence, kind, name, uid, revision, change, \
                   time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(sequence)
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .bind(uid.as_str())
            .bind(column::number(happened.revision.number()))
            .bind(column::word(happened.change))
            .bind(column::nanoseconds(happened.time))
            .execute(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        if !self.changed.contains(&key.namespace) {
            self.changed.insert(key.namespace.clone());
        }
        Ok(())
    }

    async fn drop_old_events(&mut self) -> Result<(), StoreError> {
        let sql = "DELETE FROM event WHERE namespace = ?1 AND sequence <= \
                   (SELECT newest FROM sequence WHERE namespace = ?1) - ?2";
        for namespace in &self.changed {
            sqlx::query(sql)
                .bind(namespace.as_str())
                .bind(column::number(EVENTS_KEPT))
                .execute(&mut *self.connection)
                .await
                .map_err(fault::of)?;
        }
        Ok(())
    }
}
