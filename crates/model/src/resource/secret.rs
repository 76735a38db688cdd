//! Confidential values: kept on update unless replaced, salted when stored, hidden when read.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use prost::bytes::Bytes;

use super::configuration::check_key;
use super::{Rules, resource, salt};
use crate::id::Kind;
use crate::violation::{Check, Path, reason};

/// The largest secret: all keys and values together.
pub const MAX_SECRET: usize = 64 * 1024;

/// What stands for a value where values are not shown.
pub const HIDDEN: &str = "(hidden)";

resource!(
    /// A checked secret with all of its values.
    Secret,
    pb::Secret
);

impl Secret {
    /// Returns the values by key.
    pub fn values(&self) -> &BTreeMap<String, Bytes> {
        &self.message.data
    }

    /// Returns whether both hold the same; the salt does not count.
    pub fn is_same_spec(&self, other: &Self) -> bool {
        let unsalted = |secret: &Self| pb::Secret {
            salt: Bytes::new(),
            ..secret.message.clone()
        };
        unsalted(self) == unsalted(other)
    }

    /// Draws a new salt, as each revision has its own.
    #[must_use]
    pub fn salted(mut self) -> Self {
        self.message.salt = salt::draw();
        self
    }

    /// Returns what may be listed: the keys without their values.
    pub fn view(self) -> pb::Secret {
        pb::Secret {
            data: BTreeMap::new(),
            ..self.view_with_values()
        }
    }

    /// Returns what somebody sees who may read the values.
    pub fn view_with_values(self) -> pb::Secret {
        let keys = self.message.data.keys().cloned().collect();
        pb::Secret {
            keys,
            salt: Bytes::new(),
            ..self.message
        }
    }
}

impl Rules for pb::Secret {
    const KIND: Kind = Kind::Secret;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        self.keys.clear();
        self.salt.clear();
        let data = Path::root().field("data");
        let string_data = Path::root().field("stringData");
        for key in self.data.keys() {
            check_key(key, &data, check);
        }
        for (key, value) in std::mem::take(&mut self.string_data) {
            check_key(&key, &string_data, check);
            if self.data.contains_key(&key) {
                let description = "stands in data, too";
                check.add(&string_data.field(&key), reason::DUPLICATE, description);
            }
            self.data.insert(key, value.into());
        }

        let remove_keys = Path::root().field("removeKeys");
        let removed = std::mem::take(&mut self.remove_keys);
        for (index, key) in removed.iter().enumerate() {
            if self.data.contains_key(key) {
                check.add(&remove_keys.index(index), reason::CONFLICT, "is also set");
            }
        }
        let removed: BTreeSet<String> = removed.into_iter().collect();
        for (key, value) in before.into_iter().flat_map(|before| &before.data) {
            if !removed.contains(key) && !self.data.contains_key(key) {
                self.data.insert(key.clone(), value.clone());
            }
        }

        let bytes: usize = self
            .data
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        check.bytes(&data, bytes, MAX_SECRET);
    }
}
