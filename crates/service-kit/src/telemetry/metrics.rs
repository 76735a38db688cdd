//! The meter provider behind `/metrics`.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};

/// Boundaries for histograms in seconds, from a millisecond to half a minute: the default ones are
/// for milliseconds.
pub const SECONDS_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// The most series of one metric. Labels come from closed sets, so that this is never reached; the
/// SDK reserves memory for all of them at once, by itself for 2 000: 130 KB for each metric.
const MOST_SERIES: usize = 200;

/// Metrics carry unit and `_total` in their names, so the exporter must not add them again.
pub(super) fn provider(
    resource: Resource,
) -> Result<(prometheus::Registry, SdkMeterProvider), OTelSdkError> {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_units()
        .without_counter_suffixes()
        .scope_info_enabled(false)
        .build()?;
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(exporter)
        .with_view(|_: &Instrument| {
            Stream::builder()
                .with_cardinality_limit(MOST_SERIES)
                .build()
                .ok()
        })
        .build();
    Ok((registry, provider))
}
