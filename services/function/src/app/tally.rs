//! What is counted in passing; read by the metrics and by tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Adds several.
    pub fn add(&self, several: u64) {
        self.0.fetch_add(several, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of a proxy, over all of its services.
#[derive(Debug, Default)]
pub struct Tally {
    /// Results, chunks and starts of calls that had ended or that another endpoint has: late,
    /// repeated, or made up.
    pub ignored_results: Count,
    /// Attempts that were repeated on the retry budget.
    pub retries: Count,
    /// Endpoints that a later start took the place of.
    pub superseded: Count,
    /// Endpoints that fell silent for longer than their lease.
    pub expired: Count,
    /// Frames of a kind that is not known here.
    pub unknown_frames: Count,
    /// Lines of captured output that runtimes sent.
    pub log_lines: Count,
    /// Lines of captured output that runtimes dropped.
    pub dropped_log_lines: Count,
    /// Runtimes that were refused.
    pub refused_runtimes: Count,
}
