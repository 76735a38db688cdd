//! Machines as their kubelets describe them, and what becomes of that.

use baetyl_proto::resource::v1::{ConditionStatus, MachineStats};
use serde_json::{Value, json};

use super::{Board, MachineSink, RawNode, Sink, Totals, upper_snake};

fn node(change: impl FnOnce(&mut Value)) -> RawNode {
    let mut raw = json!({
        "metadata": {
            "name": "n1",
            "labels": {
                "node-role.kubernetes.io/control-plane": "",
                "node-role.kubernetes.io/etcd": "true",
                "site": "north",
            },
        },
        "spec": {},
        "status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "3800m", "memory": "7Gi", "pods": "110"},
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "kubelet is posting ready status",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "Hostname", "address": "n1"},
            ],
            "nodeInfo": {
                "architecture": "arm64",
                "operatingSystem": "linux",
                "osImage": "Debian",
                "kernelVersion": "6.1",
                "bootID": "b",
                "machineID": "m",
                "kubeletVersion": "v1.33.0",
                "containerRuntimeVersion": "containerd://2.0",
            },
            "images": [{"names": ["a"], "sizeBytes": 1}],
        },
    });
    change(&mut raw);
    serde_json::from_value(raw).expect("a node")
}

fn board() -> (std::sync::Arc<Board>, MachineSink) {
    let board = std::sync::Arc::<Board>::default();
    let mut sink = MachineSink(board.clone());
    sink.upsert(node(|_| ()));
    (board, sink)
}

#[test]
fn when_a_machine_is_seen_then_its_status_says_what_it_is() {
    let (board, _) = board();

    let machine = board.level().borrow()["n1"].clone();
    assert_eq!(machine.hostname, "n1");
    assert_eq!(machine.roles, ["control-plane", "etcd"]);
    assert_eq!(machine.addresses, ["10.0.0.1"]);
    assert_eq!(machine.capacity["cpu"], "3800m");
    assert_eq!(machine.labels["site"], "north");
    assert_eq!(machine.boot_id, "b");
    assert_eq!(machine.kubelet_version, "v1.33.0");
    assert_eq!(machine.container_runtime, "containerd://2.0");
    assert_eq!(machine.stats_unavailable, "not sampled yet");
    let ready = &machine.conditions[0];
    assert_eq!((&*ready.r#type, &*ready.reason), ("Ready", "KUBELET_READY"));
    assert_eq!(ready.status(), ConditionStatus::True);
    let totals = Totals {
        processors: 4,
        memory_bytes: 8 << 30,
    };
    assert_eq!(board.totals()["n1"], totals);
}

#[test]
fn when_only_a_heartbeat_came_then_nobody_is_woken() {
    let (board, mut sink) = board();
    let mut level = board.level();
    level.mark_unchanged();

    sink.upsert(node(|raw| {
        raw["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-01-01T00:05:00Z");
    }));

    assert!(!level.has_changed().expect("the board lives"));
}

#[test]
fn when_a_machine_takes_no_new_instances_then_a_condition_says_so() {
    let (board, mut sink) = board();

    sink.upsert(node(|raw| raw["spec"]["unschedulable"] = json!(true)));

    let machine = board.level().borrow()["n1"].clone();
    assert_eq!(machine.conditions[1].r#type, "SchedulingDisabled");
}

#[test]
fn when_a_machine_changes_then_its_usage_stays_and_when_it_leaves_then_not() {
    let (board, mut sink) = board();
    let sample = |name: &str| (name.to_owned(), Ok(MachineStats::default()));
    board.sampled(vec![sample("n1"), sample("unknown")]);

    sink.upsert(node(|raw| {
        raw["metadata"]["labels"]["site"] = json!("south")
    }));
    let machine = board.level().borrow()["n1"].clone();
    sink.retain(&std::collections::BTreeSet::new());

    assert_eq!(machine.labels["site"], "south");
    assert!(machine.stats.is_some() && machine.stats_unavailable.is_empty());
    assert!(board.level().borrow().is_empty() && board.totals().is_empty());
}

#[test]
fn when_usage_cannot_be_had_then_every_machine_says_why() {
    let (board, _) = board();
    board.sampled(vec![("n1".to_owned(), Ok(MachineStats::default()))]);

    board.unavailable("no metrics server");

    let machine = board.level().borrow()["n1"].clone();
    assert_eq!(machine.stats, None);
    assert_eq!(machine.stats_unavailable, "no metrics server");
}

#[test]
fn when_words_are_spelled_for_programs_then_they_are_upper_snake() {
    let cases = [
        ("KubeletReady", "KUBELET_READY"),
        ("KubeletHasNoDiskPressure", "KUBELET_HAS_NO_DISK_PRESSURE"),
        ("NodeStatusUnknown", "NODE_STATUS_UNKNOWN"),
        ("", ""),
    ];

    for (word, expected) in cases {
        assert_eq!(upper_snake(word), expected);
    }
}
