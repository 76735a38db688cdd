//! A driver without processes: instances are entries of a map, and do what a script says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_process::InstanceId;
use baetyl_process::logs::{LogRecord, Output};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::{Observation, Refusal, ReleaseKey, Termination};
use crate::inputs::Files;
use crate::reason;

mod drive;

/// What instances of a program do. Chosen by the program's entry, joined by blanks.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// They are not started at all.
    pub refusal: Option<Refusal>,
    /// They end by themselves so long after their start, with this code.
    pub exit: Option<(Duration, i32)>,
    /// Probes succeed.
    pub is_ready: bool,
    /// Resident bytes.
    pub memory_bytes: u64,
    /// They ignore SIGTERM.
    pub is_stubborn: bool,
}

impl Default for Script {
    /// Runs until it is stopped, and is ready at once.
    fn default() -> Self {
        Self {
            refusal: None,
            exit: None,
            is_ready: true,
            memory_bytes: 1 << 20,
            is_stubborn: false,
        }
    }
}

/// One instance, as tests see it.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryInstance {
    /// Its id.
    pub id: InstanceId,
    /// Name of the application.
    pub application: String,
    /// Name of the service.
    pub service: String,
    /// Revision of the application.
    pub revision: u64,
    /// Process id.
    pub pid: u32,
    /// Its own environment, references resolved.
    pub env: BTreeMap<String, String>,
    /// Its ports by name.
    pub ports: BTreeMap<String, u16>,
    /// How it ended; `None` while it runs.
    pub termination: Option<Termination>,
}

/// A driver without processes. Clones share everything, so a second engine finds what the first
/// one left.
#[derive(Clone, Debug, Default)]
pub struct MemoryDriver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    scripts: BTreeMap<String, Script>,
    instances: BTreeMap<InstanceId, Entry>,
    files: BTreeMap<ReleaseKey, BTreeMap<String, Files>>,
    persistent: BTreeSet<String>,
    taken: BTreeSet<u16>,
    is_blind: bool,
    starts: u32,
}

#[derive(Clone, Debug)]
struct Entry {
    shown: MemoryInstance,
    script: Script,
    started_at: SystemTime,
    ends_at: Option<Instant>,
    logs: Vec<LogRecord>,
}

impl MemoryDriver {
    /// Says what instances of a program do, from the next start on.
    pub fn script(&self, entry: impl Into<String>, script: Script) {
        self.shared
            .state
            .lock()
            .scripts
            .insert(entry.into(), script);
    }

    /// Changes what a running instance does: readiness and memory.
    pub fn change(&self, id: &InstanceId, change: impl FnOnce(&mut Script)) {
        self.act(|state| {
            if let Some(entry) = state.instances.get_mut(id) {
                change(&mut entry.script);
            }
        });
    }

    /// Ends an instance with a code.
    pub fn end(&self, id: &InstanceId, exit_code: i32) {
        self.act(|state| {
            if let Some(entry) = state.instances.get_mut(id) {
                entry.end(exit_code, 0);
            }
        });
    }

    /// Writes a line of output.
    pub fn print(&self, id: &InstanceId, text: &str) {
        self.act(|state| {
            if let Some(entry) = state.instances.get_mut(id) {
                entry.logs.push(LogRecord {
                    time: SystemTime::now(),
                    output: Output::Stdout,
                    text: text.to_owned(),
                    is_partial: false,
                });
            }
        });
    }

    /// Lets nothing be observed, or everything again.
    pub fn set_blind(&self, is_blind: bool) {
        self.act(|state| state.is_blind = is_blind);
    }

    /// Lets somebody else listen on a port, or no longer.
    pub fn set_taken(&self, port: u16, is_taken: bool) {
        self.act(|state| {
            if is_taken {
                state.taken.insert(port);
            } else {
                state.taken.remove(&port);
            }
        });
    }

    /// Puts an instance there that no record knows.
    pub fn plant(&self, id: InstanceId) {
        self.act(|state| {
            state.starts += 1;
            let pid = 1000 + state.starts;
            let shown = MemoryInstance {
                id: id.clone(),
                application: "unknown".into(),
                service: "unknown".into(),
                revision: 0,
                pid,
                env: BTreeMap::new(),
                ports: BTreeMap::new(),
                termination: None,
            };
            state
                .instances
                .insert(id, Entry::new(shown, Script::default()));
        });
    }

    /// Returns every instance that exists, ended ones included.
    #[must_use]
    pub fn instances(&self) -> Vec<MemoryInstance> {
        let mut state = self.shared.state.lock();
        state.expire();
        let entries = state.instances.values();
        entries.map(|entry| entry.shown.clone()).collect()
    }

    /// Returns the instances that run.
    #[must_use]
    pub fn running(&self) -> Vec<MemoryInstance> {
        let mut instances = self.instances();
        instances.retain(|instance| instance.termination.is_none());
        instances
    }

    /// Returns how many instances were started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.shared.state.lock().starts
    }

    /// Returns the files of a volume as the newest release of an application sees them.
    #[must_use]
    pub fn files(&self, application: &str, volume: &str) -> Option<Files> {
        let state = self.shared.state.lock();
        let mut releases = state.files.iter().rev();
        let (_, volumes) = releases.find(|(key, _)| key.application == application)?;
        volumes.get(volume).cloned()
    }

    /// Whether an application has persistent folders.
    #[must_use]
    pub fn has_data(&self, application: &str) -> bool {
        self.shared.state.lock().persistent.contains(application)
    }

    fn act<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        let done = {
            let mut state = self.shared.state.lock();
            state.expire();
            action(&mut state)
        };
        self.shared.changes.send_modify(|count| *count += 1);
        done
    }

    fn look(&self, id: &InstanceId) -> (Observation, Option<Instant>) {
        let mut state = self.shared.state.lock();
        state.expire();
        if state.is_blind {
            let detail = "told to be blind".to_owned();
            return (Observation::Unknown { detail }, None);
        }
        match state.instances.get(id) {
            Some(entry) => (entry.observation(), entry.ends_at),
            None => (Observation::Vanished, None),
        }
    }
}

impl State {
    fn expire(&mut self) {
        let now = Instant::now();
        for entry in self.instances.values_mut() {
            if entry.ends_at.is_some_and(|at| at <= now) {
                let code = entry.script.exit.map_or(0, |(_, code)| code);
                entry.end(code, 0);
            }
        }
    }
}

impl Entry {
    fn new(shown: MemoryInstance, script: Script) -> Self {
        Self {
            shown,
            started_at: SystemTime::now(),
            ends_at: script.exit.map(|(after, _)| Instant::now() + after),
            script,
            logs: Vec::new(),
        }
    }

    fn end(&mut self, exit_code: i32, signal: i32) {
        self.ends_at = None;
        let (reason, message) = match signal {
            0 => (reason::EXITED, format!("exited with code {exit_code}")),
            _ => (reason::SIGNALED, format!("ended by signal {signal}")),
        };
        self.shown.termination.get_or_insert_with(|| Termination {
            exit_code,
            signal,
            reason: reason.to_owned(),
            message,
            finished_at: SystemTime::now(),
        });
    }

    fn observation(&self) -> Observation {
        match &self.shown.termination {
            Some(termination) => Observation::Ended(termination.clone()),
            None => Observation::Running {
                pid: self.shown.pid,
                started_at: self.started_at,
            },
        }
    }
}
