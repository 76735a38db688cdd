//! Which nodes have a stream now, and how to reach them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_model::Uid;
use baetyl_service_kit::telemetry::propagation;
use opentelemetry::metrics::UpDownCounter;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::channel::Command;
use super::end::End;
use crate::matching::Body;

/// Commands that wait for a session; each is answered or given up within a deadline.
const COMMANDS: usize = 64;

/// Desired documents of a session whose bodies may still be fetched: the newest ones.
const SENT_DOCUMENTS: usize = 16;

/// How long two devices that take each other's place are remembered.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(300);

/// Sessions of one node that are remembered.
const REMEMBERED: usize = 8;

/// Why a session ends from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// A newer session of the same node came.
    Superseded,
    /// The node's certificates were revoked.
    Revoked,
}

/// The streams of all nodes; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    live: HashMap<Uid, Live>,
    /// Incarnations that came one after another, for those that had more than one lately.
    arrivals: HashMap<Uid, VecDeque<(String, Instant)>>,
}

#[derive(Debug)]
struct Live {
    session: String,
    commands: mpsc::Sender<Command>,
    wake: watch::Sender<Option<String>>,
    interrupt: watch::Sender<Option<Interrupt>>,
    pulse: Arc<Pulse>,
    sent: Arc<Mutex<VecDeque<HashMap<String, Body>>>>,
}

/// When something last arrived.
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU64);

impl Pulse {
    pub(crate) fn beat(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = u64::try_from(now.unwrap_or_default().as_millis());
        self.0.store(millis.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The session's end of its entry; the entry goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: Registry,
    uid: Uid,
    pub(crate) session: String,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Tells to look at the desired document; the trace context of what changed it.
    pub(crate) wake: watch::Receiver<Option<String>>,
    pub(crate) interrupt: watch::Receiver<Option<Interrupt>>,
    pub(crate) pulse: Arc<Pulse>,
    sent: Arc<Mutex<VecDeque<HashMap<String, Body>>>>,
}

impl Registry {
    /// Creates a registry without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a session, whose place no older one keeps.
    pub(crate) fn enter(&self, uid: &Uid, incarnation: &str, now: Instant) -> Entry {
        let session = uuid::Uuid::now_v7().to_string();
        let (commands, commands_receiver) = mpsc::channel(COMMANDS);
        let (wake, wake_receiver) = watch::channel(None);
        let (interrupt, interrupt_receiver) = watch::channel(None);
        let pulse = Arc::new(Pulse::default());
        pulse.beat();
        let sent = Arc::default();
        let live = Live {
            session: session.clone(),
            commands,
            wake,
            interrupt,
            pulse: Arc::clone(&pulse),
            sent: Arc::clone(&sent),
        };
        SESSIONS.add(1, &[]);
        let mut inner = self.inner.lock();
        inner.arrived(uid, incarnation, now);
        if let Some(older) = inner.live.insert(uid.clone(), live) {
            older.interrupt.send_replace(Some(Interrupt::Superseded));
        }
        Entry {
            registry: self.clone(),
            uid: uid.clone(),
            session,
            commands: commands_receiver,
            wake: wake_receiver,
            interrupt: interrupt_receiver,
            pulse,
            sent,
        }
    }

    /// Whether a node has a stream.
    pub fn is_online(&self, uid: &Uid) -> bool {
        self.inner.lock().live.contains_key(uid)
    }

    /// How many of these nodes have a stream.
    pub fn online_count<'a>(&self, uids: impl IntoIterator<Item = &'a Uid>) -> usize {
        let inner = self.inner.lock();
        let online = uids.into_iter().filter(|uid| inner.live.contains_key(*uid));
        online.count()
    }

    /// When the last frame of a node's stream arrived; `None` without a stream.
    pub fn last_seen(&self, uid: &Uid) -> Option<SystemTime> {
        let inner = self.inner.lock();
        inner.live.get(uid).map(|live| live.pulse.last())
    }

    /// Whether two devices take each other's place as one node.
    pub fn is_duplicate(&self, uid: &Uid, now: Instant) -> bool {
        let inner = self.inner.lock();
        let Some(arrivals) = inner.arrivals.get(uid) else {
            return false;
        };
        let lately: Vec<&str> = arrivals
            .iter()
            .filter(|(_, time)| now.saturating_duration_since(*time) < DUPLICATE_WINDOW)
            .map(|(incarnation, _)| incarnation.as_str())
            .collect();
        // One that came back after another had its place: a restart never does.
        lately.iter().enumerate().any(|(index, one)| {
            let mut later = lately.iter().skip(index + 1);
            later.any(|other| other != one) && lately.iter().skip(index + 2).any(|l| l == one)
        })
    }

    /// Has a node's session look at the desired document again, in the current trace.
    pub fn wake(&self, uid: &Uid) {
        if let Some(live) = self.inner.lock().live.get(uid) {
            live.wake.send_replace(propagation::traceparent());
        }
    }

    /// Cuts a node's stream, since its certificates were revoked.
    pub fn cut(&self, uid: &Uid) {
        if let Some(live) = self.inner.lock().live.get(uid) {
            live.interrupt.send_replace(Some(Interrupt::Revoked));
        }
    }

    pub(crate) fn commands(&self, uid: &Uid) -> Option<mpsc::Sender<Command>> {
        let inner = self.inner.lock();
        inner.live.get(uid).map(|live| live.commands.clone())
    }

    /// A body that a document of the present session references.
    pub(crate) fn sent_body(&self, uid: &Uid, digest: &str) -> Option<Body> {
        let sent = self.inner.lock().live.get(uid)?.sent.clone();
        let sent = sent.lock();
        sent.iter()
            .rev()
            .find_map(|bodies| bodies.get(digest).cloned())
    }

    fn leave(&self, uid: &Uid, session: &str) -> bool {
        let mut inner = self.inner.lock();
        let is_present = inner
            .live
            .get(uid)
            .is_some_and(|live| live.session == session);
        if is_present {
            inner.live.remove(uid);
        }
        is_present
    }
}

impl Inner {
    fn arrived(&mut self, uid: &Uid, incarnation: &str, now: Instant) {
        // What is too old to matter goes when somebody comes, so that the map stays small.
        self.arrivals.retain(|_, arrivals| {
            let newest = arrivals.back();
            newest.is_some_and(|(_, time)| now.duration_since(*time) < DUPLICATE_WINDOW)
        });
        let arrivals = self.arrivals.entry(uid.clone()).or_default();
        if let Some((last, time)) = arrivals.back_mut()
            && last == incarnation
        {
            *time = now;
            return;
        }
        arrivals.push_back((incarnation.to_owned(), now));
        if arrivals.len() > REMEMBERED {
            arrivals.pop_front();
        }
    }
}

impl Entry {
    /// Allows the bodies of a document to be fetched as long as the session lives.
    pub(crate) fn allow(&self, bodies: HashMap<String, Body>) {
        let mut sent = self.sent.lock();
        sent.push_back(bodies);
        if sent.len() > SENT_DOCUMENTS {
            sent.pop_front();
        }
    }

    /// Why the registry lets go of the session.
    pub(super) fn interruption(&self) -> End {
        match *self.interrupt.borrow() {
            Some(interrupt) => End::Interrupted(interrupt),
            None => End::Closed,
        }
    }

    /// Leaves; says whether no newer session has the place.
    pub(crate) fn leave(&self) -> bool {
        self.registry.leave(&self.uid, &self.session)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        SESSIONS.add(-1, &[]);
        self.leave();
    }
}

static SESSIONS: LazyLock<UpDownCounter<i64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .i64_up_down_counter("sync_sessions")
        .with_description("Streams of nodes that are open")
        .build()
});
