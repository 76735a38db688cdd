//! What differs between two states of a resource, for people: paths with JSON values.
//!
//! Elements of lists that have names (services, volumes, variables) are compared by name, so that
//! inserting one does not show every later one as changed. Text of a configuration that is JSON
//! is compared as JSON: `data.limits.json: temperature`. Values of secrets, private keys and
//! passwords are hidden.

use std::collections::BTreeMap;

use baetyl_proto::json::{WriteOptions, to_json};
use baetyl_proto::resource::v1 as pb;
use serde_json::{Map, Value};

use crate::resource::{HIDDEN, Resource, Secret};

/// The most differences that are told.
pub const MAX_DIFFERENCES: usize = 100;

/// The longest value that is told, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path of the field, `services[0].image`; inside of JSON text it goes on after `: `.
    pub path: String,
    /// The value before as JSON, cut with `…`; `None` when there was none.
    pub old: Option<String>,
    /// The value after as JSON, cut with `…`; `None` when there is none.
    pub new: Option<String>,
}

/// Returns what differs, at most [`MAX_DIFFERENCES`]; nothing when the specs are the same.
/// Resources of different kinds have nothing to compare.
pub fn diff(before: &Resource, after: &Resource) -> Vec<Difference> {
    let mut found = Differences::default();
    match (before, after) {
        (Resource::Secret(before), Resource::Secret(after)) => found.secret(before, after),
        (Resource::Certificate(before), Resource::Certificate(after)) => {
            let [old, new] = [before, after].map(|one| &one.message().private_key_pem);
            found.hidden("privateKeyPem", old, new);
        }
        (Resource::Registry(before), Resource::Registry(after)) => {
            let [old, new] = [before, after].map(|one| &one.message().password);
            found.hidden("password", old, new);
        }
        _ => {}
    }
    if before.kind() == after.kind() {
        let is_configuration = matches!(before, Resource::Configuration(_));
        found.fields(&spec(before), &spec(after), is_configuration);
    }
    found.all
}

/// The fields that people write, without name and tenant and without what is hidden.
fn spec(resource: &Resource) -> Map<String, Value> {
    let options = WriteOptions {
        emit_defaults: false,
        output_only: false,
    };
    let value = match resource {
        Resource::Namespace(one) => to_json("baetyl.resource.v1.Namespace", one.message(), options),
        Resource::Node(one) => to_json("baetyl.resource.v1.Node", one.message(), options),
        Resource::Application(one) => {
            to_json("baetyl.resource.v1.Application", one.message(), options)
        }
        Resource::Configuration(one) => {
            to_json("baetyl.resource.v1.Configuration", one.message(), options)
        }
        Resource::Secret(one) => {
            let hidden = pb::Secret {
                data: BTreeMap::new(),
                ..one.message().clone()
            };
            to_json("baetyl.resource.v1.Secret", &hidden, options)
        }
        Resource::Certificate(one) => {
            let shown = one.clone().view();
            to_json("baetyl.resource.v1.Certificate", &shown, options)
        }
        Resource::Registry(one) => {
            let shown = one.clone().view();
            to_json("baetyl.resource.v1.Registry", &shown, options)
        }
    };
    let mut members = match value {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.remove("name");
    members.remove("namespace");
    members
}

#[derive(Default)]
struct Differences {
    all: Vec<Difference>,
}

impl Differences {
    fn add(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        if self.all.len() < MAX_DIFFERENCES {
            self.all.push(Difference {
                path: path.trim_end_matches(": ").to_owned(),
                old: old.map(text),
                new: new.map(text),
            });
        }
    }

    fn secret(&mut self, before: &Secret, after: &Secret) {
        let hidden = Value::from(HIDDEN);
        for (key, old) in before.values() {
            let new = after.values().get(key);
            if new != Some(old) {
                self.add(&format!("data.{key}"), Some(&hidden), new.map(|_| &hidden));
            }
        }
        for key in after.values().keys() {
            if !before.values().contains_key(key) {
                self.add(&format!("data.{key}"), None, Some(&hidden));
            }
        }
    }

    /// A field that nobody reads.
    fn hidden(&mut self, path: &str, old: &str, new: &str) {
        if old != new {
            let hidden = Value::from(HIDDEN);
            self.add(path, Some(&hidden), Some(&hidden));
        }
    }

    fn fields(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        is_configuration: bool,
    ) {
        for key in keys(before, after) {
            match (before.get(key), after.get(key)) {
                (Some(Value::Object(old)), Some(Value::Object(new)))
                    if is_configuration && key == "data" =>
                {
                    self.texts(old, new);
                }
                (old, new) => self.values(key, old, new),
            }
        }
    }

    /// Texts by key, of which some are JSON.
    fn texts(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        for key in keys(before, after) {
            let path = format!("data.{key}");
            let (old, new) = (before.get(key), after.get(key));
            if old == new {
                continue;
            }
            let count = self.all.len();
            if let (Some(old), Some(new)) = (old.and_then(parsed), new.and_then(parsed)) {
                self.values(&format!("{path}: "), Some(&old), Some(&new));
            }
            // Texts that mean the same differ as texts.
            if self.all.len() == count {
                self.add(&path, old, new);
            }
        }
    }

    fn values(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for key in keys(old, new) {
                    self.values(&joined(path, key), old.get(key), new.get(key));
                }
            }
            (Some(Value::Array(olds)), Some(Value::Array(news))) => {
                match (by_name(olds), by_name(news)) {
                    (Some(olds_named), Some(news_named)) => {
                        let count = self.all.len();
                        self.elements(path, &olds_named, &news_named);
                        // Only their order changed.
                        if self.all.len() == count {
                            self.add(path, old, new);
                        }
                    }
                    _ => self.add(path, old, new),
                }
            }
            _ => self.add(path, old, new),
        }
    }

    fn elements(&mut self, path: &str, olds: &Named<'_>, news: &Named<'_>) {
        for (name, (index, old)) in olds {
            match news.get(name) {
                Some((index, new)) => {
                    self.values(&format!("{path}[{index}]"), Some(old), Some(new));
                }
                None => self.add(&format!("{path}[{index}]"), Some(old), None),
            }
        }
        for (name, (index, new)) in news {
            if !olds.contains_key(name) {
                self.add(&format!("{path}[{index}]"), None, Some(new));
            }
        }
    }
}

/// Elements of a list by name, with their places.
type Named<'a> = BTreeMap<&'a str, (usize, &'a Value)>;

/// Returns nothing unless every element has a name of its own.
fn by_name(elements: &[Value]) -> Option<Named<'_>> {
    let mut named = BTreeMap::new();
    for (index, element) in elements.iter().enumerate() {
        let name = element.get("name")?.as_str()?;
        if named.insert(name, (index, element)).is_some() {
            return None;
        }
    }
    Some(named)
}

/// Every key of either, sorted.
fn keys<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Vec<&'a String> {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Text that holds a JSON object or array.
fn parsed(value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim_start();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() || path.ends_with(": ") {
        return format!("{path}{key}");
    }
    format!("{path}.{key}")
}

fn text(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > MAX_VALUE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
