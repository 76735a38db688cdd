//! Between the values of a store and the columns of its tables.

use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use baetyl_model::{Digest, Revision};
use baetyl_pki::Sealer;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault;
use super::seal::Place;
use crate::store::{Change, Event, Key, Record, RecordKey, StoreError, Stored, check_digest};

/// A counter or a limit; the largest that the column holds when it is larger.
pub(super) fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970; what is before 1678 or after 2262 becomes the nearest that can be said.
pub(super) fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => number(since.as_nanos()),
        Err(before) => -number(before.duration().as_nanos()),
    }
}

fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    match nanoseconds {
        0.. => SystemTime::UNIX_EPOCH + distance,
        _ => SystemTime::UNIX_EPOCH - distance,
    }
}

/// The word for a change.
pub(super) fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    }
}

fn change(word: &str) -> Result<Change, StoreError> {
    let all = [Change::Added, Change::Modified, Change::Deleted];
    let found = all.into_iter().find(|change| self::word(*change) == word);
    found.ok_or_else(|| fault::damaged("change", &word))
}

/// Reads a text column into a type that checks it.
pub(super) fn parsed<T>(row: &SqliteRow, column: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    let text: &str = row.try_get(column).map_err(fault::of)?;
    text.parse().map_err(|error| fault::damaged(column, &error))
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).map_err(fault::of)?;
    serde_json::from_str(text).map_err(|error| fault::damaged(column, &error))
}

/// Writes a value that always has a JSON form: texts, in maps and lists.
pub(super) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts have a form in json")
}

/// Reads the revision of a row.
pub(super) fn revision(row: &SqliteRow) -> Result<Revision, StoreError> {
    let number = counter(row, "revision")?;
    Revision::new(number).ok_or_else(|| fault::damaged("revision", &number))
}

/// Reads a counter, which is never negative.
pub(super) fn counter(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column).map_err(fault::of)?;
    u64::try_from(number).map_err(|error| fault::damaged(column, &error))
}

fn key(row: &SqliteRow) -> Result<Key, StoreError> {
    Ok(Key {
        namespace: parsed(row, "namespace")?,
        kind: parsed(row, "kind")?,
        name: parsed(row, "name")?,
    })
}

/// Reads a row of `revision`; its digest must be that of its body.
pub(super) fn stored(row: &SqliteRow, sealer: &Sealer) -> Result<Stored, StoreError> {
    let key = key(row)?;
    let uid = parsed(row, "uid")?;
    let revision = revision(row)?;
    let digest: &[u8] = row.try_get("digest").map_err(fault::of)?;
    let digest = <[u8; 32]>::try_from(digest).map_err(|error| fault::damaged("digest", &error))?;
    let body = row.try_get("body").map_err(fault::of)?;
    let stored = Stored {
        digest: Digest::from_bytes(digest),
        body: Place::Body(&key, &uid, revision).open(sealer, body)?,
        key,
        uid,
        revision,
        labels: json(row, "labels")?,
        references: json(row, "refers_to")?,
        author: row.try_get("author").map_err(fault::of)?,
        create_time: time(row.try_get("create_time").map_err(fault::of)?),
        update_time: time(row.try_get("update_time").map_err(fault::of)?),
    };
    check_digest(&stored)?;
    Ok(stored)
}

/// Reads a row of `event`.
pub(super) fn event(row: &SqliteRow) -> Result<Event, StoreError> {
    Ok(Event {
        sequence: counter(row, "sequence")?,
        key: key(row)?,
        uid: parsed(row, "uid")?,
        revision: revision(row)?,
        change: change(row.try_get("change").map_err(fault::of)?)?,
        time: time(row.try_get("time").map_err(fault::of)?),
    })
}

/// Reads a row of `record`, of the namespace and table of `place`.
pub(super) fn record(
    row: &SqliteRow,
    place: &RecordKey,
    sealer: &Sealer,
) -> Result<Record, StoreError> {
    let key: Vec<u8> = row.try_get("key").map_err(fault::of)?;
    let key = String::from_utf8(key).map_err(|error| fault::damaged("key", &error))?;
    let place = RecordKey {
        key,
        ..place.clone()
    };
    let version: i64 = row.try_get("version").map_err(fault::of)?;
    let kept = row.try_get("value").map_err(fault::of)?;
    Ok(Record {
        version: counter(row, "version")?,
        value: Place::Record(&place, version).open(sealer, kept)?,
        key: place.key,
    })
}

/// The end of all keys that start with a prefix: no text contains the byte 0xFF.
pub(super) fn prefix_end(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), &[0xff]].concat()
}
