//! Control groups (version 2), where they are delegated to this process.
//!
//! Written by hand: a folder per instance, a file per limit. Without them the caller
//! samples memory ([`crate::Instance::stats`]) and kills what goes over, and reports
//! processor limits as unsupported.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{Error, InstanceId};

const MOUNT: &str = "/sys/fs/cgroup";

/// Period of the processor limit, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// Limits of all processes of an instance together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Bytes of memory; going over kills the whole instance.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Whether control groups can be made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// They can, through this.
    Available(ControlGroups),
    /// They cannot.
    Unavailable {
        /// Why, for people.
        reason: String,
    },
}

/// A folder of the control group tree in which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroups {
    base: PathBuf,
}

/// Finds out whether control groups can be made, and prepares for it: this process
/// moves into a group `supervisor` below its own, because a group with processes of
/// its own cannot hand controllers on. Blocking; call it once at start.
pub fn detect() -> Support {
    match prepare() {
        Ok(groups) => Support::Available(groups),
        Err(reason) => Support::Unavailable { reason },
    }
}

fn prepare() -> Result<ControlGroups, String> {
    let membership = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let own = unified_path(&membership).ok_or("no unified hierarchy")?;
    if !Path::new(MOUNT).join("cgroup.controllers").exists() {
        return Err(format!("version 2 is not mounted at {MOUNT}"));
    }
    // After an earlier start this process may be in the inner group already.
    let base = own
        .strip_suffix("/supervisor")
        .unwrap_or(own)
        .trim_start_matches('/');
    let base = Path::new(MOUNT).join(base);
    let failed =
        |doing: &str, error: io::Error| format!("cannot {doing} {}: {error}", base.display());
    let inner = base.join("supervisor");
    make_folder(&inner).map_err(|error| failed("make a group in", error))?;
    fs::write(inner.join("cgroup.procs"), "0").map_err(|error| failed("move within", error))?;
    fs::write(base.join("cgroup.subtree_control"), "+memory +cpu +pids")
        .map_err(|error| failed("hand on the controllers of", error))?;
    Ok(ControlGroups { base })
}

/// The line `0::/path` of `/proc/self/cgroup`.
fn unified_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| line.strip_prefix("0::"))
}

impl ControlGroups {
    /// Makes the group of an instance, to be put into [`crate::Program::cgroup`].
    /// [`crate::Instance::remove`] removes it. Blocking.
    ///
    /// # Errors
    /// [`Error::Io`] when the kernel refuses the group or a limit.
    pub fn create(&self, id: &InstanceId, limits: &GroupLimits) -> Result<PathBuf, Error> {
        let group = self.base.join(id.as_str());
        make_folder(&group).map_err(Error::io("make", &group))?;
        let mut settings = Vec::new();
        if let Some(bytes) = limits.memory_bytes {
            settings.push(("memory.max", bytes.to_string()));
            settings.push(("memory.oom.group", "1".to_owned()));
        }
        if let Some(millis) = limits.cpu_millis {
            // The kernel takes no quota below a millisecond.
            let quota = millis.saturating_mul(CPU_PERIOD / 1000).max(1000);
            settings.push(("cpu.max", format!("{quota} {CPU_PERIOD}")));
        }
        if let Some(processes) = limits.processes {
            settings.push(("pids.max", processes.to_string()));
        }
        for (file, value) in settings {
            let path = group.join(file);
            fs::write(&path, value).map_err(Error::io("write", &path))?;
        }
        Ok(group)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Whether the kernel killed a process of the group for want of memory.
pub(crate) fn was_out_of_memory(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("memory.events")).unwrap_or_default();
    counter(&events, "oom_kill").is_some_and(|count| count > 0)
}

/// Memory in bytes and processor time in microseconds of the whole group.
pub(crate) fn usage(group: &Path) -> Option<(u64, u64)> {
    let memory = fs::read_to_string(group.join("memory.current"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let cpu = fs::read_to_string(group.join("cpu.stat")).ok()?;
    Some((memory, counter(&cpu, "usage_usec")?))
}

fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests;
