//! How long to wait before the next attempt: doubling, capped, full jitter.
//!
//! Full jitter (a uniform draw between zero and the bound) spreads a fleet that lost its server at
//! one instant. An attempt that worked for a while starts the series again; one that worked only
//! for a moment does not, so that a server which accepts and drops is not stormed.

use std::fmt;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

#[cfg(test)]
mod tests;

/// The bounds of a series of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Upper bound of the first delay; default 200 ms.
    pub initial: Duration,
    /// Upper bound of every delay; default 30 s.
    pub cap: Duration,
    /// How long an attempt must have been healthy for the series to start again; default 60 s.
    pub healthy_after: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(200),
            cap: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
        }
    }
}

impl Bounds {
    /// The upper bound of the delay before attempt number `attempt` (zero is the first retry).
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.cap)
    }
}

/// The state of one series of attempts, owned by the loop that makes them.
pub struct Backoff {
    bounds: Bounds,
    attempt: u32,
    healthy_since: Option<Instant>,
    rng: Box<dyn RngCore + Send>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("bounds", &self.bounds)
            .field("attempt", &self.attempt)
            .field("healthy_since", &self.healthy_since)
            .finish_non_exhaustive()
    }
}

impl Backoff {
    /// Creates a series with randomness from the operating system.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self::with_rng(bounds, Box::new(StdRng::from_os_rng()))
    }

    /// Creates a series with the given source of jitter.
    #[must_use]
    pub fn with_rng(bounds: Bounds, rng: Box<dyn RngCore + Send>) -> Self {
        Self {
            bounds,
            attempt: 0,
            healthy_since: None,
            rng,
        }
    }

    /// How many delays were drawn since the series last started.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Notes that the attempt succeeded at `now`; the first call of an attempt counts.
    pub fn healthy(&mut self, now: Instant) {
        self.healthy_since.get_or_insert(now);
    }

    /// Notes that the attempt ended at `now` and draws the delay before the next one, at most
    /// [`Bounds::cap`].
    pub fn next_delay(&mut self, now: Instant) -> Duration {
        let healthy_for = self
            .healthy_since
            .take()
            .map(|since| now.saturating_duration_since(since));
        if healthy_for.is_some_and(|elapsed| elapsed >= self.bounds.healthy_after) {
            self.attempt = 0;
        }
        let ceiling = self.bounds.ceiling(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.random_range(0..=nanos))
    }
}
