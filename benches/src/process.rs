//! What the kernel knows of a process: its time on processors and its memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::machine::kibibytes;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All pages that are there, shared ones too.
    pub rss: u64,
    /// Pages that are there, each divided by the number of processes that share it.
    pub pss: u64,
    /// The part of `pss` that no file backs: heap and stacks.
    pub anonymous: u64,
}

/// Time that a process, with all its threads, spent on processors so far; its children aside.
/// The kernel tells it in ticks of mostly 10 ms.
///
/// # Errors
/// There is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat has an unknown form"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_micros(ticks * 1_000_000 / per_second.max(1)))
}

/// Memory of a process now.
///
/// # Errors
/// There is no such process, or it is not ours.
pub fn memory(pid: u32) -> Result<Memory> {
    Ok(rollup(&read(pid, "smaps_rollup")?))
}

/// The most memory of which all pages were there at one time, shared ones too, in bytes.
///
/// # Errors
/// There is no such process.
pub fn peak(pid: u32) -> Result<u64> {
    Ok(kibibytes(&read(pid, "status")?, "VmHWM") * 1024)
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the process ended?"))
}

/// User and system time: fields 14 and 15, counted from behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rollup(text: &str) -> Memory {
    let bytes = |name| kibibytes(text, name) * 1024;
    Memory {
        rss: bytes("Rss"),
        pss: bytes("Pss"),
        anonymous: bytes("Pss_Anon"),
    }
}

#[cfg(test)]
mod tests;
