//! Invocations: bodies as they are.

use http::StatusCode;
use serde_json::json;

use super::harness::edge;

const INVOKE: &str = "POST /v1/functions/sensors/window:invoke";

#[tokio::test]
async fn when_a_function_is_invoked_then_the_body_goes_in_and_out_untouched() {
    let edge = edge();
    let payloads: [(&[u8], &str, &str); 7] = [
        (b"{ \"rows\" : 3}\n", "*/*", "application/json"),
        (b" [1]", "*/*", "application/json"),
        (b"31.5", "*/*", "application/octet-stream"),
        (b"31.5", "application/json", "application/json"),
        (
            b"\xff\x00\x01",
            "application/json",
            "application/octet-stream",
        ),
        (b"{ not json", "*/*", "application/json"),
        (b"", "*/*", "application/octet-stream"),
    ];
    for (payload, accept, content_type) in payloads {
        let headers = [("accept", accept)];
        let answer = edge.call(INVOKE, &headers, payload).await;

        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body.as_ref(), payload);
        assert_eq!(
            answer.header("content-type"),
            Some(content_type),
            "{payload:?}"
        );
        assert_eq!(answer.header("invokeid"), Some("made"));
    }
}

#[tokio::test]
async fn when_an_invocation_has_headers_then_they_reach_the_function_and_come_back() {
    let headers = [
        ("invokeid", "inv-1"),
        ("idempotency-key", "k1"),
        ("x-metadata-site", "demo"),
    ];
    let answer = edge().call(INVOKE, &headers, "x").await;

    assert_eq!(answer.header("invokeid"), Some("inv-1"));
    assert_eq!(answer.header("x-metadata-site"), Some("demo"));
    assert_eq!(answer.header("x-metadata-key"), Some("k1"));
}

#[tokio::test]
async fn when_metadata_cannot_be_a_header_then_it_is_left_out() {
    let answer = edge()
        .call("POST /v1/functions/sensors/page:invoke", &[], "<p>")
        .await;

    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-metadata-split"), None);
    assert_eq!(answer.header("b"), None);
}

#[tokio::test]
async fn when_a_function_raises_then_the_problem_says_what() {
    let answer = edge()
        .call("POST /v1/functions/sensors/raises:invoke", &[], "x")
        .await;

    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let problem = answer.json();
    assert_eq!(problem["reason"], "FUNCTION_RAISED");
    assert_eq!(problem["retryable"], false);
    assert_eq!(problem["detail"], "the function raised ValueError: no");
    assert_eq!(problem["metadata"], json!({"error-type": "ValueError"}));
}

#[tokio::test]
async fn when_a_function_streams_then_each_piece_is_a_line_in_base64() {
    let answer = edge()
        .call(
            "POST /v1/functions/sensors/window:stream",
            &[("invokeid", "i")],
            "abc",
        )
        .await;

    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let expected = [
        json!({"payload": "YWI=", "invocationId": "i"}),
        json!({"payload": "Yw==", "invocationId": "i"}),
    ];
    assert_eq!(answer.lines(), expected);
}

#[tokio::test]
async fn when_functions_are_listed_then_large_numbers_are_text() {
    let answer = edge().get("/v1/functions?service=sensors").await;

    let expected = json!({"functions": [{"service": "sensors", "revision": "3"}]});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn when_core_is_asked_then_the_other_backend_answers() {
    let answer = edge().get("/v1/node").await;

    assert_eq!(
        answer.status,
        StatusCode::NOT_IMPLEMENTED,
        "the fake core has no services"
    );
}
