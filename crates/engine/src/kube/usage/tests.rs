//! What samples say.

use std::convert::Infallible;
use std::sync::Arc;

use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

use super::wire::{Amounts, NodeMetrics, Summary};
use super::{Sampler, bytes, measured, millis};
use crate::kube::machines::Totals;
use crate::kube::settings::KubeSettings;
use crate::kube::watch::store::Store;

const TOTALS: Totals = Totals {
    processors: 4,
    memory_bytes: 8 << 30,
};

#[test]
fn when_the_metrics_server_writes_quantities_then_they_are_read() {
    let raw = json!({
        "metadata": {"name": "n1"},
        "timestamp": "2026-01-01T00:00:00Z",
        "window": "20s",
        "usage": {"cpu": "156340000n", "memory": "2097152Ki"},
    });

    let sample: NodeMetrics = serde_json::from_value(raw).expect("a sample");
    let stats = measured(TOTALS, millis(&sample.usage), bytes(&sample.usage));

    assert_eq!(stats.memory_used_bytes, 2 << 30);
    assert_eq!(stats.memory_total_bytes, 8 << 30);
    assert_eq!(stats.cpu_count, 4);
    assert!((stats.cpu_ratio - 157.0 / 4000.0).abs() < 1e-9);
}

#[test]
fn when_quantities_make_no_sense_then_they_are_nothing() {
    let amounts = Amounts {
        cpu: "much".to_owned(),
        memory: String::new(),
    };

    assert_eq!((millis(&amounts), bytes(&amounts)), (0, 0));
    let none = Totals::default();
    assert!(measured(none, 1000, 0).cpu_ratio.abs() < f64::EPSILON);
    assert!((measured(TOTALS, u64::MAX, 0).cpu_ratio - 1.0).abs() < f64::EPSILON);
}

#[test]
fn when_a_kubelet_sums_up_then_what_is_read_is_what_is_there() {
    let raw = json!({
        "node": {
            "nodeName": "n1",
            "cpu": {"usageNanoCores": 500_000_000},
            "memory": {"workingSetBytes": 1024},
            "fs": {"capacityBytes": 10, "usedBytes": 4},
            "network": {"interfaces": [
                {"name": "lo", "rxBytes": 100, "txBytes": 100},
                {"name": "eth0", "rxBytes": 7, "txBytes": 5},
            ]},
        },
        "pods": [{
            "podRef": {"name": "web-1", "namespace": "edge", "uid": "u"},
            "containers": [{
                "name": "web",
                "cpu": {"usageNanoCores": 1},
                "memory": {"workingSetBytes": 2048},
                "rootfs": {},
            }],
        }],
    });

    let summary: Summary = serde_json::from_value(raw).expect("a summary");

    assert_eq!(summary.node.cpu.usage_nano_cores, 500_000_000);
    assert_eq!(
        (summary.node.network.received(), summary.node.network.sent()),
        (7, 5)
    );
    assert_eq!(summary.node.fs.used_bytes, 4);
    assert_eq!(summary.pods[0].pod_ref.name, "web-1");
    assert_eq!(summary.pods[0].containers[0].memory.working_set_bytes, 2048);
}

fn sampler(client: Client) -> (Sampler, watch::Receiver<u64>) {
    let (suspicion, suspected) = watch::channel(0);
    let sampler = Sampler {
        client,
        settings: Arc::new(KubeSettings::new("owner-1", "node-1")),
        selector: "baetyl.io/owner=owner-1".into(),
        store: Store::new(),
        board: Arc::default(),
        suspicion,
    };
    (sampler, suspected)
}

#[tokio::test(start_paused = true)]
async fn when_the_api_server_answers_nothing_at_all_then_the_watches_are_told() {
    let silent = tower::service_fn(|_: hyper::Request<Body>| {
        std::future::pending::<Result<hyper::Response<Body>, Infallible>>()
    });
    let (sampler, mut suspected) = sampler(Client::new(silent, "default"));

    tokio::select! {
        () = sampler.run() => {}
        changed = suspected.changed() => changed.expect("it goes on"),
    }

    assert_eq!(*suspected.borrow(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_only_the_metrics_server_is_silent_then_the_watches_are_left_alone() {
    let service = tower::service_fn(|request: hyper::Request<Body>| async move {
        if request.uri().path() != "/version" {
            std::future::pending::<()>().await;
        }
        let version = json!({
            "major": "1",
            "minor": "33",
            "gitVersion": "v1.33.0",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "",
            "goVersion": "",
            "compiler": "",
            "platform": "",
        });
        let body = Body::from(version.to_string().into_bytes());
        Ok::<_, Infallible>(hyper::Response::new(body))
    });
    let (sampler, suspected) = sampler(Client::new(service, "default"));

    let hours = std::time::Duration::from_secs(3600);
    tokio::time::timeout(hours, sampler.run()).await.ok();

    assert_eq!(*suspected.borrow(), 0);
}
