//! What is read of applications on processes and on clusters.

use baetyl_proto::resource::v1::{ApplicationEvent, Condition, ConditionStatus, InstanceState};

use super::*;

fn pod() -> InstanceStatus {
    let mut instance = InstanceStatus {
        id: "shop-6d4f".into(),
        machine: "worker-1".into(),
        revision: 3,
        restart_count: 2,
        memory_bytes: 64 * 1024 * 1024,
        cpu_millis: 120,
        reason: "CRASH_LOOP".into(),
        message: "shop ended 2 times".into(),
        ..Default::default()
    };
    instance.set_state(InstanceState::BackingOff);
    let mut prepare = ContainerStatus {
        service: "prepare".into(),
        is_init: true,
        image: "busybox".into(),
        ..Default::default()
    };
    prepare.set_state(InstanceState::Exited);
    let mut shop = ContainerStatus {
        service: "shop".into(),
        image: "shop:2".into(),
        restart_count: 2,
        reason: "CRASH_LOOP".into(),
        last_termination: Some(Termination {
            exit_code: 137,
            reason: "OUT_OF_MEMORY".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    shop.set_state(InstanceState::BackingOff);
    instance.containers = vec![prepare, shop];
    instance
}

fn on_a_cluster() -> ApplicationStatus {
    let mut rolled_back = Condition {
        r#type: "RolledBack".into(),
        reason: "CRASH_LOOP".into(),
        ..Default::default()
    };
    rolled_back.set_status(ConditionStatus::True);
    ApplicationStatus {
        name: "shop".into(),
        conditions: vec![rolled_back],
        instances: vec![pod()],
        objects: vec![
            ObjectStatus {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                namespace: "baetyl-edge".into(),
                name: "shop".into(),
                message: "0 of 1 pods are ready".into(),
                ..Default::default()
            },
            ObjectStatus {
                api_version: "v1".into(),
                kind: "Namespace".into(),
                name: "shop".into(),
                is_ready: true,
                ..Default::default()
            },
        ],
        events: vec![ApplicationEvent {
            is_warning: true,
            reason: "BackOff".into(),
            message: "restarting failed container".into(),
            object: "Pod/shop-6d4f".into(),
            count: 4,
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[test]
fn when_an_application_runs_on_a_cluster_then_pods_containers_objects_and_events_are_shown() {
    let status = on_a_cluster();
    let seen = [("demo", &status)];

    assert_eq!(
        pods("NODE", &seen).lines(),
        [
            "NODE  INSTANCE   MACHINE   STATE        REVISION  CPU   MEMORY  RESTARTS  STARTED  WHY",
            "demo  shop-6d4f  worker-1  backing_off  3         120m  64 MiB  2         –        \
             CRASH_LOOP: shop ended 2 times",
        ]
    );
    assert_eq!(
        containers(&seen).lines(),
        [
            "INSTANCE   CONTAINER       STATE        RESTARTS  LAST END             CPU  MEMORY  \
             IMAGE    WHY",
            "shop-6d4f  prepare (init)  exited       0         –                    –    –       \
             busybox  –",
            "shop-6d4f  shop            backing_off  2         OUT_OF_MEMORY (137)  –    –       \
             shop:2   CRASH_LOOP",
        ]
    );
    assert_eq!(
        objects("NODE", &seen, true).lines(),
        [
            "NODE  OBJECT                       API      READY  MESSAGE",
            "demo  Deployment baetyl-edge/shop  apps/v1  no     0 of 1 pods are ready",
            "demo  Namespace shop               v1       yes    –",
        ]
    );
    assert_eq!(objects("NODE", &seen, false).lines().len(), 2);
    assert_eq!(
        events("NODE", &seen).lines(),
        [
            "NODE  LAST  TYPE     REASON   OBJECT         COUNT  MESSAGE",
            "demo  –     warning  BackOff  Pod/shop-6d4f  4      restarting failed container",
        ]
    );
    assert_eq!(
        conditions("NODE", &seen).lines()[1],
        "demo  RolledBack  true    CRASH_LOOP  –      –"
    );
    assert!(processes("NODE", &seen).is_empty());
}

#[test]
fn when_an_application_runs_as_processes_then_only_they_are_shown() {
    let mut instance = InstanceStatus {
        service: "watcher".into(),
        pid: 42,
        ..Default::default()
    };
    instance.set_state(InstanceState::Ready);
    let status = ApplicationStatus {
        name: "watcher".into(),
        instances: vec![instance],
        ..Default::default()
    };
    let seen = [("watcher", &status)];

    let lines = processes("APP", &seen).lines();

    assert!(
        lines[1].starts_with("watcher  watcher/0  ready  42"),
        "{lines:?}"
    );
    assert!(pods("APP", &seen).is_empty() && containers(&seen).is_empty());
    assert!(objects("APP", &seen, true).is_empty() && events("APP", &seen).is_empty());
}
