//! Percentiles of what was measured, from every single value.

use std::time::Duration;

/// Values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    sorted: Vec<Duration>,
}

impl Percentiles {
    /// The value that `percent` of all are not above (nearest rank); zero when there is none.
    #[must_use]
    pub fn at(&self, percent: f64) -> Duration {
        let count = self.sorted.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank lies between 0 and the count, which is far below 2^52"
        )]
        let rank = (count as f64 * percent / 100.0).ceil().max(1.0) as usize;
        self.sorted
            .get(rank.min(count).wrapping_sub(1))
            .copied()
            .unwrap_or_default()
    }

    /// The middle value.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.at(50.0)
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.at(100.0)
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }
}

impl FromIterator<Duration> for Percentiles {
    fn from_iter<I: IntoIterator<Item = Duration>>(values: I) -> Self {
        let mut sorted: Vec<Duration> = values.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

/// The middle of some figures; zero when there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
