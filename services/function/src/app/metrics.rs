//! What is measured of calls and runtimes.
//!
//! Services and functions are labels, since routes bound them; what a caller makes up is not.

use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use baetyl_service_kit::fault::Fault as _;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::{KeyValue, global};
use tokio::time::Instant;

use super::error::CallError;
use super::proxy::Proxy;
use super::tally::{Count, Tally};

/// From a tenth of a millisecond to a minute.
const SECONDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0,
];

/// Label of a good end.
const OK: &str = "OK";
/// Label of what callers made up.
const UNKNOWN: &str = "unknown";

fn meter() -> Meter {
    global::meter(env!("CARGO_PKG_NAME"))
}

/// A call ended; the label `reason` is `OK` or the reason of the error.
pub(super) fn ended(
    service: &Arc<str>,
    function: &Arc<str>,
    result: Result<(), &CallError>,
    begun: Instant,
) {
    let reason = result.err().map_or(OK, |error| error.reason());
    let labels = [
        KeyValue::new("service", service.clone()),
        KeyValue::new("function", function.clone()),
        KeyValue::new("reason", reason),
    ];
    DURATION.record(begun.elapsed().as_secs_f64(), &labels);
}

/// A call named something that does not exist.
pub(super) fn unknown(error: &CallError, begun: Instant) {
    let labels = [
        KeyValue::new("service", UNKNOWN),
        KeyValue::new("function", UNKNOWN),
        KeyValue::new("reason", error.reason()),
    ];
    DURATION.record(begun.elapsed().as_secs_f64(), &labels);
}

/// A call got a slot.
pub(super) fn waited(service: &Arc<str>, waited: Duration) {
    WAIT.record(
        waited.as_secs_f64(),
        &[KeyValue::new("service", service.clone())],
    );
}

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("function_call_duration_seconds")
        .with_description("From a call's arrival to its end, by service, function and reason")
        .with_boundaries(SECONDS.to_vec())
        .build()
});

static WAIT: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("function_queue_wait_seconds")
        .with_description("From a call's arrival to its slot in a runtime")
        .with_boundaries(SECONDS.to_vec())
        .build()
});

/// Lets the scrapers see a proxy's present state and counts, for as long as it lives.
pub(super) fn observe(proxy: &Arc<Proxy>) {
    type Reading = fn(&(usize, u32, usize)) -> u64;
    let gauges: [(&'static str, &'static str, Reading); 3] = [
        (
            "function_endpoints",
            "Endpoints that can take calls",
            |load| load.0 as u64,
        ),
        (
            "function_active_calls",
            "Calls that runtimes have",
            |load| u64::from(load.1),
        ),
        (
            "function_waiting_calls",
            "Calls that wait for a slot",
            |load| load.2 as u64,
        ),
    ];
    for (name, description, reading) in gauges {
        let proxy: Weak<Proxy> = Arc::downgrade(proxy);
        meter()
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| {
                let Some(proxy) = proxy.upgrade() else {
                    return;
                };
                for (service, load) in proxy.loads() {
                    observer.observe(reading(&load), &[KeyValue::new("service", service)]);
                }
            })
            .build();
    }
    observe_tally(proxy.tally());
}

fn observe_tally(tally: &Arc<Tally>) {
    type Counted = fn(&Tally) -> &Count;
    let counters: [(&'static str, &'static str, Counted); 8] = [
        (
            "function_ignored_results_total",
            "Late or repeated results",
            |tally| &tally.ignored_results,
        ),
        (
            "function_retries_total",
            "Attempts that were repeated",
            |tally| &tally.retries,
        ),
        (
            "function_superseded_total",
            "Endpoints that a later start replaced",
            |tally| &tally.superseded,
        ),
        (
            "function_expired_total",
            "Endpoints that fell silent",
            |tally| &tally.expired,
        ),
        (
            "function_unknown_frames_total",
            "Frames of unknown kind",
            |tally| &tally.unknown_frames,
        ),
        (
            "function_log_lines_total",
            "Lines of captured output",
            |tally| &tally.log_lines,
        ),
        (
            "function_dropped_log_lines_total",
            "Lines that runtimes dropped",
            |tally| &tally.dropped_log_lines,
        ),
        (
            "function_refused_runtimes_total",
            "Runtimes that were refused",
            |tally| &tally.refused_runtimes,
        ),
    ];
    for (name, description, counted) in counters {
        let tally = Arc::downgrade(tally);
        meter()
            .u64_observable_counter(name)
            .with_description(description)
            .with_callback(move |observer| {
                if let Some(tally) = tally.upgrade() {
                    observer.observe(counted(&tally).value(), &[]);
                }
            })
            .build();
    }
}
