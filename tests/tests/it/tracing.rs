//! Traces across all processes, as a collector receives them: each in one piece.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use baetyl_service_kit::serve::{Address, Grpc, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_tests::{System, wait};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tonic::{Request, Response, Status};

#[tokio::test]
async fn given_a_collector_when_an_application_is_applied_then_its_start_is_in_the_trace_of_apply()
-> Result<()> {
    let collector = Collector::start().await?;
    let mut system = System::start_with(&[("BAETYL_OTLP_ENDPOINT", &collector.endpoint)]).await?;

    let apply = system
        .cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?;
    apply.ok()?;

    let is_start = |seen: &Seen| {
        seen.span.name == "start application" && seen.attribute("app.name") == "watcher"
    };
    let path = collector.path_to(is_start).await?;
    let names: Vec<&str> = path.iter().map(|seen| seen.span.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "command",
            "baetyl.cloud.v1.ApplyService/Apply",
            "match nodes",
            "accept desired",
            "start application"
        ]
    );
    assert_eq!(path[0].attribute("command"), "apply");
    assert_eq!(path[4].attribute("app.revision"), "1");
    let services: Vec<&str> = path.iter().map(|seen| seen.service.as_str()).collect();
    assert_eq!(
        services,
        [
            "baetyl-cli",
            "baetyl-up",
            "baetyl-up",
            "baetyl-up",
            "baetyl-up"
        ]
    );
    assert_eq!(system.stop().await?, 0);
    collector.stop().await;
    Ok(())
}

#[tokio::test]
async fn given_a_collector_when_a_function_is_invoked_then_its_handler_is_in_the_trace_of_the_caller()
-> Result<()> {
    let collector = Collector::start().await?;
    let mut system = System::start_with(&[("BAETYL_OTLP_ENDPOINT", &collector.endpoint)]).await?;
    system
        .cli_with(&["apply", "-f", "-", "--wait"], TRACED.as_bytes())
        .await?
        .ok()?;

    let answer = system
        .cli(&["invoke", "traced/parent", "-d", "{}"])
        .await?
        .ok()?;
    let rest = system.edge_rest()?;
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", caller)];
    let by_rest = "/v1/functions/traced/parent:invoke";
    let by_rest = rest
        .send(http::Method::POST, by_rest, &headers, "{}")
        .await?;

    let answer: Value = serde_json::from_str(&answer)?;
    let parent = answer["traceparent"].as_str().context("a trace context")?;
    let is_handled = |seen: &Seen| seen.span.name == "function" && parent == seen.traceparent();
    let path = collector.path_to(is_handled).await?;
    let names: Vec<&str> = path.iter().map(|seen| seen.span.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "command",
            "baetyl.function.v1.FunctionService/Invoke",
            "function"
        ]
    );
    assert_eq!(path[0].attribute("command"), "invoke");
    assert_eq!(path[2].attribute("function"), "parent");
    let services: Vec<&str> = path.iter().map(|seen| seen.service.as_str()).collect();
    assert_eq!(services, ["baetyl-cli", "baetyl-up", "baetyl-runtime"]);

    assert_eq!(by_rest.status, 200, "{}", by_rest.text());
    let seen = by_rest.json()["traceparent"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_default();
    assert!(
        seen.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{seen}"
    );
    assert_ne!(seen, caller, "the handler has a span of its own");
    assert_eq!(system.stop().await?, 0);
    collector.stop().await;
    Ok(())
}

/// A function that answers with the trace context that its handler was given.
const TRACED: &str = r#"apiVersion: baetyl.io/v1
kind: Configuration
name: traced-code
data:
  traced.py: |
    def parent(event, context):
        return {"traceparent": context["traceparent"]}
---
apiVersion: baetyl.io/v1
kind: Application
name: traced
type: function
selector: site = demo
services:
  - name: traced
    runtime: python3
    functions:
      - {name: parent, handler: traced.parent}
    code: {configuration: traced-code}
"#;

/// A span, and the service that sent it.
#[derive(Clone, Debug)]
struct Seen {
    service: String,
    span: Span,
}

impl Seen {
    /// An attribute as text; empty when it is not there.
    fn attribute(&self, key: &str) -> String {
        text_of(&self.span.attributes, key)
    }

    fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-01",
            hex(&self.span.trace_id),
            hex(&self.span.span_id)
        )
    }
}

fn text_of(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An OTLP collector that keeps what it receives.
struct Collector {
    endpoint: String,
    spans: Spans,
    shutdown: Shutdown,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource
                .resource
                .map(|one| one.attributes)
                .unwrap_or_default();
            let service = text_of(&attributes, "service.name");
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            let seen = spans.map(|span| Seen {
                service: service.clone(),
                span,
            });
            self.0.lock().expect("not poisoned").extend(seen);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> Result<Self> {
        let (spans, shutdown) = (Spans::default(), Shutdown::new());
        let address: Address = "127.0.0.1:0".parse()?;
        let listener = Listener::bind(&address).await?;
        let endpoint = format!("http://{}", listener.address());
        let router = Grpc::new()
            .add_service(TraceServiceServer::new(spans.clone()))
            .into_router(&Readiness::new(), &shutdown);
        let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
        shutdown.spawn("collector", OnCancel::Wait, serving);
        Ok(Self {
            endpoint,
            spans,
            shutdown,
        })
    }

    /// Waits until such a span arrived, and all spans above it; returns them from the root down.
    async fn path_to(&self, is_wanted: impl Fn(&Seen) -> bool) -> Result<Vec<Seen>> {
        let look = async || path(&self.spans.0.lock().expect("not poisoned"), &is_wanted);
        wait::until("a trace in one piece", look, |_| true).await
    }

    async fn stop(self) {
        self.shutdown.drain(Duration::from_secs(180)).await;
    }
}

fn path(spans: &[Seen], is_wanted: impl Fn(&Seen) -> bool) -> Result<Vec<Seen>> {
    let id = |seen: &Seen| (seen.span.trace_id.clone(), seen.span.span_id.clone());
    let by_id: BTreeMap<_, _> = spans.iter().map(|seen| (id(seen), seen)).collect();
    let Some(wanted) = spans.iter().find(|seen| is_wanted(seen)) else {
        let names: Vec<&str> = spans.iter().map(|seen| seen.span.name.as_str()).collect();
        bail!("no such span among {names:?}");
    };
    let mut path = vec![wanted.clone()];
    let mut span = &wanted.span;
    while !span.parent_span_id.is_empty() {
        let parent = by_id.get(&(span.trace_id.clone(), span.parent_span_id.clone()));
        let Some(parent) = parent else {
            bail!("{} has a parent that did not arrive", span.name);
        };
        path.push((*parent).clone());
        span = &parent.span;
    }
    path.reverse();
    Ok(path)
}
