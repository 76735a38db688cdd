//! Usage: from the metrics server, from the kubelets, from nobody.

use std::time::Duration;

use baetyl_apiserver::{ApiMode, ApiServer};
use baetyl_engine::kube::settings::KubeSettings;
use serde_json::json;

use super::rig::{CLUSTER_ROLE, EDGE, Rig, pod, role, run, until};

const KUBELETS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: kubelets}
rules:
  - apiGroups: [""]
    resources: [nodes/proxy]
    verbs: [get]
"#;

fn prepare(server: &ApiServer) {
    let store = server.store();
    let node = json!({"metadata": {"name": "n1"}});
    store.create("nodes", "", node).expect("new");
    let status = store.edit_status("nodes", "", "n1", |node| {
        node["status"] = json!({"capacity": {"cpu": "2", "memory": "4Gi"}});
    });
    status.expect("it is there");
    let created = store.create("pods", EDGE, pod("web", "web-1", &["web"]));
    created.expect("new");
    run(&store, "web-1", 0);
    let usage = server.usage();
    usage.set_node("n1", 500_000_000, 1 << 30);
    usage.set_container(EDGE, "web-1", "web", 250_000_000, 64 << 20);
}

fn often(settings: &mut KubeSettings) {
    settings.usage_period = Duration::from_millis(50);
}

async fn sampled(rig: &Rig) {
    let machines = until(rig.watches.machines(), |machines| {
        machines
            .get("n1")
            .is_some_and(|machine| machine.stats.is_some())
    })
    .await;
    let stats = machines["n1"].stats.expect("it is there");
    assert_eq!(stats.memory_used_bytes, 1 << 30);
    assert_eq!(stats.memory_total_bytes, 4 << 30);
    assert!((stats.cpu_ratio - 0.25).abs() < 1e-6);
    assert_eq!(machines["n1"].stats_unavailable, "");
    let used = |facts: &std::sync::Arc<baetyl_engine::kube::facts::AppFacts>| {
        let pod = facts.pods.get("web-1");
        pod.is_some_and(|pod| pod.containers[0].memory_bytes > 0)
    };
    let facts = rig.facts("web", used).await;
    let container = &facts.pods["web-1"].containers[0];
    assert_eq!(container.memory_bytes, 64 << 20);
    assert_eq!(container.cpu_millis, 250);
}

#[tokio::test]
async fn when_there_is_a_metrics_server_then_it_is_asked() {
    let before = |server: &ApiServer| {
        prepare(server);
        server.usage().set_metrics(ApiMode::Serving);
    };

    let rig = Rig::prepared(&[&role(EDGE), CLUSTER_ROLE], before, often).await;

    sampled(&rig).await;
    let entries = rig.server.log().entries();
    assert!(entries.iter().all(|entry| !entry.path.contains("/proxy/")));
    rig.stop().await;
}

#[tokio::test]
async fn when_there_is_none_then_the_kubelets_are_asked_where_that_is_allowed() {
    let before = |server: &ApiServer| {
        prepare(server);
        server.usage().set_summary(ApiMode::Serving);
    };
    let change = |settings: &mut KubeSettings| {
        often(settings);
        settings.kubelet_summary = true;
    };

    let roles = [role(EDGE), CLUSTER_ROLE.to_owned(), KUBELETS.to_owned()];
    let roles: Vec<_> = roles.iter().map(String::as_str).collect();
    let rig = Rig::prepared(&roles, before, change).await;

    sampled(&rig).await;
    rig.stop().await;
}

#[tokio::test]
async fn when_nobody_can_be_asked_then_that_is_said_and_found_out_again_later() {
    let rig = Rig::prepared(&[&role(EDGE), CLUSTER_ROLE], prepare, often).await;
    let machines = until(rig.watches.machines(), |machines| {
        let machine = machines.get("n1");
        machine.is_some_and(|machine| machine.stats_unavailable.contains("metrics server"))
    })
    .await;

    rig.server.usage().set_metrics(ApiMode::Serving);
    sampled(&rig).await;

    assert_eq!(
        machines["n1"].stats_unavailable,
        "the cluster has no metrics server, and the kubelets are not to be asked"
    );
    rig.stop().await;
}

#[tokio::test]
async fn when_machines_may_not_be_seen_then_the_usage_of_pods_is_all_the_same() {
    let before = |server: &ApiServer| {
        prepare(server);
        server.usage().set_metrics(ApiMode::Serving);
    };

    let rig = Rig::prepared(&[&role(EDGE)], before, often).await;
    let facts = rig
        .facts("web", |facts| {
            let pod = facts.pods.get("web-1");
            pod.is_some_and(|pod| pod.containers[0].memory_bytes > 0)
        })
        .await;

    assert_eq!(facts.pods["web-1"].containers[0].cpu_millis, 250);
    assert!(rig.watches.machines().borrow().is_empty());
    rig.stop().await;
}
