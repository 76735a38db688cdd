//! What core counts.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

fn meter() -> Meter {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
}

fn counter(name: &'static str, description: &'static str) -> Counter<u64> {
    meter()
        .u64_counter(name)
        .with_description(description)
        .build()
}

/// Whether the sync stream is open.
pub(crate) static SYNC_CONNECTED: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("sync_connected")
        .with_description("1 while the sync stream to the cloud is open")
        .build()
});

/// Sessions that were opened.
pub(crate) static SYNC_SESSIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sync_sessions_total",
        "Sync streams that the cloud answered; all but the first are reconnects",
    )
});

/// Bytes of reports.
pub(crate) static REPORT_BYTES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sync_report_bytes_total",
        "Bytes of report frames sent to the cloud",
    )
});

/// Desired states that were not taken.
pub(crate) static DESIRED_REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sync_desired_refused_total",
        "Desired states that were older, conflicting or not acceptable",
    )
});

/// Frames that this version does not know.
pub(crate) static UNKNOWN_FRAMES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sync_unknown_frames_total",
        "Frames of the cloud that this version of core does not know",
    )
});

static APPLICATIONS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("applications")
        .with_description("Applications on the node by state")
        .build()
});

/// Notes how many applications are in a state.
pub(crate) fn applications(state: &'static str, count: u64) {
    APPLICATIONS.record(count, &[KeyValue::new("state", state)]);
}
