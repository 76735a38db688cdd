//! What the machine is, and how much of it is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baetyl_proto::resource::v1::{MachineStats, MachineStatus};
use parking_lot::Mutex;
use sysinfo::{Networks, System};

/// Two samples of the processors must be this far apart to mean anything.
const LEAST_BETWEEN: Duration = Duration::from_millis(200);

/// How many addresses are reported.
const MAX_ADDRESSES: usize = 32;

/// Samples this machine. Sampling blocks: it reads `/proc`.
#[derive(Debug)]
pub(crate) struct Machine {
    constant: MachineStatus,
    data_folder: PathBuf,
    sampler: Mutex<Sampler>,
}

#[derive(Debug)]
struct Sampler {
    system: Option<System>,
    networks: Option<Networks>,
    cpu_ratio: f64,
    cpu_time: Option<std::time::Instant>,
}

impl Machine {
    /// Reads what does not change until the next boot. The disk is that of the data folder.
    pub(crate) fn new(data_folder: impl Into<PathBuf>) -> Self {
        let sampler = Sampler {
            system: System::new().ok(),
            networks: Networks::new().ok(),
            cpu_ratio: 0.0,
            cpu_time: None,
        };
        Self {
            constant: constant(),
            data_folder: data_folder.into(),
            sampler: Mutex::new(sampler),
        }
    }

    /// Host name, as in the status.
    pub(crate) fn hostname(&self) -> &str {
        &self.constant.hostname
    }

    /// Samples now. The processors' part is since the last sample that was at least 200 ms ago.
    pub(crate) fn sample(&self) -> MachineStatus {
        let mut sampler = self.sampler.lock();
        let (addresses, received, sent) = sampler.network();
        let (cpu_count, cpu_ratio) = sampler.processors();
        let (memory_total, memory_used) = sampler.memory();
        let (disk_total, disk_used) = disk(&self.data_folder);
        let stats = MachineStats {
            sample_time: Some(SystemTime::now().into()),
            cpu_count,
            cpu_ratio,
            memory_total_bytes: memory_total,
            memory_used_bytes: memory_used,
            disk_total_bytes: disk_total,
            disk_used_bytes: disk_used,
            network_received_bytes: received,
            network_sent_bytes: sent,
            load1: System::load_average().map_or(0.0, |load| load.one),
        };
        MachineStatus {
            addresses,
            stats: Some(stats),
            ..self.constant.clone()
        }
    }
}

impl Sampler {
    fn processors(&mut self) -> (u32, f64) {
        let Some(system) = &mut self.system else {
            return (0, 0.0);
        };
        let is_due = self
            .cpu_time
            .is_none_or(|last| last.elapsed() >= LEAST_BETWEEN);
        if is_due {
            system.refresh_cpu_usage();
            let usage = f64::from(system.global_cpu_usage());
            self.cpu_ratio = (usage / 100.0).clamp(0.0, 1.0);
            self.cpu_time = Some(std::time::Instant::now());
        }
        let count = u32::try_from(system.cpus().len()).unwrap_or(u32::MAX);
        (count, self.cpu_ratio)
    }

    fn memory(&mut self) -> (u64, u64) {
        let Some(system) = &mut self.system else {
            return (0, 0);
        };
        system.refresh_memory();
        let total = system.total_memory();
        (total, total.saturating_sub(system.available_memory()))
    }

    fn network(&mut self) -> (Vec<String>, u64, u64) {
        let Some(networks) = &mut self.networks else {
            return (Vec::new(), 0, 0);
        };
        networks.refresh(true);
        let (mut addresses, mut received, mut sent) = (Vec::new(), 0_u64, 0_u64);
        for (name, network) in networks.iter() {
            if name == "lo" {
                continue;
            }
            received = received.saturating_add(network.total_received());
            sent = sent.saturating_add(network.total_transmitted());
            let own = network.ip_networks().iter().map(|net| net.addr);
            addresses.extend(own.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()));
        }
        addresses.sort();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        (addresses, received, sent)
    }
}

/// Whether a sample differs enough from the one that was reported to be sent: counters and clocks
/// always differ a little, and a quiet machine should cost nothing.
pub(crate) fn is_notable(reported: &MachineStatus, now: &MachineStatus) -> bool {
    let (Some(old), Some(new)) = (&reported.stats, &now.stats) else {
        return reported != now;
    };
    let without_stats = |status: &MachineStatus| MachineStatus {
        stats: None,
        ..status.clone()
    };
    let moved = |old: u64, new: u64, step: u64| old.abs_diff(new) >= step.max(1);
    without_stats(reported) != without_stats(now)
        || old.cpu_count != new.cpu_count
        || (old.cpu_ratio - new.cpu_ratio).abs() >= 0.05
        || (old.load1 - new.load1).abs() >= 0.5
        || old.memory_total_bytes != new.memory_total_bytes
        || moved(
            old.memory_used_bytes,
            new.memory_used_bytes,
            new.memory_total_bytes / 50,
        )
        || old.disk_total_bytes != new.disk_total_bytes
        || moved(
            old.disk_used_bytes,
            new.disk_used_bytes,
            new.disk_total_bytes / 100,
        )
        || moved(
            old.network_received_bytes,
            new.network_received_bytes,
            NETWORK_STEP,
        )
        || moved(old.network_sent_bytes, new.network_sent_bytes, NETWORK_STEP)
}

/// Traffic that is worth a report.
const NETWORK_STEP: u64 = 1024 * 1024;

fn constant() -> MachineStatus {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let hostname = text(uname.nodename());
    MachineStatus {
        hostname: if hostname.is_empty() {
            "localhost".to_owned()
        } else {
            hostname
        },
        architecture: architecture(&text(uname.machine())),
        operating_system: std::env::consts::OS.to_owned(),
        os_image: pretty_name(&release).unwrap_or_default(),
        kernel_version: text(uname.release()),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        machine_id: line("/etc/machine-id"),
        ..MachineStatus::default()
    }
}

/// The names that container images use.
fn architecture(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "armv7l" | "armv6l" => "arm".to_owned(),
        other => other.to_owned(),
    }
}

/// The name in an `os-release` file.
fn pretty_name(release: &str) -> Option<String> {
    let value = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// Total and used bytes of the file system that holds a folder.
fn disk(folder: &Path) -> (u64, u64) {
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            let total = bytes(found.f_blocks);
            (total, total.saturating_sub(bytes(found.f_bfree)))
        }
        Err(_) => (0, 0),
    }
}

#[cfg(test)]
mod tests;
