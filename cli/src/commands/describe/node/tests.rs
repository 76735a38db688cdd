//! Machines of clusters and single machines.

use baetyl_proto::resource::v1::{Condition, ConditionStatus};

use super::*;
use crate::output::ready_machines;

fn condition(name: &str, status: ConditionStatus) -> Condition {
    let mut condition = Condition {
        r#type: name.into(),
        ..Default::default()
    };
    condition.set_status(status);
    condition
}

fn machine(conditions: Vec<Condition>) -> MachineStatus {
    MachineStatus {
        hostname: "worker-1".into(),
        architecture: "arm64".into(),
        roles: vec!["control-plane".into(), "worker".into()],
        kubelet_version: "v1.33.1".into(),
        conditions,
        ..Default::default()
    }
}

#[test]
fn when_a_node_is_a_cluster_then_roles_and_conditions_of_its_machines_are_shown() {
    let good = machine(vec![
        condition("Ready", ConditionStatus::True),
        condition("DiskPressure", ConditionStatus::False),
    ]);
    let bad = machine(vec![
        condition("Ready", ConditionStatus::Unknown),
        condition("DiskPressure", ConditionStatus::True),
    ]);

    let lines = machines(&[good.clone(), bad.clone()]).lines();

    assert_eq!(
        lines,
        [
            "HOST      READY             ROLES                 ARCH   SYSTEM  KUBELET  RUNTIME  \
             CPU  MEMORY  DISK",
            "worker-1  yes               control-plane,worker  arm64  –       v1.33.1  –        \
             –    –       –",
            "worker-1  no, DiskPressure  control-plane,worker  arm64  –       v1.33.1  –        \
             –    –       –",
        ]
    );
    assert_eq!(ready_machines(&[good, bad]), "1/2");
}

#[test]
fn when_a_node_is_one_machine_then_its_load_is_shown() {
    let machine = MachineStatus {
        hostname: "press-7".into(),
        stats: Some(<_>::default()),
        ..Default::default()
    };

    let lines = machines(std::slice::from_ref(&machine)).lines();

    assert!(lines[0].ends_with("LOAD"), "{lines:?}");
    assert!(lines[1].ends_with("0.00"), "{lines:?}");
    assert_eq!(ready_machines(&[machine]), "1/1");
}
