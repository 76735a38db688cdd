//! Reading. Each read is one statement, or holds for whatever was committed between two.

use baetyl_model::{Kind, Name, NamespaceName, Revision, Uid};
use baetyl_pki::Sealer;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqliteConnection};

use super::{column, fault};
use crate::store::{Event, Key, Record, RecordKey, StoreError, Stored};

/// One of the reading connections, for one call.
pub(super) struct Reader<'a> {
    pub(super) connection: PoolConnection<Sqlite>,
    pub(super) sealer: &'a Sealer,
}

/// The newest revisions; `n` is the pointer, `r` the revision.
macro_rules! newest {
    ($rest:literal) => {
        concat!(
            "SELECT r.* FROM resource n JOIN revision r ON r.namespace = n.namespace \
             AND r.kind = n.kind AND r.name = n.name AND r.revision = n.revision WHERE ",
            $rest
        )
    };
}

impl Reader<'_> {
    pub(super) async fn newest(&mut self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let sql = newest!("n.namespace = ?1 AND n.kind = ?2 AND n.name = ?3");
        let row = sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        row.map(|row| column::stored(&row, self.sealer)).transpose()
    }

    pub(super) async fn revision(
        &mut self,
        key: &Key,
        revision: Revision,
    ) -> Result<Option<Stored>, StoreError> {
        let sql = "SELECT * FROM revision \
                   WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND revision = ?4";
        let row = sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .bind(column::number(revision.number()))
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        row.map(|row| column::stored(&row, self.sealer)).transpose()
    }

    pub(super) async fn revisions(
        &mut self,
        key: &Key,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let last = before.map_or(i64::MAX, |before| column::number(before.number() - 1));
        let sql = "SELECT * FROM revision \
                   WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND revision <= ?4 \
                   ORDER BY revision DESC LIMIT ?5";
        let rows = sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.kind.word())
            .bind(key.name.as_str())
            .bind(last)
            .bind(column::number(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let stored = rows.iter().map(|row| column::stored(row, self.sealer));
        stored.collect()
    }

    pub(super) async fn list(
        &mut self,
        namespace: &NamespaceName,
        kind: Kind,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let sql =
            newest!("n.namespace = ?1 AND n.kind = ?2 AND n.name > ?3 ORDER BY n.name LIMIT ?4");
        let rows = sqlx::query(sql)
            .bind(namespace.as_str())
            .bind(kind.word())
            .bind(after.map_or("", Name::as_str))
            .bind(column::number(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let stored = rows.iter().map(|row| column::stored(row, self.sealer));
        stored.collect()
    }

    pub(super) async fn namespaces(
        &mut self,
        after: Option<&NamespaceName>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        // The kind is spelled out so that the index over it is used.
        let sql =
            newest!("n.kind = 'namespace' AND n.namespace > ?1 ORDER BY n.namespace LIMIT ?2");
        let rows = sqlx::query(sql)
            .bind(after.map_or("", NamespaceName::as_str))
            .bind(column::number(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let stored = rows.iter().map(|row| column::stored(row, self.sealer));
        stored.collect()
    }

    pub(super) async fn record(&mut self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let sql = "SELECT key, version, value FROM record \
                   WHERE namespace = ?1 AND collection = ?2 AND key = ?3";
        let row = sqlx::query(sql)
            .bind(key.namespace.as_str())
            .bind(key.table.word())
            .bind(key.key.as_bytes())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        row.map(|row| column::record(&row, key, self.sealer))
            .transpose()
    }

    pub(super) async fn records(
        &mut self,
        prefix: &RecordKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        // The least text above another is that text and a zero.
        let above = after.map(|after| [after.as_bytes(), &[0]].concat());
        let first = above
            .unwrap_or_default()
            .max(prefix.key.clone().into_bytes());
        let sql = "SELECT key, version, value FROM record \
                   WHERE namespace = ?1 AND collection = ?2 AND key >= ?3 AND key < ?4 \
                   ORDER BY key LIMIT ?5";
        let rows = sqlx::query(sql)
            .bind(prefix.namespace.as_str())
            .bind(prefix.table.word())
            .bind(first)
            .bind(column::prefix_end(&prefix.key))
            .bind(column::number(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let records = rows
            .iter()
            .map(|row| column::record(row, prefix, self.sealer));
        records.collect()
    }

    pub(super) async fn events(
        &mut self,
        namespace: &NamespaceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT * FROM event WHERE namespace = ?1 AND sequence > ?2 \
                   ORDER BY sequence LIMIT ?3";
        let rows = sqlx::query(sql)
            .bind(namespace.as_str())
            .bind(column::number(after))
            .bind(column::number(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        let events = rows
            .iter()
            .map(column::event)
            .collect::<Result<Vec<_>, _>>()?;
        // There are no gaps, so the first one tells whether some before it were dropped.
        match events.first() {
            Some(first) if first.sequence == after + 1 => return Ok(events),
            Some(_) | None => {}
        }
        let (oldest, newest) = self.bounds(namespace).await?;
        if after > newest || after + 1 < oldest {
            return Err(StoreError::Compacted { oldest });
        }
        Ok(events)
    }

    /// The oldest event that is left, one above the newest when there is none, and the newest.
    async fn bounds(&mut self, namespace: &NamespaceName) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT s.newest AS newest, coalesce((SELECT min(e.sequence) FROM event e \
                   WHERE e.namespace = s.namespace), s.newest + 1) AS oldest \
                   FROM sequence s WHERE s.namespace = ?1";
        let row = sqlx::query(sql)
            .bind(namespace.as_str())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(fault::of)?;
        match row {
            Some(row) => Ok((
                column::counter(&row, "oldest")?,
                column::counter(&row, "newest")?,
            )),
            None => Ok((1, 0)),
        }
    }

    pub(super) async fn sequence(&mut self, namespace: &NamespaceName) -> Result<u64, StoreError> {
        let (_, newest) = self.bounds(namespace).await?;
        Ok(newest)
    }
}

/// Uid and newest revision of a resource.
pub(super) async fn pointer(
    connection: &mut SqliteConnection,
    key: &Key,
) -> Result<Option<(Uid, Revision)>, StoreError> {
    let sql = "SELECT uid, revision FROM resource \
               WHERE namespace = ?1 AND kind = ?2 AND name = ?3";
    let row = sqlx::query(sql)
        .bind(key.namespace.as_str())
        .bind(key.kind.word())
        .bind(key.name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(fault::of)?;
    let pointer = row.map(|row| Ok((column::parsed(&row, "uid")?, column::revision(&row)?)));
    pointer.transpose()
}

/// Resources whose newest revision refers to this one, sorted.
pub(super) async fn referrers(
    connection: &mut SqliteConnection,
    key: &Key,
) -> Result<Vec<Key>, StoreError> {
    let sql = "SELECT from_kind, from_name FROM reference \
               WHERE namespace = ?1 AND to_kind = ?2 AND to_name = ?3";
    let rows = sqlx::query(sql)
        .bind(key.namespace.as_str())
        .bind(key.kind.word())
        .bind(key.name.as_str())
        .fetch_all(connection)
        .await
        .map_err(fault::of)?;
    let mut referrers = Vec::with_capacity(rows.len());
    for row in rows {
        referrers.push(Key {
            namespace: key.namespace.clone(),
            kind: column::parsed(&row, "from_kind")?,
            name: column::parsed(&row, "from_name")?,
        });
    }
    referrers.sort();
    Ok(referrers)
}

/// Version of a record; 0 when there is none.
pub(super) async fn version(
    connection: &mut SqliteConnection,
    key: &RecordKey,
) -> Result<i64, StoreError> {
    let sql = "SELECT version FROM record \
               WHERE namespace = ?1 AND collection = ?2 AND key = ?3";
    let found: Option<i64> = sqlx::query_scalar(sql)
        .bind(key.namespace.as_str())
        .bind(key.table.word())
        .bind(key.key.as_bytes())
        .fetch_optional(connection)
        .await
        .map_err(fault::of)?;
    Ok(found.unwrap_or(0))
}
