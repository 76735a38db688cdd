//! Faults on demand: the server goes away, refuses, is slow, or breaks its watches.

use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Which requests a fault is for; what is empty or `None` matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Name of the user.
    pub user: Option<String>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: Vec<&'static str>,
    /// Resource, with its subresource: `pods`, `pods/log`, `deployments.apps/status`.
    pub resource: Option<String>,
    /// Namespace of the path.
    pub namespace: Option<String>,
    /// Name of the path.
    pub name: Option<String>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is answered with this status and not done.
    Answer(u16),
    /// The request is done after this time.
    Slow(Duration),
    /// The request is never answered and not done.
    Hang,
    /// The connection is cut and the request not done.
    Cut,
    /// The request is done, but answered with this status.
    StoredThenAnswer(u16),
    /// The request is done, but the connection is cut.
    StoredThenCut,
    /// Watches say nothing, those that are open too, for as long as the rule is there.
    WatchStall,
    /// A watch is cut in the middle of its next line.
    WatchBreak,
    /// A watch ends before its next event.
    WatchEnd,
    /// A watch says 410 instead of its next event, and ends.
    WatchExpire,
    /// A watch that opens sends up to so many older events of its resource again.
    WatchRepeat(usize),
}

/// How often something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Each time.
    Always,
    /// The next times.
    Next(u32),
    /// By chance, the same for the same seed.
    Chance {
        /// Of a thousand.
        per_mille: u16,
        /// Where the chances begin.
        seed: u64,
    },
}

/// Names a fault that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// How the server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Every connection is reset, old and new.
    Reset,
    /// Connections stay, and nothing is answered on them.
    Silent,
}

/// What a filter looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    /// Instead of doing it: `Answer`, `Hang` or `Cut`.
    pub(crate) before: Option<Fault>,
    /// After it is done: `StoredThenAnswer` or `StoredThenCut`.
    pub(crate) after: Option<Fault>,
    /// How many old events a watch repeats.
    pub(crate) repeats: usize,
}

#[derive(Debug)]
struct Rule {
    id: FaultId,
    filter: Filter,
    fault: Fault,
    when: When,
    chances: StdRng,
    left: u32,
    hits: u64,
}

/// The faults of a server, changed while it runs.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    outage: watch::Sender<Option<Outage>>,
    /// Rises when rules change, so that watches look again.
    changes: watch::Sender<u64>,
    /// Cancelled to cut the connections that are open.
    connections: Mutex<CancellationToken>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::new(Vec::new()),
            outage: watch::Sender::new(None),
            changes: watch::Sender::new(0),
            connections: Mutex::new(CancellationToken::new()),
        }
    }
}

impl Faults {
    /// Adds a fault.
    pub fn add(&self, filter: Filter, when: When, fault: Fault) -> FaultId {
        let (seed, left) = match when {
            When::Always => (0, u32::MAX),
            When::Next(times) => (0, times),
            When::Chance { seed, .. } => (seed, u32::MAX),
        };
        let mut id = FaultId(0);
        self.changes.send_modify(|count| {
            *count += 1;
            id = FaultId(*count);
        });
        self.rules.lock().push(Rule {
            id,
            filter,
            fault,
            when,
            chances: StdRng::seed_from_u64(seed),
            left,
            hits: 0,
        });
        // Once more: watches that looked in between have not seen the rule.
        self.changes.send_modify(|count| *count += 1);
        id
    }

    /// Takes a fault away.
    pub fn remove(&self, id: FaultId) {
        self.rules.lock().retain(|rule| rule.id != id);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns how often a fault happened; 0 when it is not there.
    #[must_use]
    pub fn hits(&self, id: FaultId) -> u64 {
        let rules = self.rules.lock();
        let found = rules.iter().find(|rule| rule.id == id);
        found.map_or(0, |rule| rule.hits)
    }

    /// Takes all faults away; a server that is away comes back.
    pub fn clear(&self) {
        self.rules.lock().clear();
        self.changes.send_modify(|count| *count += 1);
        self.come_back();
    }

    /// Takes the server away.
    pub fn go_away(&self, outage: Outage) {
        self.outage.send_replace(Some(outage));
        if outage == Outage::Reset {
            self.cut_connections();
        }
    }

    /// Brings the server back; whoever waited on a silent one is cut.
    pub fn come_back(&self) {
        if self.outage.send_replace(None).is_some() {
            self.cut_connections();
        }
    }

    /// Returns whether the server is away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.outage.borrow().is_some()
    }

    /// Cuts every connection that is open now, once.
    pub fn cut_connections(&self) {
        let old = std::mem::take(&mut *self.connections.lock());
        old.cancel();
    }

    /// What cuts a connection that is accepted now.
    pub(crate) fn connection(&self) -> CancellationToken {
        self.connections.lock().child_token()
    }

    pub(crate) fn outage(&self) -> Option<Outage> {
        *self.outage.borrow()
    }

    pub(crate) fn outages(&self) -> watch::Receiver<Option<Outage>> {
        self.outage.subscribe()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Decides what happens to a request.
    pub(crate) fn plan(&self, facts: &Facts) -> Plan {
        let mut plan = Plan::default();
        for rule in self.rules.lock().iter_mut() {
            let is_taken = match rule.fault {
                Fault::Answer(_) | Fault::Hang | Fault::Cut => plan.before.is_some(),
                Fault::StoredThenAnswer(_) | Fault::StoredThenCut => {
                    plan.before.is_some() || plan.after.is_some()
                }
                Fault::Slow(_) => false,
                Fault::WatchRepeat(_) => facts.verb != "watch",
                Fault::WatchStall | Fault::WatchBreak | Fault::WatchEnd | Fault::WatchExpire => {
                    true
                }
            };
            if is_taken || !rule.happens(facts) {
                continue;
            }
            match rule.fault {
                Fault::Slow(delay) => plan.delay += delay,
                Fault::WatchRepeat(count) => plan.repeats = count,
                fault @ (Fault::Answer(_) | Fault::Hang | Fault::Cut) => plan.before = Some(fault),
                fault => plan.after = Some(fault),
            }
        }
        plan
    }

    /// Decides what happens to the next event of a watch; `None` when it is sent.
    pub(crate) fn event(&self, facts: &Facts) -> Option<Fault> {
        if self.is_stalled(facts) {
            return Some(Fault::WatchStall);
        }
        let mut rules = self.rules.lock();
        let mut breaking = rules.iter_mut().filter(|rule| {
            matches!(
                rule.fault,
                Fault::WatchBreak | Fault::WatchEnd | Fault::WatchExpire
            )
        });
        breaking.find_map(|rule| rule.happens(facts).then_some(rule.fault))
    }

    /// Whether a watch says nothing now.
    pub(crate) fn is_stalled(&self, facts: &Facts) -> bool {
        let rules = self.rules.lock();
        let mut stalling = rules.iter().filter(|rule| rule.fault == Fault::WatchStall);
        stalling.any(|rule| rule.filter.matches(facts)) || self.outage() == Some(Outage::Silent)
    }
}

impl Rule {
    /// Whether this happens now; counts it.
    fn happens(&mut self, facts: &Facts) -> bool {
        if self.left == 0 || !self.filter.matches(facts) {
            return false;
        }
        match self.when {
            When::Always => {}
            When::Next(_) => self.left -= 1,
            When::Chance { per_mille, .. } => {
                if self.chances.random_range(0..1000) >= per_mille {
                    return false;
                }
            }
        }
        self.hits += 1;
        true
    }
}

impl Filter {
    fn matches(&self, facts: &Facts) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.user, &facts.user)
            && is(&self.resource, &facts.resource)
            && is(&self.namespace, &facts.namespace)
            && is(&self.name, &facts.name)
            && (self.verbs.is_empty() || self.verbs.contains(&facts.verb.as_str()))
    }
}

#[cfg(test)]
mod tests;
