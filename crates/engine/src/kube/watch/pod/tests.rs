//! Pods as the kubelet describes them, and what becomes of that.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::facts;
use crate::kube::facts::{ContainerFacts, ContainerState, PodFacts};
use crate::reason;

fn pod(spec: Value, status: Value) -> PodFacts {
    let raw = json!({
        "metadata": {
            "name": "web-1",
            "namespace": "edge",
            "uid": "u1",
            "resourceVersion": "5",
            "creationTimestamp": "1970-01-01T00:00:10Z",
            "labels": {"baetyl.io/application": "web", "baetyl.io/release": "abc", "x": "y"},
            "annotations": {"baetyl.io/inputs": "1f", "other": "text"},
            "managedFields": [{"fieldsV1": {"f:a": {}}}],
        },
        "spec": spec,
        "status": status,
    });
    facts(serde_json::from_value(raw).expect("a pod"))
}

fn container(status: Value) -> ContainerFacts {
    let spec = json!({"containers": [{"name": "web", "image": "web:1"}]});
    let mut pod = pod(spec, json!({"containerStatuses": [status]}));
    pod.containers.remove(0)
}

#[test]
fn when_a_pod_runs_then_its_facts_say_so() {
    let seen = pod(
        json!({
            "nodeName": "n1",
            "initContainers": [{"name": "prepare", "image": "tool:1"}],
            "containers": [{"name": "web", "image": "web:1"}],
        }),
        json!({
            "phase": "Running",
            "startTime": "1970-01-01T00:00:20Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            "initContainerStatuses": [{
                "name": "prepare",
                "ready": true,
                "state": {"terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "finishedAt": "1970-01-01T00:00:25Z",
                }},
            }],
            "containerStatuses": [{
                "name": "web",
                "ready": true,
                "started": true,
                "restartCount": 2,
                "imageID": "docker.io/library/web@sha256:11",
                "state": {"running": {"startedAt": "1970-01-01T00:00:30Z"}},
            }],
        }),
    );

    assert_eq!((seen.namespace.as_str(), seen.uid.as_str()), ("edge", "u1"));
    assert_eq!((seen.release.as_str(), seen.inputs.as_str()), ("abc", "1f"));
    assert_eq!(seen.machine, "n1");
    assert!(seen.is_ready && !seen.is_deleting);
    assert_eq!(seen.created_at, Some(UNIX_EPOCH + Duration::from_secs(10)));
    assert_eq!(seen.started_at, Some(UNIX_EPOCH + Duration::from_secs(20)));
    let [init, web] = &seen.containers[..] else {
        panic!("two containers");
    };
    assert!(init.is_init && init.is_ready && !web.is_init);
    assert_eq!(web.image, "web:1@sha256:11");
    assert_eq!(web.restarts, 2);
    let since = Some(UNIX_EPOCH + Duration::from_secs(30));
    assert_eq!(web.state, ContainerState::Running { since });
}

#[test]
fn when_a_pod_has_no_machine_then_the_scheduler_is_quoted() {
    let message = "0/1 nodes are available: 1 Insufficient memory.";
    let seen = pod(
        json!({"containers": [{"name": "web", "image": "web:1"}]}),
        json!({"conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }]}),
    );

    assert_eq!(seen.unschedulable, message);
    assert_eq!(seen.phase, "Pending");
    assert!(!seen.is_ready);
    let waiting = ContainerState::Waiting {
        reason: String::new(),
        message: String::new(),
    };
    assert_eq!(seen.containers[0].state, waiting);
}

#[test]
fn when_a_pod_was_evicted_then_its_reason_is_kept() {
    let seen = pod(
        json!({"containers": []}),
        json!({"phase": "Failed", "reason": "Evicted", "message": "low on resource: memory"}),
    );

    assert_eq!(seen.phase, "Failed");
    assert_eq!(
        (&*seen.reason, &*seen.message),
        ("Evicted", "low on resource: memory")
    );
}

#[test]
fn when_a_container_waits_then_the_kubelet_is_quoted() {
    let seen = container(json!({
        "name": "web",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}},
    }));

    let waiting = ContainerState::Waiting {
        reason: "ImagePullBackOff".to_owned(),
        message: "Back-off pulling".to_owned(),
    };
    assert_eq!(seen.state, waiting);
    assert!(!seen.is_ready && !seen.is_started);
}

#[test]
fn when_a_container_ends_then_the_way_it_did_has_a_stable_word() {
    let cases = [
        (json!({"exitCode": 3, "reason": "Error"}), reason::EXITED, 0),
        (
            json!({"exitCode": 137, "reason": "OOMKilled"}),
            reason::OUT_OF_MEMORY,
            9,
        ),
        (
            json!({"exitCode": 143, "reason": "Error"}),
            reason::SIGNALED,
            15,
        ),
        (
            json!({"exitCode": 0, "signal": 6, "reason": "Error"}),
            reason::SIGNALED,
            6,
        ),
        (
            json!({"exitCode": 128, "reason": "StartError"}),
            reason::START_FAILED,
            0,
        ),
        (
            json!({"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": null}),
            reason::LOST,
            9,
        ),
        (
            json!({"exitCode": 0, "reason": "Completed"}),
            reason::EXITED,
            0,
        ),
        (json!({"exitCode": 255}), reason::EXITED, 0),
    ];

    for (terminated, word, signal) in cases {
        let status = json!({"name": "web", "lastState": {"terminated": terminated.clone()}});
        let last = container(status).last_termination.expect("it ended");
        assert_eq!((&*last.reason, last.signal), (word, signal), "{terminated}");
        assert_eq!(Some(last.exit_code.into()), terminated["exitCode"].as_i64());
    }
}

#[test]
fn when_a_container_leaves_last_words_then_their_end_is_kept() {
    let words = format!("{}the cause\n", "é".repeat(1000));
    let seen = container(json!({
        "name": "web",
        "state": {"terminated": {"exitCode": 1, "message": words}},
    }));

    let ContainerState::Ended(end) = seen.state else {
        panic!("it has ended");
    };
    assert!(end.message.starts_with("exited with code 1: …éé"));
    assert!(end.message.ends_with("ééthe cause"), "{}", end.message);
    assert!(end.message.len() < 300);
}

#[test]
fn when_an_init_container_goes_on_beside_the_services_then_it_is_ready_like_one() {
    let seen = pod(
        json!({
            "initContainers": [{"name": "side", "image": "s:1", "restartPolicy": "Always"}],
            "containers": [],
        }),
        json!({"initContainerStatuses": [{
            "name": "side",
            "ready": true,
            "state": {"running": {}},
        }]}),
    );

    assert!(seen.containers[0].is_init && seen.containers[0].is_ready);
}
