//! Tests of the module `telemetry`.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tower::{Layer as _, ServiceExt as _};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::*;
use crate::serve::{Address, Grpc, Listener, ServeOptions, serve};
use crate::shutdown::{OnCancel, Shutdown};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// Spans that get ids, as with an exporter, for the current thread.
fn traced_here() -> tracing::subscriber::DefaultGuard {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_default(Registry::default().with(layer))
}

async fn text(response: axum::response::Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn get(router: &axum::Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status(), text(response).await)
}

#[test]
fn when_a_parent_is_set_from_text_then_the_trace_goes_on() {
    let _guard = traced_here();
    let span = tracing::info_span!("work");

    propagation::set_parent_from_traceparent(&span, PARENT);

    let carried = span.in_scope(propagation::traceparent).unwrap();
    assert!(carried.starts_with(&format!("00-{TRACE_ID}-")), "{carried}");
    assert_ne!(carried, PARENT, "the span has an id of its own");
}

#[test]
fn when_a_traceparent_is_malformed_then_a_new_trace_begins() {
    let _guard = traced_here();
    let span = tracing::info_span!("work");

    propagation::set_parent_from_traceparent(&span, "00-nonsense");

    let carried = span.in_scope(propagation::traceparent).unwrap();
    assert!(!carried.contains("nonsense"));
}

#[test]
fn when_a_context_is_injected_then_the_receiver_extracts_it() {
    let _guard = traced_here();
    let span = tracing::info_span!("call");
    let mut metadata = tonic::metadata::MetadataMap::new();

    span.in_scope(|| propagation::inject(&mut metadata));

    let extracted = propagation::extract(&metadata.into_headers());
    let sent = span.context().span().span_context().trace_id();
    assert_eq!(extracted.span().span_context().trace_id(), sent);
}

#[test]
fn given_no_exporter_when_a_context_is_asked_for_then_there_is_none() {
    let mut headers = HeaderMap::new();

    propagation::inject_headers(&mut headers);

    assert!(headers.is_empty());
    assert_eq!(propagation::traceparent(), None);
}

#[tokio::test]
async fn when_an_rpc_is_served_then_its_span_continues_the_callers_trace() {
    let _guard = traced_here();
    let handler = tower::service_fn(async |_: Request<Body>| {
        let carried = propagation::traceparent().unwrap();
        Ok::<_, std::convert::Infallible>(axum::response::Response::new(Body::from(carried)))
    });
    let service = ServerTrace.layer(handler);
    let request = Request::post("/kit.v1.Sample/Get")
        .header("traceparent", PARENT)
        .body(Body::empty())
        .unwrap();

    let response = service.oneshot(request).await.unwrap();

    assert!(text(response).await.contains(TRACE_ID));
}

#[tokio::test]
async fn when_conditions_change_then_the_probe_says_which_and_why() {
    let readiness = Readiness::new();
    let router = admin::router(prometheus::Registry::new(), readiness.clone());
    assert_eq!(get(&router, "/readyz").await.0, StatusCode::OK);

    let store = readiness.condition("store");
    let peers = readiness.condition("peers");
    store.ready();
    peers.not_ready("two of three");

    let expected = (
        StatusCode::SERVICE_UNAVAILABLE,
        "peers: two of three\n".to_owned(),
    );
    assert_eq!(get(&router, "/readyz").await, expected);
    peers.ready();
    readiness.ready().await;
    assert_eq!(get(&router, "/readyz").await.0, StatusCode::OK);
    assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn when_metrics_are_scraped_then_names_are_as_written() {
    use opentelemetry::metrics::MeterProvider as _;
    let config = TelemetryConfig::default();
    let (registry, meters) = metrics::provider(resource(&config)).unwrap();
    let meter = meters.meter("test");
    meter.u64_counter("things_total").build().add(2, &[]);
    meter.f64_histogram("wait_seconds").build().record(0.5, &[]);

    let router = admin::router(registry, Readiness::new());
    let (status, page) = get(&router, "/metrics").await;

    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("\nthings_total 2\n"), "{page}");
    assert!(page.contains("\nwait_seconds_count 1\n"), "{page}");
}

#[test]
fn when_the_configuration_is_wrong_then_nothing_is_set_up() {
    let level = TelemetryConfig {
        log_level: "loud=very".to_owned(),
        ..TelemetryConfig::default()
    };
    let endpoint = TelemetryConfig {
        otlp_endpoint: Some("https://collector:4317".to_owned()),
        ..TelemetryConfig::default()
    };

    assert!(matches!(init(&level), Err(TelemetryError::Level { .. })));
    assert!(matches!(init(&endpoint), Err(TelemetryError::Endpoint(_))));
}

/// Keeps the names of the spans that it is sent.
#[derive(Clone, Default)]
struct Collector {
    names: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let spans = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        self.names
            .lock()
            .unwrap()
            .extend(spans.map(|span| span.name));
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The one test that sets up the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn given_a_collector_when_telemetry_is_shut_down_then_spans_arrived_and_metrics_are_there() {
    let shutdown = Shutdown::new();
    let collector = Collector::default();
    let wanted: Address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&wanted).await.unwrap();
    let address = listener.address().to_string();
    let router = Grpc::new()
        .add_service(TraceServiceServer::new(collector.clone()))
        .into_router(&Readiness::new(), &shutdown);
    let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
    shutdown.spawn("serve", OnCancel::Wait, serving);
    let telemetry = init(&TelemetryConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        ..TelemetryConfig::default()
    })
    .unwrap();
    let registry = telemetry.registry().clone();

    async {}.instrument(tracing::info_span!("measured")).await;
    telemetry.shutdown(Duration::from_secs(180)).await;

    let names = collector.names.lock().unwrap().clone();
    assert!(names.contains(&"measured".to_owned()), "{names:?}");
    assert!(
        registry
            .gather()
            .iter()
            .any(|family| family.name() == "target_info")
    );
    shutdown.drain(Duration::from_secs(180)).await;
}
