//! Everything that the server stores, under one lock: tables, the version, the history, and who
//! belongs to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::history::{ChangeKind, History, Record, TooOld};
use crate::kinds::{DEFINITIONS, Kind, Kinds};
use crate::object::{Key, is_deleting, meta_text, metadata, owners};
use crate::options::Options;
use crate::rest::Chore;

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId {
    pub(crate) resource: Arc<str>,
    pub(crate) key: Key,
}

/// What the server stores.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) kinds: Kinds,
    tables: BTreeMap<Arc<str>, BTreeMap<Key, Arc<Value>>>,
    version: u64,
    pub(crate) history: History,
    /// Who exists, by uid.
    uids: HashMap<String, ObjectId>,
    /// Who names a uid as an owner.
    dependents: HashMap<String, BTreeSet<ObjectId>>,
    /// What follows from the last writes.
    pub(crate) chores: VecDeque<Chore>,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            kinds: Kinds::built_in(),
            tables: BTreeMap::new(),
            version: 1,
            history: History::new(options.history),
            uids: HashMap::new(),
            dependents: HashMap::new(),
            chores: VecDeque::new(),
            options,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, resource: &str, key: &Key) -> Option<&Arc<Value>> {
        self.tables.get(resource)?.get(key)
    }

    /// Objects of a resource in the order of lists; an empty namespace means all of them.
    pub(crate) fn objects<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + use<'a> {
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(move |table| table.range(Key::new(namespace, "")..))
            .take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace)
    }

    /// The objects of a resource as they were at a version.
    ///
    /// # Errors
    /// Nobody knows any more.
    pub(crate) fn objects_at(
        &self,
        resource: &str,
        namespace: &str,
        version: u64,
    ) -> Result<BTreeMap<Key, Arc<Value>>, TooOld> {
        let now = self.objects(resource, namespace);
        let mut then: BTreeMap<_, _> = now.map(|(k, v)| (k.clone(), Arc::clone(v))).collect();
        let later: Vec<_> = self.history.since(version)?.collect();
        for record in later.into_iter().rev() {
            let is_meant = &*record.resource == resource
                && (namespace.is_empty() || record.key.namespace == namespace);
            if !is_meant {
                continue;
            }
            match &record.before {
                Some(before) => then.insert(record.key.clone(), Arc::clone(before)),
                None => then.remove(&record.key),
            };
        }
        Ok(then)
    }

    /// The object that has a uid.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&ObjectId> {
        self.uids.get(uid)
    }

    /// The objects that name a uid as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<ObjectId> {
        let found = self.dependents.get(uid).into_iter().flatten();
        found.cloned().collect()
    }

    pub(crate) fn object(&self, id: &ObjectId) -> Option<&Arc<Value>> {
        self.get(&id.resource, &id.key)
    }

    /// Stores an object as the next version.
    pub(crate) fn write(&mut self, kind: &Kind, mut object: Value) -> Arc<Value> {
        self.version += 1;
        metadata(&mut object).insert(
            "resourceVersion".to_owned(),
            json!(self.version.to_string()),
        );
        let id = ObjectId {
            resource: Arc::clone(&kind.resource),
            key: Key::of(&object),
        };
        let object = Arc::new(object);
        let table = self.tables.entry(Arc::clone(&id.resource)).or_default();
        let before = table.insert(id.key.clone(), Arc::clone(&object));
        if let Some(before) = &before {
            self.unlink(&id, before);
        }
        self.uids
            .insert(meta_text(&object, "uid").to_owned(), id.clone());
        for owner in owners(&object) {
            let dependents = self.dependents.entry(owner.uid.to_owned()).or_default();
            dependents.insert(id.clone());
        }
        let change = match before {
            Some(_) => ChangeKind::Modified,
            None => ChangeKind::Added,
        };
        self.note(&id, change, Arc::clone(&object), before);
        if is_deleting(&object) {
            self.chores.push_back(Chore::Deleting(id.clone()));
        }
        if owners(&object).next().is_some() {
            self.chores.push_back(Chore::Owned(id.clone()));
        }
        if &*id.resource == DEFINITIONS {
            self.chores.push_back(Chore::Defined(id));
        }
        object
    }

    /// Removes an object; returns its last state.
    pub(crate) fn remove(&mut self, id: &ObjectId) -> Option<Arc<Value>> {
        let before = self.tables.get_mut(&id.resource)?.remove(&id.key)?;
        self.version += 1;
        self.unlink(id, &before);
        self.uids.remove(meta_text(&before, "uid"));
        let mut last = Value::clone(&before);
        metadata(&mut last).insert(
            "resourceVersion".to_owned(),
            json!(self.version.to_string()),
        );
        let last = Arc::new(last);
        self.note(id, ChangeKind::Deleted, Arc::clone(&last), Some(before));
        self.chores
            .push_back(Chore::Gone(id.clone(), Arc::clone(&last)));
        Some(last)
    }

    fn unlink(&mut self, id: &ObjectId, object: &Value) {
        for owner in owners(object) {
            if let Some(dependents) = self.dependents.get_mut(owner.uid) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(owner.uid);
                }
            }
        }
    }

    fn note(
        &mut self,
        id: &ObjectId,
        kind: ChangeKind,
        object: Arc<Value>,
        before: Option<Arc<Value>>,
    ) {
        self.history.push(Record {
            version: self.version,
            resource: Arc::clone(&id.resource),
            key: id.key.clone(),
            kind,
            object,
            before,
        });
    }

    /// Forgets the history.
    pub(crate) fn compact(&mut self) {
        self.history.compact(self.version);
    }
}
