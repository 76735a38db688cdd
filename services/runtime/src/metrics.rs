//! What the host counts.

use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, Meter};

static METER: LazyLock<Meter> =
    LazyLock::new(|| opentelemetry::global::meter(env!("CARGO_PKG_NAME")));

/// Calls that ended; label `outcome`: `ok`, or where the failure came from.
pub(crate) static CALLS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    METER
        .u64_counter("runtime_calls_total")
        .with_description("Calls that ended, by outcome")
        .build()
});

/// Workers that were started, the first ones included.
pub(crate) static WORKER_STARTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    METER
        .u64_counter("runtime_worker_starts_total")
        .with_description("Workers that were started")
        .build()
});

/// Lines of captured output that nobody will see.
pub(crate) static LINES_DROPPED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    METER
        .u64_counter("runtime_output_lines_dropped_total")
        .with_description("Lines of captured output that were dropped under pressure")
        .build()
});

/// Frames of the function service that are not known, or name no call.
pub(crate) static FRAMES_IGNORED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    METER
        .u64_counter("runtime_frames_ignored_total")
        .with_description("Frames of the function service that were ignored")
        .build()
});
