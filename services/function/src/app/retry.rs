//! How many attempts may be repeated: a tenth of the calls, and some more per second.

use tokio::time::Instant;

/// A repeated attempt, in the units that are counted: no rounding.
const ATTEMPT: u64 = 1_000_000;
/// What a call adds: a tenth.
const PER_CALL: u64 = ATTEMPT / 10;
/// What a microsecond adds: ten attempts per second.
const PER_MICROSECOND: u64 = 10;
/// What can be saved up: ten quiet seconds.
const MOST: u64 = 100 * ATTEMPT;

/// Keeps repeated attempts from multiplying a failure: when everything fails, the runtimes get
/// little more than the callers sent.
#[derive(Debug)]
pub struct RetryBudget {
    saved: u64,
    refilled: Instant,
}

impl RetryBudget {
    /// Starts with one second's worth.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            saved: 10 * ATTEMPT,
            refilled: now,
        }
    }

    /// Notes a call.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + PER_CALL).min(MOST);
    }

    /// Takes one repeated attempt out, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_micros();
        self.refilled = now;
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let earned = elapsed.saturating_mul(PER_MICROSECOND);
        self.saved = self.saved.saturating_add(earned).min(MOST);
        let left = self.saved.checked_sub(ATTEMPT);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests;
