//! What SQLite's result codes mean to whoever uses a store.

use crate::store::StoreError;

/// Result codes, <https://www.sqlite.org/rescode.html>; extended ones have more in the high bytes.
const PERM: i32 = 3;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const IOERR_READ: i32 = 10 | (1 << 8);
const IOERR_SHORT_READ: i32 = 10 | (2 << 8);
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

/// Sorts an error of the driver by what can be done about it.
pub(super) fn of(error: sqlx::Error) -> StoreError {
    let database = error
        .as_database_error()
        .and_then(|database| database.code());
    let code = database.and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| (code, code & 0xff)) {
        Some((IOERR_READ | IOERR_SHORT_READ, _)) => StoreError::Unavailable(error.into()),
        Some((_, FULL | READONLY | PERM | CANTOPEN | IOERR)) => {
            StoreError::Unwritable(error.into())
        }
        Some((_, CORRUPT | NOTADB)) => StoreError::Corrupt(error.to_string()),
        Some(_) | None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                StoreError::Corrupt(error.to_string())
            }
            other => StoreError::Unavailable(other.into()),
        },
    }
}

/// The store is there, and does not answer now.
pub(super) fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

/// A column holds what this program never writes.
pub(super) fn damaged(column: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{column} is damaged: {why}"))
}
