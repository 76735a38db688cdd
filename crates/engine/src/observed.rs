//! What is known about the instances of one application at this moment; lives in memory only.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use baetyl_process::InstanceId;
use tokio::time::Instant;

use crate::desired::Pin;
use crate::driver::{Refusal, Termination};
use crate::record::{AppRecord, Slot};

/// Everything known about the instances and files of one application.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every instance that exists or is being started, also those that nobody wants.
    pub instances: BTreeMap<InstanceId, Seen>,
    /// How far the files of each release are, by its number.
    pub files: BTreeMap<u64, Prepared>,
    /// Since when the candidate could have been ready.
    pub gate_since: Option<Instant>,
    /// Since when the whole candidate is ready.
    pub ready_since: Option<Instant>,
    /// Whether the files of the application are being removed.
    pub is_removing: bool,
}

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What it is doing.
    pub phase: Phase,
    /// How long SIGTERM may take.
    pub grace: Duration,
    /// Since when it runs.
    pub since: Option<Instant>,
    /// Resident bytes as they were last published.
    pub memory_bytes: u64,
}

/// What an instance is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It is being started.
    Launching,
    /// It runs.
    Running(Health),
    /// It is being stopped.
    Stopping,
    /// It ended, by itself or because it had to.
    Ended {
        /// How.
        termination: Termination,
        /// When the next one may start.
        retry_at: Instant,
    },
    /// It could not be started.
    Refused {
        /// Why.
        refusal: Refusal,
        /// When the next attempt may be made.
        retry_at: Instant,
    },
    /// Its files are being removed.
    Discarding,
    /// Nothing is left of it, and that is not its fault.
    Vanished,
    /// Something of it is left that must be stopped.
    Broken,
    /// It could not be observed.
    Unknown {
        /// Why, for people.
        detail: String,
    },
}

/// How a running instance is.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Process id.
    pub pid: u32,
    /// When the process started.
    pub started_at: SystemTime,
    /// Whether it can serve.
    pub is_ready: bool,
    /// Whether it could serve at some time.
    pub was_ready: bool,
    /// Why the last probe failed; empty when none did.
    pub probe_message: String,
    /// Why it must be stopped and started again.
    pub doomed: Option<Doom>,
}

/// Why a running instance must be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
    /// Whether it gets time to end.
    pub is_gentle: bool,
}

/// How far the files of a release are.
#[derive(Clone, Debug, PartialEq)]
pub enum Prepared {
    /// Being made for this pin.
    Running(Pin),
    /// Right for this pin.
    Done(Pin),
    /// They could not be made for this pin.
    Refused {
        /// The pin.
        pin: Pin,
        /// Why.
        refusal: Refusal,
        /// When the next attempt may be made.
        retry_at: Instant,
    },
}

impl Phase {
    /// Whether something of it runs, or may run.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Launching
            | Self::Running(_)
            | Self::Stopping
            | Self::Broken
            | Self::Unknown { .. } => true,
            Self::Ended { .. } | Self::Refused { .. } | Self::Discarding | Self::Vanished => false,
        }
    }
}

impl Seen {
    /// An instance in a phase.
    #[must_use]
    pub fn new(phase: Phase, grace: Duration) -> Self {
        Self {
            phase,
            grace,
            since: None,
            memory_bytes: 0,
        }
    }
}

impl Observed {
    /// Returns the phase of a slot's instance; `None` when it has none.
    #[must_use]
    pub fn phase(&self, slot: &Slot) -> Option<&Phase> {
        let seen = self.instances.get(slot.instance.as_ref()?)?;
        Some(&seen.phase)
    }

    /// Whether a slot does what it should: it is ready, or came to its wanted end.
    #[must_use]
    pub fn is_ready(&self, slot: &Slot) -> bool {
        let is_serving = |phase: &Phase| matches!(phase, Phase::Running(health) if health.is_ready && health.doomed.is_none());
        slot.is_completed || self.phase(slot).is_some_and(is_serving)
    }

    /// Whether an instance that a slot needs cannot be observed.
    #[must_use]
    pub fn is_blind(&self, record: &AppRecord) -> bool {
        let mut slots = record.releases().flat_map(|release| &release.slots);
        slots.any(|slot| matches!(self.phase(slot), Some(Phase::Unknown { .. })))
    }

    /// Keeps the clocks of the gate. `is_blocked` tells whether the candidate must still wait for
    /// others to be gone.
    pub(crate) fn settle(&mut self, record: &AppRecord, is_blocked: bool, now: Instant) {
        let Some(candidate) = &record.candidate else {
            self.gate_since = None;
            self.ready_since = None;
            return;
        };
        if !is_blocked {
            self.gate_since.get_or_insert(now);
        }
        let mut slots = candidate.release.slots.iter();
        if slots.all(|slot| self.is_ready(slot)) {
            self.ready_since.get_or_insert(now);
        } else {
            self.ready_since = None;
        }
    }
}
