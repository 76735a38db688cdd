//! Reading and writing resources.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use super::harness::{cloud, cloud_with, edge};
use crate::config::Config;
use baetyl_service_kit::config::ByteSize;

const CONFIG: &str = r#"{"name": "c1", "data": {"a": "1"}, "revision": "77"}"#;

#[tokio::test]
async fn when_a_resource_is_created_read_replaced_and_deleted_then_each_answers_the_bare_resource()
{
    let cloud = cloud();

    let created = cloud.call("POST /v1/configs", &[], CONFIG).await;
    let read = cloud.get("/v1/configs/c1").await;
    let replaced = cloud
        .call("PUT /v1/configs/c1", &[], r#"{"data": {"a": "2"}}"#)
        .await;
    let listed = cloud.get("/v1/configs").await;
    let deleted = cloud
        .call("DELETE /v1/configs/c1", &[], Body::empty())
        .await;

    let first = json!({"name": "c1", "data": {"a": "1"}, "revision": "1", "etag": "u-1"});
    let second = json!({"name": "c1", "data": {"a": "2"}, "revision": "2", "etag": "u-2"});
    assert_eq!(
        (created.status, created.json()),
        (StatusCode::OK, first.clone())
    );
    assert_eq!(created.header("content-type"), Some("application/json"));
    assert_eq!(created.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(read.json(), first);
    assert_eq!(replaced.json(), second);
    assert_eq!(
        listed.json(),
        json!({"configurations": [second], "resumeToken": "r1"})
    );
    assert_eq!(
        (deleted.status, deleted.json()),
        (StatusCode::OK, json!({}))
    );
    assert!(cloud.configurations.names().is_empty());
}

#[tokio::test]
async fn when_the_path_names_a_namespace_then_the_service_gets_it() {
    let cloud = cloud();

    cloud
        .call("POST /v1/namespaces/acme/configs", &[], CONFIG)
        .await;
    assert!(cloud.configurations.last().contains("namespace: \"acme\""));

    cloud.get("/v1/namespaces/acme/configs/a%2Fb%20c").await;
    assert!(cloud.configurations.last().contains("name: \"a/b c\""));
}

#[tokio::test]
async fn when_a_query_is_given_then_it_sets_the_fields_that_are_left() {
    let cloud = cloud();

    let target = "GET /v1/configs?page_size=10&pageToken=t%2B1&filter=a+%3D+b&orderBy=name%20desc";
    let answer = cloud.call(target, &[], Body::empty()).await;

    assert_eq!(answer.status, StatusCode::OK);
    let last = cloud.configurations.last();
    for part in ["page_size: 10", "\"t+1\"", "\"a = b\"", "\"name desc\""] {
        assert!(last.contains(part), "{last}");
    }
    cloud
        .call(
            "POST /v1/configs?validateOnly=true&requestId=r",
            &[],
            CONFIG,
        )
        .await;
    let last = cloud.configurations.last();
    assert!(
        last.contains("validate_only: true") && last.contains("request_id: \"r\""),
        "{last}"
    );
}

#[tokio::test]
async fn when_the_body_is_yaml_then_it_is_read_as_such() {
    let cloud = cloud();

    let headers = [("content-type", "application/yaml")];
    let answer = cloud
        .call(
            "POST /v1/configs",
            &headers,
            "name: c2\ndata:\n  a: |\n    x\n",
        )
        .await;

    assert_eq!(answer.json()["data"], json!({"a": "x\n"}));
}

#[tokio::test]
async fn when_everything_is_wrong_then_every_violation_is_told() {
    let cloud = cloud();

    let body = "{\"nme\": \"x\",\n \"data\": {\"a\": 1}, \"binaryData\": {\"b\": \"~\"}}";
    let answer = cloud
        .call("POST /v1/configs?validateOnly=yes&requestI=1", &[], body)
        .await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["reason"], "FIELD_VIOLATION");
    assert_eq!(problem["code"], "INVALID_ARGUMENT");
    assert_eq!(problem["violations"][1]["line"], 2);
    assert_eq!(problem["violations"][1]["column"], 16);
    let expected = [
        ("nme", "unknown field; did you mean name?"),
        ("data.a", "must be text, got 1; put it in quotes"),
        ("binaryData.b", "must be base64"),
        ("validateOnly", "must be true or false, got \"yes\""),
        ("requestI", "unknown field; did you mean requestId?"),
    ];
    let expected = expected.map(|(field, text)| (field.to_owned(), text.to_owned()));
    assert_eq!(answer.violations(), expected.into());
    assert!(
        cloud.configurations.last().is_empty(),
        "the service was not asked"
    );
}

#[tokio::test]
async fn when_a_request_contradicts_itself_then_it_is_refused() {
    let cloud = cloud();
    let rows = [
        (
            "PUT /v1/configs/c1",
            r#"{"name": "c2"}"#,
            "name",
            "must be \"c1\" as in the path, got \"c2\"",
        ),
        (
            "POST /v1/configs",
            "",
            "body",
            "must hold the configuration",
        ),
        (
            "POST /v1/configs?configuration.name=c",
            CONFIG,
            "configuration.name",
            "belongs into the body",
        ),
        ("GET /v1/configs/c1?name=c2", "", "name", "is set twice"),
        ("GET /v1/configs/c1", "{}", "body", "must be empty"),
        (
            "GET /v1/configs/%FF",
            "",
            "name",
            "is malformed in the path",
        ),
        ("GET /v1/configs?filter=%ZZ", "", "query", "is malformed"),
        (
            "POST /v1/revisions/node/n:rollback?revision=3",
            "",
            "revision",
            "belongs into the body",
        ),
        (
            "POST /v1/configs",
            "[]",
            "",
            "must be a mapping, got a list",
        ),
    ];
    for (line, body, field, description) in rows {
        let answer = cloud.call(line, &[], body).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{line}");
        let expected = [(field.to_owned(), description.to_owned())];
        assert_eq!(answer.violations(), expected.into(), "{line}");
    }
}

#[tokio::test]
async fn when_a_body_is_no_text_or_no_json_then_it_is_refused() {
    let cloud = cloud();

    let binary = cloud.call("POST /v1/configs", &[], vec![0xff, 0xfe]).await;
    let cut = cloud.call("POST /v1/configs", &[], "{\n\"name\": ").await;

    assert_eq!(binary.violations()["body"], "must be UTF-8");
    assert_eq!(cut.json()["violations"][0]["line"], 2);
    assert_eq!(cut.json()["violations"][0]["reason"], "SYNTAX");
}

#[tokio::test]
async fn when_a_body_is_too_large_then_it_is_refused_before_it_is_read() {
    let config = Config {
        max_body: ByteSize(64),
        max_apply_body: ByteSize(256),
        ..Config::default()
    };
    let cloud = cloud_with(config);
    let long = format!("{{\"name\": {:?}}}", "x".repeat(100));

    let refused = cloud.call("POST /v1/configs", &[], long.clone()).await;
    let pieces = futures::stream::iter(
        long.into_bytes()
            .chunks(10)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>(),
    );
    let pieces = futures::StreamExt::map(pieces, Ok::<_, std::io::Error>);
    let chunked = cloud
        .call("POST /v1/configs", &[], Body::from_stream(pieces))
        .await;
    let apply = format!("{{\"pruneSelector\": {:?}}}", "x".repeat(100));
    let applied = cloud.call("POST /v1/apply", &[], apply).await;

    for answer in [refused, chunked] {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.json()["reason"], "BODY_TOO_LARGE");
    }
    assert_eq!(
        applied.status,
        StatusCode::NOT_IMPLEMENTED,
        "the fake has no such service"
    );
}

#[tokio::test]
async fn when_a_body_is_long_then_it_is_read_all_the_same() {
    let cloud = cloud();
    let text = "é".repeat(200_000);

    let body = json!({"name": "long", "data": {"a": text}}).to_string();
    let answer = cloud.call("POST /v1/configs", &[], body).await;

    assert_eq!(answer.json()["data"]["a"], json!(text));
}

#[tokio::test]
async fn when_the_backend_is_of_another_face_then_its_paths_are_unknown() {
    let answer = edge().get("/v1/configs").await;

    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["reason"], "ROUTE_NOT_FOUND");
}
