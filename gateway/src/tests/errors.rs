//! What services refuse, and what the gateway itself does.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;
use tower::service_fn;

use super::fake::Configurations;
use super::harness::{cloud, cloud_with, harness};
use crate::backend::{Backend, Backends};
use crate::config::Config;

#[tokio::test]
async fn when_a_service_refuses_then_the_problem_has_all_details() {
    let cloud = cloud();

    let headers = [("x-request-id", "r1")];
    let answer = cloud
        .call("GET /v1/configs/absent", &headers, Body::empty())
        .await;

    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let expected = json!({
        "type": "tag:baetyl.io,2026:CONFIGURATION_NOT_FOUND",
        "title": "Not found",
        "status": 404,
        "code": "NOT_FOUND",
        "reason": "CONFIGURATION_NOT_FOUND",
        "detail": "there is none",
        "retryable": false,
        "resource": {"kind": "Configuration", "name": "absent"},
        "requestId": "r1",
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn when_a_service_names_fields_then_they_are_as_the_body_has_them() {
    let cloud = cloud();

    let answer = cloud
        .call("POST /v1/configs", &[], r#"{"name": "Bad Name"}"#)
        .await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let expected = [
        ("name", "must be lower case"),
        ("request_id", "must be a UUID"),
    ];
    let expected = expected.map(|(field, text)| (field.to_owned(), text.to_owned()));
    assert_eq!(answer.violations(), expected.into());
}

#[tokio::test]
async fn when_a_service_is_busy_then_the_wait_is_told_twice() {
    let answer = cloud().get("/v1/configs/busy").await;

    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.json()["retryAfter"], "1.5s");
    assert_eq!(answer.json()["retryable"], true);
}

#[tokio::test]
async fn when_a_service_breaks_inside_then_nothing_of_it_shows() {
    let answer = cloud().get("/v1/configs/broken").await;

    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["reason"], "DISK");
    assert!(!answer.text().contains("gone"));
}

#[tokio::test]
async fn when_there_is_no_token_then_the_answer_says_how_to_show_one() {
    let answer = cloud().get("/v1/configs/hidden").await;

    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn when_the_path_is_unknown_then_it_is_not_found() {
    let cloud = cloud();
    for path in [
        "/",
        "/v1/confgs",
        "/v1/configs/",
        "/v1/configs/a/b",
        "/v1/configs/a:watch",
        "/v1/configs:drop",
    ] {
        let answer = cloud.get(path).await;

        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["reason"], "ROUTE_NOT_FOUND", "{path}");
    }
}

#[tokio::test]
async fn when_the_method_is_another_then_the_right_ones_are_told() {
    let cloud = cloud();

    let answer = cloud.call("PATCH /v1/configs/c1", &[], Body::empty()).await;
    let list = cloud.call("DELETE /v1/configs", &[], Body::empty()).await;

    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), Some("DELETE, GET, PUT"));
    assert_eq!(answer.json()["reason"], "METHOD_NOT_ALLOWED");
    assert_eq!(list.header("allow"), Some("GET, POST"));
}

#[tokio::test]
async fn when_the_service_does_not_exist_then_it_is_not_implemented() {
    let answer = cloud().get("/v1/nodes").await;

    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test(start_paused = true)]
async fn when_a_service_is_silent_then_the_deadline_ends_it() {
    let cloud = cloud();

    let headers = [("request-timeout", "200ms")];
    let begun = tokio::time::Instant::now();
    let answer = cloud
        .call("GET /v1/configs/slow", &headers, Body::empty())
        .await;
    let own = begun.elapsed();
    let default = cloud.get("/v1/configs/slow").await;

    for answer in [answer, default] {
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.json()["reason"], "DEADLINE_EXCEEDED");
    }
    // A moment later than asked, so that a service's own answer would still have come.
    assert_eq!(own.as_millis() / 10, 45);
    assert_eq!((begun.elapsed() - own).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn when_a_body_never_ends_then_the_deadline_ends_it() {
    let cloud = cloud();
    let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());

    let answer = cloud.call("POST /v1/configs", &[], body).await;

    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn when_too_many_requests_run_then_the_next_is_refused() {
    let config = Config {
        max_requests: 1,
        ..Config::default()
    };
    let cloud = cloud_with(config);

    let first = cloud.get("/v1/configs/slow");
    let second = async {
        // The first is polled before, and waits.
        cloud.get("/v1/configs/absent").await
    };
    let answer = tokio::select! {
        biased;
        _ = first => panic!("it never answers"),
        answer = second => answer,
    };
    let after = cloud.get("/v1/configs/absent").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["reason"], "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(after.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn when_the_service_cannot_be_reached_then_its_address_stays_hidden() {
    let broken = service_fn(async |_: http::Request<tonic::body::Body>| {
        Err::<http::Response<tonic::body::Body>, _>(std::io::Error::other("10.0.0.1:9004 refused"))
    });
    let backends = Backends::Cloud {
        cloud: Backend::new(broken),
    };
    let cloud = harness(backends, Configurations::default(), Config::default());

    let answer = cloud.get("/v1/configs").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["reason"], "BACKEND_UNAVAILABLE");
    assert_eq!(answer.json()["retryable"], true);
    assert!(!answer.text().contains("10.0.0.1"));
}
