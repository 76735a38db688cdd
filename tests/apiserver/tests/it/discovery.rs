//! Discovery, versions, and what is there only at times.

use baetyl_apiserver::ApiMode;
use kube::api::GroupVersionKind;
use kube::discovery::{self, Discovery, Scope, verbs};
use serde_json::{Value, json};

use crate::support::{client, server, status};

#[tokio::test]
async fn when_everything_is_discovered_then_both_ways_find_the_same() {
    let server = server().await;
    let client = client(&server).await;

    let slow = Discovery::new(client.clone()).run().await.unwrap();
    let fast = Discovery::new(client).run_aggregated().await.unwrap();

    for (group, kind) in [
        ("", "Pod"),
        ("apps", "Deployment"),
        ("autoscaling", "HorizontalPodAutoscaler"),
    ] {
        let version = if group == "autoscaling" { "v2" } else { "v1" };
        let kind = GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) = slow.resolve_gvk(&kind).unwrap();
        let (other, _) = fast.resolve_gvk(&kind).unwrap();

        assert_eq!(resource, other);
        assert_eq!(capabilities.scope, Scope::Namespaced);
        assert!(capabilities.supports_operation(verbs::PATCH));
    }
}

#[tokio::test]
async fn when_one_kind_is_looked_for_then_one_request_finds_it() {
    let server = server().await;
    let client = client(&server).await;
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRole");
    let unknown = GroupVersionKind::gvk("example.com", "v1", "Widget");

    let (resource, capabilities) = discovery::pinned_kind(&client, &kind).await.unwrap();
    let missing = discovery::pinned_kind(&client, &unknown).await;

    assert_eq!(resource.plural, "clusterroles");
    assert_eq!(capabilities.scope, Scope::Cluster);
    assert_eq!(status(missing).code, 404);
    assert_eq!(client.apiserver_version().await.unwrap().minor, "33");
}

#[tokio::test]
async fn when_usage_is_measured_then_both_ways_tell_it() {
    let server = server().await;
    let client = client(&server).await;
    let store = server.store();
    store
        .create("nodes", "", json!({"metadata": {"name": "n1"}}))
        .unwrap();
    let pod = crate::support::pod("p", json!({"app": "web"}));
    store.create("pods", "one", pod).unwrap();
    store.bind("one", "p", "n1").unwrap();
    server.usage().set_node("n1", 250_000_000, 64 << 20);
    server
        .usage()
        .set_container("one", "p", "a", 5_000_000, 1 << 20);
    let get = |path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let client = client.clone();
        async move { client.request::<Value>(request).await }
    };
    let metrics = "/apis/metrics.k8s.io/v1beta1/namespaces/one/pods?labelSelector=app%3Dweb";
    let summary = "/api/v1/nodes/n1/proxy/stats/summary";

    let absent = status(get(metrics).await);
    server.usage().set_metrics(ApiMode::Unavailable);
    let unavailable = status(get(metrics).await);
    server.usage().set_metrics(ApiMode::Serving);
    let pods = get(metrics).await.unwrap();
    let node = get("/apis/metrics.k8s.io/v1beta1/nodes/n1").await.unwrap();
    let without_summary = status(get(summary).await);
    server.usage().set_summary(ApiMode::Serving);
    let summary = get(summary).await.unwrap();

    assert_eq!((absent.code, unavailable.code), (404, 503));
    assert_eq!(
        pods["items"][0]["containers"][0]["usage"]["cpu"],
        "5000000n"
    );
    assert_eq!(node["usage"]["memory"], "65536Ki");
    assert_eq!(without_summary.code, 404);
    assert_eq!(summary["node"]["cpu"]["usageNanoCores"], 250_000_000);
    assert_eq!(
        summary["pods"][0]["containers"][0]["memory"]["workingSetBytes"],
        1 << 20
    );
}
