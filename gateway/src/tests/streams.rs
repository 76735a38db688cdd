//! Server streams as lines.

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::harness::{Harness, cloud, cloud_with};
use crate::config::Config;

async fn next_line(body: &mut Body) -> Option<Value> {
    let frame = body.frame().await?.unwrap();
    let line = frame.into_data().unwrap();
    assert!(line.ends_with(b"\n"));
    Some(serde_json::from_slice(&line).unwrap())
}

async fn open(cloud: &Harness, headers: &[(&str, &str)]) -> Body {
    let line = "GET /v1/configs:watch?resumeToken=open";
    let response = cloud.begin(line, headers, Body::empty()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

#[tokio::test]
async fn when_a_stream_ends_then_its_lines_are_the_messages() {
    let answer = cloud().get("/v1/configs:watch").await;

    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let expected = [
        json!({"type": "added", "resumeToken": "t1"}),
        json!({"type": "bookmark", "resumeToken": "t2"}),
    ];
    assert_eq!(answer.lines(), expected);
}

#[tokio::test]
async fn when_a_stream_is_refused_at_once_then_the_status_says_so() {
    let answer = cloud().get("/v1/configs:watch?resumeToken=old").await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["reason"], "TOKEN_TOO_OLD");
}

#[tokio::test]
async fn when_a_stream_breaks_then_the_last_line_is_the_problem() {
    let headers = [("x-request-id", "r1")];
    let line = "GET /v1/configs:watch?resumeToken=breaks";
    let answer = cloud().call(line, &headers, Body::empty()).await;

    let lines = answer.lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["error"]["reason"], "TOKEN_TOO_OLD");
    assert_eq!(lines[2]["error"]["requestId"], "r1");
}

#[tokio::test]
async fn when_a_message_comes_then_its_line_does_not_wait_for_the_next() {
    let cloud = cloud();
    let mut body = open(&cloud, &[]).await;

    assert_eq!(next_line(&mut body).await.unwrap()["resumeToken"], "t1");
    assert_eq!(next_line(&mut body).await.unwrap()["resumeToken"], "t2");
}

#[tokio::test]
async fn when_the_gateway_stops_then_streams_end_with_a_line_that_says_so() {
    let cloud = cloud();
    let mut body = open(&cloud, &[]).await;
    next_line(&mut body).await;
    next_line(&mut body).await;

    cloud.shutdown.begin();

    let last = next_line(&mut body).await.unwrap();
    assert_eq!(last["error"]["reason"], "STOPPING");
    assert_eq!(last["error"]["retryable"], true);
    assert_eq!(next_line(&mut body).await, None);
    let health = cloud.get("/healthz").await;
    assert_eq!(
        (health.status, health.text()),
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_caller_gave_a_deadline_then_the_stream_ends_with_it_and_not_before() {
    let cloud = cloud();
    let begun = tokio::time::Instant::now();
    let mut body = open(&cloud, &[("request-timeout", "5m")]).await;
    next_line(&mut body).await;
    next_line(&mut body).await;

    let last = next_line(&mut body).await.unwrap();

    assert_eq!(last["error"]["reason"], "DEADLINE_EXCEEDED");
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test]
async fn when_too_many_streams_are_open_then_the_next_is_refused_until_one_ends() {
    let config = Config {
        max_streams: 1,
        ..Config::default()
    };
    let cloud = cloud_with(config);
    let body = open(&cloud, &[]).await;

    let refused = cloud.get("/v1/configs:watch").await;
    drop(body);
    let next = cloud.get("/v1/configs:watch").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["reason"], "OVERLOADED");
    assert_eq!(next.status, StatusCode::OK);
}
