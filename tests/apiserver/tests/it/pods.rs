//! Output of containers.

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::json;
use std::time::{Duration, SystemTime};

use crate::support::{LIMIT, client, pod, server, status};

#[tokio::test]
async fn when_output_is_read_then_the_parameters_count() {
    let server = server().await;
    let pods: Api<Pod> = Api::namespaced(client(&server).await, "one");
    server
        .store()
        .create("pods", "one", pod("p", json!({})))
        .unwrap();
    let logs = server.pod_logs();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    logs.append_at("one", "p", "a", start, "before");
    logs.restart("one", "p", "a");
    for index in 0..3_u64 {
        let at = start + Duration::from_secs(index);
        logs.append_at("one", "p", "a", at, &format!("line {index}"));
    }

    let all = pods.logs("p", &LogParams::default()).await.unwrap();
    let last = LogParams {
        tail_lines: Some(1),
        timestamps: true,
        ..LogParams::default()
    };
    let last = pods.logs("p", &last).await.unwrap();
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    let previous = pods.logs("p", &previous).await.unwrap();

    assert_eq!(all, "line 0\nline 1\nline 2\n");
    assert_eq!(last, "1970-01-12T13:46:42Z line 2\n");
    assert_eq!(previous, "before\n");
}

#[tokio::test]
async fn when_a_container_is_not_there_or_waits_then_that_is_said() {
    let server = server().await;
    let pods: Api<Pod> = Api::namespaced(client(&server).await, "one");
    let mut two = pod("two", json!({}));
    two["spec"]["containers"] = json!([{"name": "a", "image": "b"}, {"name": "c", "image": "d"}]);
    server.store().create("pods", "one", two).unwrap();
    let of = |container: Option<&str>| LogParams {
        container: container.map(str::to_owned),
        ..LogParams::default()
    };

    let unnamed = status(pods.logs("two", &of(None)).await);
    let unknown = status(pods.logs("two", &of(Some("x"))).await);
    let waiting = status(pods.logs("two", &of(Some("a"))).await);

    assert_eq!(
        unnamed.message,
        "a container name must be specified for pod two, choose one of: [a c]"
    );
    assert_eq!(unknown.message, "container x is not valid for pod two");
    assert_eq!(
        waiting.message,
        "container \"a\" in pod \"two\" is waiting to start: ContainerCreating"
    );
}

#[tokio::test]
async fn when_output_is_followed_then_lines_come_until_the_container_ends() {
    let server = server().await;
    let pods: Api<Pod> = Api::namespaced(client(&server).await, "one");
    server
        .store()
        .create("pods", "one", pod("p", json!({})))
        .unwrap();
    server.pod_logs().append("one", "p", "a", "first");
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };

    let mut lines = pods.log_stream("p", &follow).await.unwrap().lines();
    let first = tokio::time::timeout(LIMIT, lines.try_next()).await.unwrap();
    server.pod_logs().append("one", "p", "a", "second");
    server.pod_logs().end("one", "p", "a");
    let rest: Vec<String> = tokio::time::timeout(LIMIT, lines.try_collect())
        .await
        .unwrap()
        .unwrap();

    assert_eq!(first.unwrap().unwrap(), "first");
    assert_eq!(rest, ["second"]);
}
