//! What every service process does around its service.

use std::process::ExitCode;
use std::time::Duration;

use baetyl_service_kit::config::{ConfigError, Sources, environment, load};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::{self, Telemetry, TelemetryConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::args::ServiceArgs;
use crate::failure::Failure;
use crate::output;

/// How long the last spans may take to leave.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// Reads the configuration: defaults, file, environment, flags. `None` when it was only printed.
pub(crate) fn settings<T>(args: &ServiceArgs, prefix: &str) -> Result<Option<T>, Failure>
where
    T: DeserializeOwned + Serialize + Default,
{
    let sources = Sources {
        file: args.config.as_deref(),
        env_prefix: prefix,
        env: environment(),
        overrides: overrides(args),
    };
    let settings: T = load(&sources).map_err(|error: ConfigError| Failure::config(error))?;
    if args.print_config {
        let text = serde_saphyr::to_string(&settings).map_err(Failure::local)?;
        output::line(text.trim_end());
        return Ok(None);
    }
    Ok(Some(settings))
}

/// `--data` and `--set`, which win over everything.
fn overrides(args: &ServiceArgs) -> Value {
    let mut tree = Value::Object(Map::new());
    if let Some(data) = &args.data {
        set(
            &mut tree,
            "data_folder",
            Value::String(data.display().to_string()),
        );
    }
    for (path, value) in &args.set {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
        set(&mut tree, path, value);
    }
    tree
}

fn set(tree: &mut Value, path: &str, value: Value) {
    match path.split_once('.') {
        Some((head, rest)) => {
            let below = &mut tree[head];
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            set(below, rest, value);
        }
        None => tree[path] = value,
    }
}

/// A service process: its telemetry, and its end by signals.
pub(crate) struct Host {
    /// Drains at the first signal, ends at the second.
    pub(crate) shutdown: Shutdown,
    telemetry: Telemetry,
    otlp: Option<String>,
}

impl Host {
    /// Starts logging and listens for signals.
    pub(crate) fn start(name: &str, log: &str, otlp: Option<&str>) -> Result<Self, Failure> {
        let otlp = otlp
            .filter(|endpoint| !endpoint.is_empty())
            .map(str::to_owned);
        let config = TelemetryConfig {
            service_name: name.to_owned(),
            log_level: log.to_owned(),
            otlp_endpoint: otlp.clone(),
            ..TelemetryConfig::default()
        };
        let telemetry = telemetry::init(&config).map_err(Failure::config)?;
        let shutdown = Shutdown::new();
        shutdown.listen_for_signals().map_err(Failure::local)?;
        Ok(Self {
            shutdown,
            telemetry,
            otlp,
        })
    }

    /// Where traces go; `None` for nowhere.
    pub(crate) fn otlp(&self) -> Option<&str> {
        self.otlp.as_deref()
    }

    /// The metrics of the process.
    pub(crate) fn metrics(&self) -> prometheus::Registry {
        self.telemetry.registry().clone()
    }

    /// Flushes telemetry; the end of a process whose service has ended.
    pub(crate) async fn finish(self, outcome: Result<(), Failure>) -> Result<ExitCode, Failure> {
        self.telemetry.shutdown(FLUSH_DEADLINE).await;
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn when_keys_are_set_then_they_nest_and_keep_their_types() {
        let mut tree = json!({});

        set(&mut tree, "a.b", json!(1));
        set(&mut tree, "a.c", json!("x"));
        set(&mut tree, "d", json!(true));

        assert_eq!(tree, json!({"a": {"b": 1, "c": "x"}, "d": true}));
    }
}
