//! What the watches can see now: which are current, which are broken since when, and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kube::facts::ClusterFacts;

/// A kind in whatever version: group and kind.
pub(crate) type GroupKind = (String, String);

/// What is missing while a watch is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing can be judged.
    Vital,
    /// Some explanations.
    Events,
    /// The machines.
    Machines,
    /// Objects of this kind, of those applications that have some.
    Followed(GroupKind),
}

/// What all watches say of themselves.
#[derive(Debug)]
pub(crate) struct Sights {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    need: Need,
    namespace: Option<String>,
    is_listed: bool,
    trouble: Option<Broken>,
}

#[derive(Clone, Debug)]
struct Broken {
    since: SystemTime,
    noticed: Instant,
    reason: String,
    is_forbidden: bool,
}

impl Sights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Adds a watch, which has seen nothing yet. It is forgotten with what is returned.
    pub(crate) fn add(self: &Arc<Self>, need: Need, namespace: Option<&str>) -> Sight {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        let entry = Entry {
            need,
            namespace: namespace.map(str::to_owned),
            is_listed: false,
            trouble: None,
        };
        state.entries.insert(id, entry);
        drop(state);
        self.tell();
        Sight {
            sights: self.clone(),
            id,
        }
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells that something that these depend on has changed.
    pub(crate) fn tell(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether everything that is judged by was listed once, or may not be.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.lock();
        let mut vital = state.entries.values().filter(|e| e.need == Need::Vital);
        vital.all(|entry| {
            let is_forbidden = entry.trouble.as_ref().is_some_and(|t| t.is_forbidden);
            entry.is_listed || is_forbidden
        })
    }

    /// Why objects of a kind that is followed cannot be seen; `None` when they can.
    pub(crate) fn followed(&self, kind: &GroupKind) -> Option<String> {
        let state = self.state.lock();
        let wanted = |entry: &&Entry| matches!(&entry.need, Need::Followed(other) if other == kind);
        let mut is_there = false;
        let mut is_listed = true;
        for entry in state.entries.values().filter(wanted) {
            is_there = true;
            if let Some(trouble) = &entry.trouble {
                return Some(trouble.reason.clone());
            }
            is_listed &= entry.is_listed;
        }
        match is_there && is_listed {
            true => None,
            false => Some(format!("objects of kind {} are not listed yet", kind.1)),
        }
    }

    /// Says how well the cluster can be seen, and when that may change by itself: what is broken
    /// for less than `moment` does not count.
    pub(crate) fn cluster(
        &self,
        moment: Duration,
        now: Instant,
    ) -> (ClusterFacts, Option<Instant>) {
        let state = self.state.lock();
        let mut facts = ClusterFacts::default();
        let mut next: Option<Instant> = None;
        let mut broken = Vec::new();
        for entry in state.entries.values() {
            match (&entry.need, &entry.trouble) {
                (Need::Machines, Some(trouble)) => {
                    facts.machines_unavailable.clone_from(&trouble.reason);
                }
                (Need::Machines, None) if !entry.is_listed => {
                    "the machines are not listed yet".clone_into(&mut facts.machines_unavailable);
                }
                (Need::Vital, Some(trouble)) if trouble.is_forbidden => {
                    let namespace = entry.namespace.clone().unwrap_or_default();
                    let reason = trouble.reason.clone();
                    facts.forbidden.entry(namespace).or_insert(reason);
                }
                (Need::Vital, Some(trouble)) => {
                    let counts_at = trouble.noticed + moment;
                    if counts_at <= now {
                        broken.push(trouble);
                    } else if next.is_none_or(|next| counts_at < next) {
                        next = Some(counts_at);
                    }
                }
                (Need::Vital | Need::Events | Need::Machines | Need::Followed(_), _) => {}
            }
        }
        broken.sort_by_key(|trouble| trouble.since);
        if let Some(first) = broken.first() {
            facts.blind_since = Some(first.since);
            facts.blind_reason = match broken.len() {
                1 => first.reason.clone(),
                more => format!("{} (and {} more)", first.reason, more - 1),
            };
        }
        (facts, next)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Entry) -> bool) {
        let has_changed = self.state.lock().entries.get_mut(&id).is_some_and(change);
        if has_changed {
            self.tell();
        }
    }
}

/// One watch's word about itself.
pub(crate) struct Sight {
    sights: Arc<Sights>,
    id: u64,
}

impl Sight {
    /// Everything was listed.
    pub(crate) fn listed(&self) {
        self.sights.change(self.id, |entry| {
            !std::mem::replace(&mut entry.is_listed, true)
        });
    }

    /// The watch is open; what comes is new.
    pub(crate) fn current(&self) {
        self.sights.change(self.id, |entry| {
            let broken = entry.trouble.take();
            if let Some(broken) = &broken {
                let seconds = broken.noticed.elapsed().as_secs();
                tracing::info!(reason = %broken.reason, seconds, "watch is current again");
            }
            broken.is_some()
        });
    }

    /// The watch is broken; since when stays what it was.
    pub(crate) fn broken(&self, reason: String, is_forbidden: bool) {
        self.sights.change(self.id, |entry| {
            let before = entry.trouble.clone();
            if before.is_none() {
                tracing::warn!(error = %reason, "watch is broken");
            }
            let has_changed = before.as_ref().is_none_or(|before| {
                before.reason != reason || before.is_forbidden != is_forbidden
            });
            entry.trouble = Some(Broken {
                since: before.as_ref().map_or_else(SystemTime::now, |b| b.since),
                noticed: before.map_or_else(Instant::now, |before| before.noticed),
                reason,
                is_forbidden,
            });
            has_changed
        });
    }
}

impl Drop for Sight {
    fn drop(&mut self) {
        let removed = self.sights.state.lock().entries.remove(&self.id);
        if removed.is_some() {
            self.sights.tell();
        }
    }
}

#[cfg(test)]
mod tests;
