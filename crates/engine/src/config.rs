//! Settings of the engine.

use std::ops::RangeInclusive;
use std::time::Duration;

use baetyl_process::ports;

/// Settings of the engine; core fills them from its own configuration.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Host name of this machine, for the status of instances.
    pub machine: String,
    /// Ports that the engine hands out. Default 50200 to 51000.
    pub port_range: RangeInclusive<u16>,
    /// How a restart is delayed.
    pub restart: RestartBackoff,
    /// How often memory is sampled. Default 2 s.
    pub sample_period: Duration,
    /// How long until the engine tries again what it could not observe or do. Default 1 s.
    pub retry_period: Duration,
}

impl EngineConfig {
    /// Returns the defaults, for a machine of this host name.
    #[must_use]
    pub fn new(machine: impl Into<String>) -> Self {
        Self {
            machine: machine.into(),
            port_range: ports::DEFAULT_RANGE,
            restart: RestartBackoff::default(),
            sample_period: Duration::from_secs(2),
            retry_period: Duration::from_secs(1),
        }
    }
}

/// Delay of restarts: doubling, capped, without jitter, since nobody else waits for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartBackoff {
    /// Delay of the first restart. Default 1 s.
    pub initial: Duration,
    /// Longest delay. Default 60 s.
    pub cap: Duration,
    /// How long an instance must have run for the series to start again. Default 10 min.
    pub healthy_after: Duration,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            healthy_after: Duration::from_secs(600),
        }
    }
}

impl RestartBackoff {
    /// Returns the delay before the restart that follows `failures` in a row, at least one.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.cap)
    }
}
