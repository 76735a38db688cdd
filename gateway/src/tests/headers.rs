//! Headers that mean something.

use axum::body::Body;
use http::StatusCode;

use super::harness::{cloud, cloud_with};
use crate::config::Config;

const CONFIG: &str = r#"{"name": "c1", "data": {"a": "1"}}"#;

#[tokio::test]
async fn when_an_etag_is_returned_then_it_guards_what_follows() {
    let cloud = cloud();
    let created = cloud.call("POST /v1/configs", &[], CONFIG).await;
    assert_eq!(created.header("etag"), Some("\"u-1\""));

    let known = [("if-none-match", "\"u-1\"")];
    let unchanged = cloud
        .call("GET /v1/configs/c1", &known, Body::empty())
        .await;
    let stale = [("if-match", "\"u-0\"")];
    let lost = cloud.call("PUT /v1/configs/c1", &stale, CONFIG).await;
    let lost_delete = cloud
        .call("DELETE /v1/configs/c1", &stale, Body::empty())
        .await;
    let fresh = [("if-match", "\"u-1\"")];
    let replaced = cloud.call("PUT /v1/configs/c1", &fresh, CONFIG).await;
    let unguarded = cloud
        .call("PUT /v1/configs/c1", &[], r#"{"etag": "u-0"}"#)
        .await;
    let any = [("if-match", "*")];
    let deleted = cloud
        .call("DELETE /v1/configs/c1", &any, Body::empty())
        .await;

    assert_eq!(
        (unchanged.status, unchanged.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    for answer in [lost, lost_delete] {
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(answer.json()["reason"], "ETAG_MISMATCH");
        assert_eq!(answer.json()["code"], "ABORTED");
    }
    assert_eq!(replaced.header("etag"), Some("\"u-2\""));
    assert_eq!(unguarded.status, StatusCode::CONFLICT);
    assert_eq!(deleted.status, StatusCode::OK);
}

#[tokio::test]
async fn when_headers_cannot_be_honoured_then_the_request_is_refused() {
    let cloud = cloud();
    let rows = [
        (
            "PUT /v1/configs/c1",
            "if-match",
            "W/\"u-1\"",
            "If-Match",
            "must be one strong etag",
        ),
        (
            "PUT /v1/configs/c1",
            "if-match",
            "\"a\", \"b\"",
            "If-Match",
            "must be one strong etag",
        ),
        (
            "POST /v1/configs",
            "if-match",
            "\"a\"",
            "If-Match",
            "this method takes no etag",
        ),
        (
            "POST /v1/tokens",
            "if-match",
            "\"a\"",
            "If-Match",
            "this method takes no etag",
        ),
        (
            "POST /v1/tokens",
            "prefer",
            "dry-run",
            "Prefer",
            "this method has no dry run",
        ),
        (
            "POST /v1/configs",
            "request-timeout",
            "2h",
            "Request-Timeout",
            "must be a duration between 1ms and 1h, such as 5s",
        ),
    ];
    for (line, name, value, field, description) in rows {
        let body = if line.ends_with("tokens") {
            "{}"
        } else {
            r#"{"name": "c1"}"#
        };
        let answer = cloud.call(line, &[(name, value)], body).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{line} {name}");
        let expected = [(field.to_owned(), description.to_owned())];
        assert_eq!(answer.violations(), expected.into(), "{line} {name}");
    }
}

#[tokio::test]
async fn when_a_dry_run_is_preferred_then_nothing_is_stored() {
    let cloud = cloud();

    let headers = [("prefer", "respond-async, dry-run")];
    let answer = cloud.call("POST /v1/configs", &headers, CONFIG).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("preference-applied"), Some("dry-run"));
    assert!(cloud.configurations.names().is_empty());
    assert!(cloud.configurations.last().contains("validate_only: true"));
}

#[tokio::test]
async fn when_a_request_has_a_key_then_it_becomes_its_request_id() {
    let cloud = cloud();

    let headers = [("idempotency-key", "k1")];
    cloud.call("POST /v1/configs", &headers, CONFIG).await;
    let last = cloud.configurations.last();
    let other = cloud
        .call("POST /v1/configs?requestId=k2", &headers, CONFIG)
        .await;

    assert!(last.contains("request_id: \"k1\""), "{last}");
    let violations = other.violations();
    assert_eq!(
        violations["request_id"],
        "must be \"k1\" as in the header, got \"k2\""
    );
}

#[tokio::test]
async fn when_a_call_is_passed_on_then_credentials_trace_and_id_go_with_it() {
    let cloud = cloud();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    let headers = [
        ("authorization", "Bearer secret"),
        ("x-request-id", "req-1"),
        ("traceparent", trace),
        ("cookie", "a=b"),
    ];
    let answer = cloud.call("GET /v1/configs", &headers, Body::empty()).await;

    assert_eq!(answer.header("x-request-id"), Some("req-1"));
    let passed = |key: &str| cloud.configurations.last_metadata(key);
    assert_eq!(passed("authorization").as_deref(), Some("Bearer secret"));
    assert_eq!(passed("x-request-id").as_deref(), Some("req-1"));
    assert_eq!(passed("traceparent").as_deref(), Some(trace));
    assert_eq!(passed("cookie"), None);
    assert_eq!(
        passed("grpc-timeout")
            .as_deref()
            .map(|text| text.ends_with(['u', 'm', 'n'])),
        Some(true)
    );
}

#[tokio::test]
async fn when_the_id_of_a_request_is_absent_or_odd_then_one_is_made() {
    let cloud = cloud();

    for headers in [&[][..], &[("x-request-id", "two words")][..]] {
        let answer = cloud
            .call("GET /v1/configs/absent", headers, Body::empty())
            .await;

        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(answer.json()["requestId"], id);
        assert_eq!(cloud.configurations.last_metadata("x-request-id"), Some(id));
    }
}

#[tokio::test]
async fn when_an_origin_is_configured_then_its_pages_may_call() {
    let config = Config {
        cors_origins: vec!["https://ui.example".to_owned()],
        ..Config::default()
    };
    let cloud = cloud_with(config);
    let asks = [
        ("origin", "https://ui.example"),
        ("access-control-request-method", "PUT"),
    ];

    let preflight = cloud
        .call("OPTIONS /v1/configs/c1", &asks, Body::empty())
        .await;
    let call = cloud
        .call("GET /v1/configs", &asks[..1], Body::empty())
        .await;
    let stranger = [("origin", "https://evil.example"), asks[1]];
    let refused = cloud
        .call("OPTIONS /v1/configs/c1", &stranger, Body::empty())
        .await;

    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    let allow = "access-control-allow-origin";
    assert_eq!(preflight.header(allow), Some("https://ui.example"));
    assert_eq!(call.header(allow), Some("https://ui.example"));
    assert_eq!(call.header("vary"), Some("origin"));
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.header(allow), None);
}
