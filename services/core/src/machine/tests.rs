//! What is read of this machine, and what is worth a report.

use super::*;

#[test]
fn when_this_machine_is_sampled_then_its_facts_are_there() {
    let machine = Machine::new("/");

    let status = machine.sample();

    let stats = status.stats.unwrap();
    assert!(!status.hostname.is_empty());
    assert_eq!(status.operating_system, "linux");
    assert!(!status.kernel_version.is_empty());
    assert!(!status.boot_id.is_empty());
    assert!(stats.cpu_count > 0);
    assert!((0.0..=1.0).contains(&stats.cpu_ratio));
    assert!(stats.memory_used_bytes <= stats.memory_total_bytes);
    assert!(stats.memory_total_bytes > 0);
    assert!(stats.disk_used_bytes <= stats.disk_total_bytes);
    assert!(stats.disk_total_bytes > 0);
}

#[test]
fn when_architectures_are_named_then_as_images_name_them() {
    for (machine, wanted) in [
        ("x86_64", "amd64"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("riscv64", "riscv64"),
    ] {
        assert_eq!(architecture(machine), wanted);
    }
}

#[test]
fn when_a_release_file_is_read_then_its_pretty_name_is_found() {
    let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";

    assert_eq!(pretty_name(release).as_deref(), Some("Debian GNU/Linux 12"));
    assert_eq!(pretty_name("NAME=x\n"), None);
}

#[test]
fn when_samples_differ_little_then_they_are_no_news() {
    let base = MachineStatus {
        hostname: "edge".into(),
        stats: Some(MachineStats {
            cpu_count: 4,
            cpu_ratio: 0.5,
            memory_total_bytes: 1000,
            memory_used_bytes: 500,
            ..MachineStats::default()
        }),
        ..MachineStatus::default()
    };
    let with = |change: fn(&mut MachineStats)| {
        let mut status = base.clone();
        change(status.stats.as_mut().unwrap());
        status
    };
    for (name, now, wanted) in [
        ("same", base.clone(), false),
        (
            "clock",
            with(|s| s.sample_time = Some(prost_types::Timestamp::default())),
            false,
        ),
        ("little load", with(|s| s.cpu_ratio = 0.52), false),
        ("much load", with(|s| s.cpu_ratio = 0.7), true),
        ("little memory", with(|s| s.memory_used_bytes = 510), false),
        ("much memory", with(|s| s.memory_used_bytes = 600), true),
        (
            "little traffic",
            with(|s| s.network_sent_bytes = 1000),
            false,
        ),
        (
            "much traffic",
            with(|s| s.network_sent_bytes = 2 * NETWORK_STEP),
            true,
        ),
        (
            "address",
            MachineStatus {
                addresses: vec!["10.0.0.1".into()],
                ..base.clone()
            },
            true,
        ),
        (
            "unobserved",
            MachineStatus {
                stats: None,
                ..base.clone()
            },
            true,
        ),
    ] {
        assert_eq!(is_notable(&base, &now), wanted, "{name}");
    }
}
