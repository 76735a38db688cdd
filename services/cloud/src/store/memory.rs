//! The store that forgets: for tests, and for trying things out. It passes the same suite.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::SystemTime;

use async_trait::async_trait;
use baetyl_model::{Kind, Name, NamespaceName, Revision, Uid};
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{
    Change, Commit, EVENTS_KEPT, Event, Key, Precondition, Record, RecordKey, Store, StoreError,
    Stored, Write,
};

/// Keeps everything in memory, under one lock.
#[derive(Debug)]
pub struct MemoryStore {
    id: String,
    state: RwLock<State>,
    commits: watch::Sender<u64>,
}

impl MemoryStore {
    /// Makes an empty store with an id of its own.
    pub fn new() -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            state: RwLock::default(),
            commits: watch::Sender::new(0),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// All revisions of a resource; there is always one.
type Revisions = BTreeMap<Revision, Stored>;

#[derive(Debug, Default)]
struct State {
    resources: BTreeMap<(NamespaceName, Kind), BTreeMap<Name, Revisions>>,
    logs: BTreeMap<NamespaceName, Log>,
    records: BTreeMap<RecordKey, (u64, Bytes)>,
}

/// The events of a namespace, without gaps up to `newest`.
#[derive(Debug, Default)]
struct Log {
    newest: u64,
    events: VecDeque<Event>,
}

impl Log {
    fn oldest(&self) -> u64 {
        self.newest - self.events.len() as u64 + 1
    }
}

impl State {
    fn revisions(&self, key: &Key) -> Option<&Revisions> {
        let of_kind = self.resources.get(&(key.namespace.clone(), key.kind))?;
        of_kind.get(&key.name)
    }

    fn newest(&self, key: &Key) -> Option<&Stored> {
        self.revisions(key)?.values().next_back()
    }

    /// Uid and revision, the part of a resource that preconditions look at.
    fn pointer(&self, key: &Key) -> Option<(Uid, Revision)> {
        let newest = self.newest(key)?;
        Some((newest.uid.clone(), newest.revision))
    }

    fn referrers(&self, key: &Key) -> Vec<Key> {
        let target = (key.kind, key.name.clone());
        let in_namespace = self
            .resources
            .iter()
            .filter(|(scope, _)| scope.0 == key.namespace);
        in_namespace
            .flat_map(|(_, of_kind)| of_kind.values())
            .filter_map(|revisions| revisions.values().next_back())
            .filter(|newest| newest.references.contains(&target))
            .map(|newest| newest.key.clone())
            .collect()
    }

    fn version(&self, key: &RecordKey) -> u64 {
        self.records.get(key).map_or(0, |(version, _)| *version)
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent(key) | Precondition::Exists(key) | Precondition::At(key, ..) => {
                precondition.allows(self.pointer(key).as_ref())
            }
            Precondition::Unreferenced(key, except) => {
                let referrers = self.referrers(key);
                referrers.iter().all(|referrer| except.contains(referrer))
            }
            Precondition::RecordAt(key, version) => self.version(key) == *version,
        }
    }

    /// Finds the first thing that is in the way of a commit; [`State::apply`] cannot fail.
    fn check(&self, commit: &Commit) -> Result<(), StoreError> {
        let refuse = |precondition| Err(StoreError::Precondition(Box::new(precondition)));
        if let Some(failed) = commit.preconditions.iter().find(|one| !self.holds(one)) {
            return refuse(failed.clone());
        }
        // What the earlier writes of the commit leave for the later ones.
        let mut pointers: BTreeMap<&Key, Option<(Uid, Revision)>> = BTreeMap::new();
        for write in &commit.writes {
            let (key, left) = match write {
                Write::Put(put) => (&put.key, Some((put.uid.clone(), put.revision))),
                Write::Delete(key) => (key, None),
                Write::Touch(key) => match pointers.get(key) {
                    Some(pointer) => (key, pointer.clone()),
                    None => (key, self.pointer(key)),
                },
                Write::DropRevisions(..)
                | Write::PutRecord(..)
                | Write::DeleteRecord(_)
                | Write::DeleteRecords(_) => continue,
            };
            let pointer = pointers.entry(key).or_insert_with(|| self.pointer(key));
            let needed = write.needs();
            if let Some(failed) = needed.filter(|needed| !needed.allows(pointer.as_ref())) {
                return refuse(failed);
            }
            *pointer = left;
        }
        Ok(())
    }

    fn apply(&mut self, write: Write, now: SystemTime) {
        match write {
            Write::Put(put) => self.put(*put),
            Write::Delete(key) => {
                let of_kind = self.resources.get_mut(&(key.namespace.clone(), key.kind));
                let removed = of_kind.and_then(|of_kind| of_kind.remove(&key.name));
                if let Some((_, last)) = removed.and_then(|mut revisions| revisions.pop_last()) {
                    self.log(&last, Change::Deleted, now);
                }
            }
            Write::Touch(key) => {
                if let Some(newest) = self.newest(&key).cloned() {
                    self.log(&newest, Change::Modified, now);
                }
            }
            Write::DropRevisions(key, dropped) => {
                let of_kind = self.resources.get_mut(&(key.namespace, key.kind));
                if let Some(revisions) = of_kind.and_then(|of_kind| of_kind.get_mut(&key.name)) {
                    let newest = revisions.keys().next_back().copied();
                    revisions.retain(|one, _| !dropped.contains(one) || Some(*one) == newest);
                }
            }
            Write::PutRecord(key, value) => {
                let version = self.version(&key) + 1;
                self.records.insert(key, (version, value));
            }
            Write::DeleteRecord(key) => {
                self.records.remove(&key);
            }
            Write::DeleteRecords(prefix) => {
                self.records.retain(|key, _| !is_under(key, &prefix));
            }
        }
    }

    fn put(&mut self, put: Stored) {
        self.log(&put, put.change(), put.update_time);
        let of_kind = self
            .resources
            .entry((put.key.namespace.clone(), put.key.kind));
        let revisions = of_kind.or_default().entry(put.key.name.clone());
        revisions.or_default().insert(put.revision, put);
    }

    fn log(&mut self, about: &Stored, change: Change, time: SystemTime) {
        let log = self.logs.entry(about.key.namespace.clone()).or_default();
        log.newest += 1;
        log.events.push_back(Event {
            sequence: log.newest,
            key: about.key.clone(),
            uid: about.uid.clone(),
            revision: about.revision,
            change,
            time,
        });
        if log.events.len() as u64 > EVENTS_KEPT {
            log.events.pop_front();
        }
    }
}

fn is_under(key: &RecordKey, prefix: &RecordKey) -> bool {
    key.namespace == prefix.namespace
        && key.table == prefix.table
        && key.key.starts_with(&prefix.key)
}

#[async_trait]
impl Store for MemoryStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.state.read().newest(key).cloned())
    }

    async fn get_revision(
        &self,
        key: &Key,
        revision: Revision,
    ) -> Result<Option<Stored>, StoreError> {
        let state = self.state.read();
        let revisions = state.revisions(key);
        Ok(revisions.and_then(|all| all.get(&revision)).cloned())
    }

    async fn revisions(
        &self,
        key: &Key,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let state = self.state.read();
        let below = before.map_or(Bound::Unbounded, Bound::Excluded);
        let revisions = state.revisions(key).into_iter();
        let found = revisions.flat_map(|all| all.range((Bound::Unbounded, below)).rev());
        Ok(found
            .take(limit)
            .map(|(_, stored)| stored.clone())
            .collect())
    }

    async fn list(
        &self,
        namespace: &NamespaceName,
        kind: Kind,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let state = self.state.read();
        let above = after.map_or(Bound::Unbounded, Bound::Excluded);
        let of_kind = state.resources.get(&(namespace.clone(), kind)).into_iter();
        let found = of_kind.flat_map(|all| all.range::<Name, _>((above, Bound::Unbounded)));
        let newest = found.filter_map(|(_, revisions)| revisions.values().next_back());
        Ok(newest.take(limit).cloned().collect())
    }

    async fn namespaces(
        &self,
        after: Option<&NamespaceName>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let state = self.state.read();
        let of_kind = state.resources.iter().filter(|((namespace, kind), _)| {
            *kind == Kind::Namespace && after.is_none_or(|after| namespace > after)
        });
        let newest = of_kind
            .flat_map(|(_, all)| all.values())
            .filter_map(|revisions| revisions.values().next_back());
        Ok(newest.take(limit).cloned().collect())
    }

    async fn referrers(&self, key: &Key) -> Result<Vec<Key>, StoreError> {
        Ok(self.state.read().referrers(key))
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let state = self.state.read();
        let found = state.records.get_key_value(key);
        Ok(found.map(|(key, value)| as_record(key, value)))
    }

    async fn records(
        &self,
        prefix: &RecordKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.state.read();
        let found = state.records.range(prefix..);
        let found = found
            .take_while(|(key, _)| is_under(key, prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.key.as_str() > after));
        Ok(found
            .take(limit)
            .map(|(key, value)| as_record(key, value))
            .collect())
    }

    async fn events(
        &self,
        namespace: &NamespaceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let state = self.state.read();
        let Some(log) = state.logs.get(namespace) else {
            return match after {
                0 => Ok(Vec::new()),
                _ => Err(StoreError::Compacted { oldest: 1 }),
            };
        };
        let oldest = log.oldest();
        if after > log.newest || after + 1 < oldest {
            return Err(StoreError::Compacted { oldest });
        }
        let known = usize::try_from(after + 1 - oldest).unwrap_or(usize::MAX);
        Ok(log.events.iter().skip(known).take(limit).cloned().collect())
    }

    async fn sequence(&self, namespace: &NamespaceName) -> Result<u64, StoreError> {
        let state = self.state.read();
        Ok(state.logs.get(namespace).map_or(0, |log| log.newest))
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check_digests()?;
        let now = SystemTime::now();
        {
            let mut state = self.state.write();
            state.check(&commit)?;
            for write in commit.writes {
                state.apply(write, now);
            }
        }
        self.commits.send_modify(|count| *count += 1);
        Ok(())
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

fn as_record(key: &RecordKey, (version, value): &(u64, Bytes)) -> Record {
    Record {
        key: key.key.clone(),
        version: *version,
        value: value.clone(),
    }
}
