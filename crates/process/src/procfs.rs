//! What `/proc` tells about processes.

use std::collections::BTreeMap;
use std::{fs, io};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// One process, told apart from later ones that reuse its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process number.
    pub pid: u32,
    /// Start in clock ticks after boot (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
}

impl ProcessId {
    /// Looks up the process that has this number now, dead but unreaped ones included.
    pub fn of(pid: u32) -> Option<Self> {
        entry(pid).map(|entry| entry.id)
    }

    /// Whether this very process still runs (a dead but unreaped one does not).
    pub fn is_alive(self) -> bool {
        entry(self.pid).is_some_and(|entry| entry.id == self && !entry.is_dead)
    }

    pub(crate) fn to_os(self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

/// One line of `/proc/<pid>/stat`, as far as it is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ProcessId,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// Zombie or being torn down.
    pub(crate) is_dead: bool,
    /// Ticks of its own and of the children that it has waited for.
    pub(crate) cpu_ticks: u64,
    pub(crate) threads: u32,
    pub(crate) resident_pages: u64,
}

/// All processes at one moment; take one and use it for many instances.
#[derive(Debug, Clone, Default)]
pub struct ProcessTable(BTreeMap<u32, Entry>);

impl ProcessTable {
    /// Reads `/proc`. Processes that end meanwhile are left out. Blocking.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn read() -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        for folder in fs::read_dir("/proc")? {
            let name = folder?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(entry) = entry(pid) {
                entries.insert(pid, entry);
            }
        }
        Ok(Self(entries))
    }

    /// The entry of this very process, dead but unreaped ones included.
    pub(crate) fn find(&self, id: ProcessId) -> Option<&Entry> {
        self.0.get(&id.pid).filter(|entry| entry.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// Children, their children and so on, without `root` itself.
    pub(crate) fn descendants(&self, root: u32) -> Vec<&Entry> {
        let mut children: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
        for entry in self.iter().filter(|entry| entry.id.pid != entry.parent) {
            children.entry(entry.parent).or_default().push(entry);
        }
        let mut found = Vec::new();
        let mut pending = vec![root];
        while let Some(parent) = pending.pop() {
            // Removing makes this end even if the snapshot, which is not
            // atomic, should show a circle.
            for child in children.remove(&parent).unwrap_or_default() {
                pending.push(child.id.pid);
                found.push(child);
            }
        }
        found
    }
}

/// Reads one process; `None` when it is gone.
pub(crate) fn entry(pid: u32) -> Option<Entry> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Identity of the running kernel's boot.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Whether the process was started with `name=value` in its environment.
///
/// Processes of other users are readable to root only, and count as unmarked.
pub(crate) fn has_variable(pid: u32, name: &str, value: &str) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environ.split(|byte| *byte == 0).any(|variable| {
        variable
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|found| found == value.as_bytes())
    })
}

/// Parses `pid (name) state parent ...`, see proc_pid_stat(5). The name may hold
/// anything, blanks and brackets included, so fields count from its last bracket.
fn parse_stat(line: &[u8]) -> Option<Entry> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Manual numbering starts with 1 at the pid; `fields` starts with number 3.
    let text = |number: usize| fields.get(number - 3).copied();
    let number = |position: usize| text(position)?.parse::<u64>().ok();
    let ticks = |position: usize| text(position)?.parse::<i64>().ok();
    // Times of waited-for children are signed in the manual; never negative.
    let cpu_ticks =
        number(14)? + number(15)? + ticks(16)?.unsigned_abs() + ticks(17)?.unsigned_abs();
    Some(Entry {
        id: ProcessId {
            pid,
            start_time: number(22)?,
        },
        parent: u32::try_from(number(4)?).ok()?,
        group: text(5)?.parse().unwrap_or(0),
        is_dead: matches!(text(3)?, "Z" | "X" | "x"),
        cpu_ticks,
        threads: u32::try_from(number(20)?).unwrap_or(u32::MAX),
        resident_pages: number(24)?,
    })
}

#[cfg(test)]
mod tests;
