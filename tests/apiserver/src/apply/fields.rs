//! Sets of fields, in the form in which `managedFields` carries them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::path;

/// A set of paths: a tree whose edges are the keys of the format `FieldsV1`, such as `f:spec`,
/// `k:{"name":"web"}` and `v:"a"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the path that leads here is in the set.
    is_member: bool,
    children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Reads the format `FieldsV1`.
    pub(crate) fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (key, value) in fields.as_object().into_iter().flatten() {
            if key == "." {
                set.is_member = true;
                continue;
            }
            let mut child = Self::read(value);
            child.is_member |= child.children.is_empty();
            set.children.insert(key.clone(), child);
        }
        set
    }

    /// Writes the format `FieldsV1`.
    pub(crate) fn write(&self) -> Value {
        let mut fields = Map::new();
        for (key, child) in &self.children {
            let mut value = child.write();
            if child.is_member && !child.children.is_empty() {
                value["."] = json!({});
            }
            fields.insert(key.clone(), value);
        }
        Value::Object(fields)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_member && self.children.values().all(Self::is_empty)
    }

    pub(crate) fn is_member(&self) -> bool {
        self.is_member
    }

    /// The set below one edge.
    pub(crate) fn below(&self, edge: &str) -> Option<&Self> {
        self.children.get(edge)
    }

    /// Adds the path that leads here.
    pub(crate) fn insert_here(&mut self) {
        self.is_member = true;
    }

    /// Takes the path that leads here away; what is below stays.
    pub(crate) fn remove_here(&mut self) {
        self.is_member = false;
    }

    /// The edges that lead on.
    pub(crate) fn edges(&self) -> Vec<String> {
        self.children.keys().cloned().collect()
    }

    /// The set below one edge, made when it is not there.
    pub(crate) fn enter(&mut self, edge: String) -> &mut Self {
        self.children.entry(edge).or_default()
    }

    pub(crate) fn union(mut self, other: &Self) -> Self {
        self.is_member |= other.is_member;
        for (edge, child) in &other.children {
            let mine = self.children.remove(edge).unwrap_or_default();
            self.children.insert(edge.clone(), mine.union(child));
        }
        self
    }

    /// The paths that are in this set and not in the other.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        let nothing = Self::default();
        let children = self.children.iter().map(|(edge, child)| {
            let other = other.children.get(edge).unwrap_or(&nothing);
            (edge.clone(), child.difference(other))
        });
        Self {
            is_member: self.is_member && !other.is_member,
            children: children.filter(|(_, child)| !child.is_empty()).collect(),
        }
    }

    /// The paths that are in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(edge, child)| {
            let both = child.intersection(other.children.get(edge)?);
            Some((edge.clone(), both))
        });
        Self {
            is_member: self.is_member && other.is_member,
            children: children.filter(|(_, child)| !child.is_empty()).collect(),
        }
    }

    /// Takes a path away with all that is below it.
    pub(crate) fn prune(&mut self, path: &[&str]) {
        let Some((edge, rest)) = path.split_first() else {
            *self = Self::default();
            return;
        };
        if let Some(child) = self.children.get_mut(*edge) {
            child.prune(rest);
            if child.is_empty() {
                self.children.remove(*edge);
            }
        }
    }

    /// Keeps only what is below one edge.
    pub(crate) fn keep(&mut self, edge: &str) {
        self.is_member = false;
        self.children.retain(|known, _| known == edge);
    }

    /// The paths as people read them: `.spec.containers[name="web"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, parent: &str, paths: &mut Vec<String>) {
        if self.is_member {
            paths.push(parent.to_owned());
        }
        for (edge, child) in &self.children {
            child.collect(&format!("{parent}{}", path::display(edge)), paths);
        }
    }
}
