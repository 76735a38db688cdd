//! Files that are written and read, in an ordinary folder instead of the kernel's.

use std::fs;

use super::{ControlGroups, GroupLimits, unified_path, usage, was_out_of_memory};
use crate::InstanceId;

#[test]
fn when_a_group_is_made_then_each_limit_is_in_its_file() {
    let base = tempfile::tempdir().unwrap();
    let groups = ControlGroups {
        base: base.path().to_owned(),
    };
    let limits = GroupLimits {
        memory_bytes: Some(1 << 20),
        cpu_millis: Some(1500),
        processes: Some(9),
    };

    let group = groups
        .create(&InstanceId::parse("one").unwrap(), &limits)
        .unwrap();

    let cases = [
        ("memory.max", "1048576"),
        ("memory.oom.group", "1"),
        ("cpu.max", "150000 100000"),
        ("pids.max", "9"),
    ];
    for (file, expected) in cases {
        assert_eq!(
            fs::read_to_string(group.join(file)).unwrap(),
            expected,
            "{file}"
        );
    }
}

#[test]
fn when_the_kernel_counts_then_the_counters_are_read() {
    let group = tempfile::tempdir().unwrap();
    assert!(!was_out_of_memory(group.path()));
    fs::write(group.path().join("memory.events"), "oom 4\noom_kill 1\n").unwrap();
    fs::write(group.path().join("memory.current"), "4096\n").unwrap();
    fs::write(
        group.path().join("cpu.stat"),
        "usage_usec 70\nuser_usec 60\n",
    )
    .unwrap();

    assert!(was_out_of_memory(group.path()));
    assert_eq!(usage(group.path()), Some((4096, 70)));
}

#[test]
fn when_both_versions_are_mounted_then_the_unified_path_is_found() {
    assert_eq!(
        unified_path("9:name=systemd:/\n0::/core.service\n"),
        Some("/core.service")
    );
    assert_eq!(unified_path("4:memory:/\n"), None);
}
