//! The meter provider behind `/metrics`.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;

/// Boundaries for histograms in seconds, from a millisecond to half a minute: the default ones are
/// for milliseconds.
pub const SECONDS_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

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
        .build();
    Ok((registry, provider))
}
