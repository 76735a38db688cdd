//! Logs, traces and metrics of a program, set up once by its `main`.
//!
//! Services log with `tracing` and count with `opentelemetry::global::meter`, and know nothing of
//! exporters, so that several of them can share a process. Logs go to standard error. Metrics are
//! pulled from [`admin`]; spans are pushed to an OTLP collector when one is configured, and only
//! then exist beyond the log.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::HumanDuration;
use crate::serve::{ConnectError, ConnectOptions, Target, connect_lazy};

pub mod admin;
pub mod field;
mod metrics;
pub mod propagation;
mod readiness;
mod rpc;
#[cfg(test)]
mod tests;

pub use metrics::SECONDS_BUCKETS;
pub use readiness::{Condition, Readiness, State};
pub use rpc::{ServerTrace, Traced};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to report, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `service.name` of traces and metrics.
    pub service_name: String,
    /// `service.instance.id`, when there are several.
    pub instance: Option<String>,
    /// Level, or directives such as `info,h2=warn`. Default `info`.
    pub log_level: String,
    /// Default `text`.
    pub log_format: LogFormat,
    /// OTLP collector over gRPC, `http://127.0.0.1:4317`. Default none. A collector elsewhere is
    /// reached through one on this machine, which has the credentials.
    pub otlp_endpoint: Option<String>,
    /// How long one export may take. Default 10 s.
    pub otlp_timeout: HumanDuration,
    /// Part of the traces begun here that are recorded, 0 to 1; those begun elsewhere follow their
    /// parent. Default 1.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            service_name: "unnamed".to_owned(),
            instance: None,
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            otlp_timeout: HumanDuration::from_secs(10),
            sample_ratio: 1.0,
        }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The log level is neither a level nor directives.
    #[error("the log level {level:?} is wrong")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The address of the collector is malformed.
    #[error("the address of the collector is wrong")]
    Endpoint(#[from] ConnectError),
    /// The exporter cannot be built.
    #[error("the exporter of traces cannot be built")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The registry of metrics cannot be built.
    #[error("the registry of metrics cannot be built")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// Something else already receives the logs of this process.
    #[error("telemetry was set up before")]
    Repeated(#[from] tracing_subscriber::util::TryInitError),
}

/// What was set up; kept by `main` and shut down last.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    registry: prometheus::Registry,
    tracers: Option<SdkTracerProvider>,
}

/// Sets up logs, traces and metrics for the whole process. Must run inside of the runtime, once.
///
/// # Errors
/// The configuration is wrong, or telemetry was set up before.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    // The SDK announces itself at INFO, and the client of clusters calls every answer that is no
    // success an error, though who asked handles it. Later directives win, so that both can be heard.
    let directives = format!("opentelemetry=warn,kube_client=off,{}", config.log_level);
    let filter = EnvFilter::try_new(directives).map_err(|source| TelemetryError::Level {
        level: config.log_level.clone(),
        source,
    })?;
    let (registry, meters) = metrics::provider(resource(config))?;
    let tracers = match &config.otlp_endpoint {
        Some(endpoint) => Some(tracer_provider(config, endpoint)?),
        None => None,
    };
    let spans = tracers.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_filter(tracing_subscriber::filter::filter_fn(is_ours))
    });
    Registry::default()
        .with(spans)
        .with(log_layer(config.log_format).with_filter(filter))
        .try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_meter_provider(meters);
    if let Some(provider) = &tracers {
        global::set_tracer_provider(provider.clone());
    }
    Ok(Telemetry { registry, tracers })
}

impl Telemetry {
    /// The metrics of the process, for [`admin::router`].
    #[must_use]
    pub fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// Sends the spans that are left, waiting at most `deadline`. Logs and metrics go on working.
    pub async fn shutdown(self, deadline: Duration) {
        let Some(tracers) = self.tracers else {
            return;
        };
        // The provider blocks; the exporter needs the runtime meanwhile.
        let flush = tokio::task::spawn_blocking(move || tracers.shutdown_with_timeout(deadline));
        match tokio::time::timeout(deadline, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(outcome) => tracing::warn!(outcome = ?outcome, "traces were not flushed"),
            Err(_) => tracing::warn!("traces were not flushed in time"),
        }
    }
}

fn log_layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// Spans of the transport under the exporter would be exported too, and so on without end.
fn is_ours(metadata: &tracing::Metadata<'_>) -> bool {
    const TRANSPORT: [&str; 6] = [
        "h2",
        "hyper",
        "hyper_util",
        "tonic",
        "tower",
        "opentelemetry",
    ];
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= tracing::Level::INFO && !TRANSPORT.contains(&root)
}

fn resource(config: &TelemetryConfig) -> Resource {
    let builder = Resource::builder().with_service_name(config.service_name.clone());
    match &config.instance {
        Some(id) => builder
            .with_attribute(KeyValue::new("service.instance.id", id.clone()))
            .build(),
        None => builder.build(),
    }
}

fn tracer_provider(
    config: &TelemetryConfig,
    endpoint: &str,
) -> Result<SdkTracerProvider, TelemetryError> {
    let channel = connect_lazy(&Target::plain(endpoint)?, &ConnectOptions::default());
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(config.otlp_timeout.0)
        .build()?;
    let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(config))
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_batch_exporter(exporter)
        .build())
}
