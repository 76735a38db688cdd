//! Printing for developers: never what may be a secret.

use std::fmt;

use bytes::Bytes;

use super::{Record, Stored, Write};

/// Stands for bytes that are not shown.
struct Hidden<'a>(&'a Bytes);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("key", &self.key)
            .field("uid", &self.uid)
            .field("revision", &self.revision)
            .field("digest", &self.digest)
            .field("body", &Hidden(&self.body))
            .field("labels", &self.labels)
            .field("references", &self.references)
            .field("author", &self.author)
            .field("create_time", &self.create_time)
            .field("update_time", &self.update_time)
            .finish()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("value", &Hidden(&self.value))
            .finish()
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(put) => f.debug_tuple("Put").field(put).finish(),
            Self::Delete(key) => f.debug_tuple("Delete").field(key).finish(),
            Self::Touch(key) => f.debug_tuple("Touch").field(key).finish(),
            Self::DropRevisions(key, dropped) => {
                let mut tuple = f.debug_tuple("DropRevisions");
                tuple.field(key).field(dropped).finish()
            }
            Self::PutRecord(key, value) => {
                let mut tuple = f.debug_tuple("PutRecord");
                tuple.field(key).field(&Hidden(value)).finish()
            }
            Self::DeleteRecord(key) => f.debug_tuple("DeleteRecord").field(key).finish(),
            Self::DeleteRecords(key) => f.debug_tuple("DeleteRecords").field(key).finish(),
        }
    }
}
