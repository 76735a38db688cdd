//! Named files and values.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;

use super::{Rules, resource};
use crate::id::Kind;
use crate::violation::{Check, Path, reason};

/// The largest configuration: all keys and values together stay below this many bytes.
pub const MAX_CONFIGURATION: usize = 4 * 1024 * 1024;

/// The longest key: a file name.
const MAX_KEY: usize = 253;

resource!(
    /// A checked configuration.
    Configuration,
    pb::Configuration
);

impl Configuration {
    /// Returns every file of it, text and bytes alike, by its name.
    pub fn files(&self) -> BTreeMap<&str, &[u8]> {
        let text = self.message.data.iter();
        let binary = self.message.binary_data.iter();
        text.map(|(key, value)| (key.as_str(), value.as_bytes()))
            .chain(binary.map(|(key, value)| (key.as_str(), value.as_ref())))
            .collect()
    }
}

impl Rules for pb::Configuration {
    const KIND: Kind = Kind::Configuration;

    fn normalise(&mut self, _before: Option<&Self>, check: &mut Check) {
        let data = Path::root().field("data");
        let binary_data = Path::root().field("binaryData");
        for key in self.data.keys() {
            check_key(key, &data, check);
        }
        for key in self.binary_data.keys() {
            check_key(key, &binary_data, check);
            if self.data.contains_key(key) {
                let description = "stands in data, too";
                check.add(&binary_data.field(key), reason::DUPLICATE, description);
            }
        }
        let text = self.data.iter().map(|(key, value)| key.len() + value.len());
        let binary = self
            .binary_data
            .iter()
            .map(|(key, value)| key.len() + value.len());
        let bytes: usize = text.chain(binary).sum();
        check.bytes(&data, bytes, MAX_CONFIGURATION - 1);
    }
}

/// Checks a key of a configuration or secret: it becomes the name of a file.
pub(super) fn check_key(key: &str, path: &Path, check: &mut Check) {
    if let Some(problem) = key_problem(key) {
        check.add(&path.field(key), reason::INVALID_NAME, problem);
    }
}

/// Checks a field that names such a key.
pub(super) fn check_key_name(key: &str, path: &Path, check: &mut Check) {
    if key.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
    } else if let Some(problem) = key_problem(key) {
        check.add(path, reason::INVALID_NAME, problem);
    }
}

fn key_problem(key: &str) -> Option<&'static str> {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let problem = if key.is_empty() {
        "the key must not be empty"
    } else if key.len() > MAX_KEY {
        "the key may have at most 253 characters"
    } else if !key.bytes().all(may_stand) {
        "the key may have letters, digits, `-`, `.` and `_` only"
    } else if key == "." || key == ".." || key.starts_with("..") {
        // Names that start so belong to the atomic switch of a folder.
        "the key must not start with `..`, nor be `.`"
    } else {
        return None;
    };
    Some(problem)
}
