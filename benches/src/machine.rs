//! The machine that figures were taken on.

use std::fmt;
use std::fs;

/// What a reader must know of a machine to judge its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory in mebibytes.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Load averages when it was looked at: what else was running.
    pub load: String,
}

impl Machine {
    /// Looks at this machine; what it does not tell reads `unknown`, or 0.
    #[must_use]
    pub fn look() -> Self {
        let kernel = read("/proc/sys/kernel/osrelease");
        let load = read("/proc/loadavg");
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kibibytes(&read("/proc/meminfo"), "MemTotal") / 1024,
            kernel: kernel.trim().to_owned(),
            load: load.join(" "),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            memory_mib,
            kernel,
            load,
        } = self;
        write!(
            f,
            "{processor}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load}"
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first `name : value` of a file of the kernel.
fn field(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    found.unwrap_or_else(|| "unknown".to_owned())
}

/// The number in `name: 123 kB`; 0 when it is not there.
pub(crate) fn kibibytes(text: &str, name: &str) -> u64 {
    let value = field(text, name);
    let number = value.split_whitespace().next().unwrap_or_default();
    number.parse().unwrap_or_default()
}
