//! The list `metadata.managedFields`.

use serde_json::{Value, json};

use super::fields::FieldSet;
use crate::object::metadata;

/// What a manager did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// The fields of one manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    /// Whether both are entries of the same manager. Those who apply are known by name; those who
    /// update also by the version in which they did.
    fn is_of(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// How the sentence of a conflict names the manager.
    pub(crate) fn display(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managers(Vec<Entry>);

impl Managers {
    /// Reads the list of an object.
    pub(crate) fn of(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = entries.into_iter().flatten().map(|entry| Entry {
            manager: text(entry, "manager"),
            operation: if entry["operation"] == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: FieldSet::read(&entry["fieldsV1"]),
        });
        Self(entries.collect())
    }

    /// Writes the list into an object.
    pub(crate) fn write(&self, object: &mut Value) {
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by(|a, b| {
            (a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
                b.operation,
                &b.time,
                &b.manager,
                &b.subresource,
            ))
        });
        let entries = entries.into_iter().map(|entry| {
            let mut value = json!({
                "manager": entry.manager,
                "operation": format!("{:?}", entry.operation),
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.fields.write(),
            });
            if !entry.subresource.is_empty() {
                value["subresource"] = json!(entry.subresource);
            }
            value
        });
        let entries: Vec<_> = entries.collect();
        let metadata = metadata(object);
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, like: &Entry) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.is_of(like))
    }

    /// Everybody but this one.
    pub(super) fn others<'a>(&'a self, like: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(|entry| !entry.is_of(like))
    }

    /// Sets the fields of a manager; the time stays when they are what they were.
    pub(super) fn set(&mut self, mut new: Entry) {
        let known = self.0.iter().position(|entry| entry.is_of(&new));
        match known {
            Some(at) => {
                let old = &self.0[at];
                if old.fields == new.fields && old.api_version == new.api_version {
                    new.time.clone_from(&old.time);
                }
                self.0[at] = new;
            }
            None => self.0.push(new),
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Takes fields away from everybody but this one.
    pub(super) fn take_from_others(&mut self, like: &Entry, fields: &FieldSet) {
        for entry in &mut self.0 {
            if !entry.is_of(like) {
                entry.fields = entry.fields.difference(fields);
            }
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// What anybody owns.
    pub(super) fn all(&self) -> FieldSet {
        self.0
            .iter()
            .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
    }
}
