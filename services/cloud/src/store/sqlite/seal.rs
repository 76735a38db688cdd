//! Which values are sealed, and what each is bound to: nobody can move one elsewhere, not even
//! to another revision or version of its own place.

use baetyl_model::{Kind, Revision, Uid};
use baetyl_pki::Sealer;
use bytes::Bytes;

use super::fault;
use crate::store::{Key, RecordKey, StoreError, Table};

/// Where a value stands.
pub(super) enum Place<'a> {
    /// The body of a revision.
    Body(&'a Key, &'a Uid, Revision),
    /// A version of a record.
    Record(&'a RecordKey, i64),
}

impl Place<'_> {
    fn is_sealed(&self) -> bool {
        match self {
            Self::Body(key, ..) => match key.kind {
                Kind::Secret | Kind::Certificate | Kind::Registry => true,
                Kind::Namespace | Kind::Node | Kind::Application | Kind::Configuration => false,
            },
            Self::Record(key, _) => key.table == Table::System,
        }
    }

    /// The place as text. Only a record's key may contain slashes, and it comes last.
    fn name(&self) -> String {
        match self {
            Self::Body(key, uid, revision) => format!("body/{key}/{uid}/{revision}"),
            Self::Record(key, version) => {
                let RecordKey {
                    namespace,
                    table,
                    key,
                } = key;
                let table = table.word();
                format!("record/{namespace}/{table}/{version}/{key}")
            }
        }
    }

    /// Returns the bytes as they are kept.
    pub(super) fn close(&self, sealer: &Sealer, value: &Bytes) -> Vec<u8> {
        if self.is_sealed() {
            return sealer.seal(self.name().as_bytes(), value);
        }
        value.to_vec()
    }

    /// Returns the bytes as they were written.
    pub(super) fn open(&self, sealer: &Sealer, kept: Vec<u8>) -> Result<Bytes, StoreError> {
        if !self.is_sealed() {
            return Ok(kept.into());
        }
        let name = self.name();
        let opened = sealer.open(name.as_bytes(), &kept);
        let value = opened.map_err(|error| fault::damaged(&name, &error))?;
        Ok(Bytes::copy_from_slice(&value))
    }
}
