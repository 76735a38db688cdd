//! The rate at which new streams are admitted: a storm of reconnects must not drown the rest.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Admission {
    rate: f64,
    burst: f64,
    bucket: Mutex<(f64, Instant)>,
}

impl Admission {
    /// Admits `rate` a second on average and `burst` at once, at least one of each.
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            rate: f64::from(rate.max(1)),
            burst,
            bucket: Mutex::new((burst, now)),
        }
    }

    /// Admits one, or says when to come back: spread over the time that a full bucket takes, so
    /// that those who are sent away do not come back together.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock();
        let (tokens, last) = *bucket;
        let gained = now.saturating_duration_since(last).as_secs_f64() * self.rate;
        let tokens = (tokens + gained).min(self.burst);
        if tokens >= 1.0 {
            *bucket = (tokens - 1.0, now);
            return Ok(());
        }
        *bucket = (tokens, now);
        let spread = (self.burst / self.rate).clamp(1.0, 30.0);
        Err(Duration::from_secs_f64(rand::random_range(
            0.5..=spread + 0.5,
        )))
    }
}

#[cfg(test)]
mod tests;
