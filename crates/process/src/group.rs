//! Everything that belongs to one instance or worker: found, signalled, killed and
//! measured in one place.
//!
//! A process belongs when it descends from the shim (which adopts the orphans among
//! its descendants), descends from the leader or shares its group, or carries the
//! marker. Each way covers what another misses: daemons leave the group, programs
//! that set their title lose the marker, and a killed shim loses its descendants.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};

use crate::procfs::{Entry, has_variable};
use crate::{ProcessId, ProcessTable, Signal};

/// Pause between two rounds of killing; processes need a moment to go.
const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// What one instance uses at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory that is resident, in bytes; pages that processes share count in each.
    pub resident_bytes: u64,
    /// Processor time used so far. Falls when a process ends that nobody waited for.
    pub cpu_time: Duration,
    /// Processes alive.
    pub processes: u32,
    /// Threads of them.
    pub threads: u32,
}

/// How to recognize the processes of one instance or worker.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Variable and value that mark its processes.
    pub(crate) marker: (&'static str, String),
    /// First process, leader of the group.
    pub(crate) leader: Option<ProcessId>,
    /// Its shim, which is not a member.
    pub(crate) shim: Option<ProcessId>,
    pub(crate) cgroup: Option<PathBuf>,
}

impl Scope {
    /// Everything of the scope that is alive. Blocking.
    pub(crate) fn members(&self, table: &ProcessTable) -> Vec<ProcessId> {
        self.member_entries(table)
            .into_iter()
            .map(|entry| entry.id)
            .collect()
    }

    fn member_entries<'a>(&self, table: &'a ProcessTable) -> Vec<&'a Entry> {
        // Numbers of ended processes may have been given away, so a relation
        // counts only from a process whose identity was confirmed.
        let known = |id: Option<ProcessId>| id.filter(|id| table.find(*id).is_some());
        let shim = known(self.shim);
        let leader = known(self.leader);
        let mut related: Vec<u32> = Vec::new();
        for root in [shim, leader].into_iter().flatten() {
            related.extend(table.descendants(root.pid).iter().map(|entry| entry.id.pid));
        }
        let (name, value) = &self.marker;
        table
            .iter()
            .filter(|entry| !entry.is_dead && entry.id.pid != std::process::id())
            .filter(|entry| self.shim != Some(entry.id))
            .filter(|entry| {
                related.contains(&entry.id.pid)
                    || leader.is_some_and(|leader| entry.group == leader.pid)
                    || has_variable(entry.id.pid, name, value)
            })
            .collect()
    }

    /// Signals the group of the leader; false when the leader is gone.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<bool> {
        let Some(leader) = self.leader.filter(|id| ProcessId::of(id.pid) == Some(*id)) else {
            return Ok(false);
        };
        let Some(group) = leader.to_os() else {
            return Ok(false);
        };
        match kill_process_group(group, signal.to_os()) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills everything of the scope until nothing is left or `bound` is over, and
    /// returns what is left. Blocking.
    pub(crate) fn kill_all(&self, bound: Duration) -> io::Result<Vec<ProcessId>> {
        let deadline = Instant::now() + bound;
        loop {
            let members = self.members(&ProcessTable::read()?);
            if members.is_empty() || Instant::now() >= deadline {
                return Ok(members);
            }
            if let Some(cgroup) = &self.cgroup {
                // Since Linux 5.14, without a gap for new processes. The members
                // are killed one by one as well, so a refusal is no loss.
                let _ = fs::write(cgroup.join("cgroup.kill"), "1");
            }
            self.signal_group(Signal::Kill)?;
            for member in members {
                send(member, Signal::Kill)?;
            }
            thread::sleep(ROUND_PAUSE);
        }
    }

    /// Sums up what the members use. Blocking.
    pub(crate) fn stats(&self, table: &ProcessTable) -> Stats {
        let page_size = rustix::param::page_size() as u64;
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        let mut stats = Stats::default();
        let mut ticks: u64 = 0;
        for entry in self.member_entries(table) {
            stats.resident_bytes += entry.resident_pages * page_size;
            stats.processes += 1;
            stats.threads += entry.threads;
            ticks += entry.cpu_ticks;
        }
        stats.cpu_time = Duration::from_millis(ticks.saturating_mul(1000) / ticks_per_second);
        stats
    }
}

/// Signals exactly this process, never a later one of the same number; false when
/// it has ended.
pub(crate) fn send(id: ProcessId, signal: Signal) -> io::Result<bool> {
    let Some(pid) = id.to_os() else {
        return Ok(false);
    };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Some(handle),
        Err(Errno::SRCH) => return Ok(false),
        Err(_) => None,
    };
    if !id.is_alive() {
        return Ok(false);
    }
    let sent = match handle {
        Some(handle) => pidfd_send_signal(handle, signal.to_os()),
        None => kill_process(pid, signal.to_os()),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
