//! Launchers and shims that die.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use baetyl_process::{Ending, Launcher, Running, Spec, Status, StopPolicy};
use tokio_util::task::TaskTracker;

use super::support::{Bench, ended, ending, impatient, line_of, patient, shell, shim, until};

async fn running(instance: &baetyl_process::Instance) -> Running {
    match instance.status().await.unwrap() {
        Status::Running(running) => running,
        other => panic!("not running: {other:?}"),
    }
}

fn kill_hard(pid: u32) {
    let status = std::process::Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn when_the_launcher_is_gone_then_the_next_one_finds_the_same_process() {
    let bench = Bench::new();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let ready = bench.file("ready");
    let script = format!("echo up > {}; sleep 1000", ready.display());
    let before = first.block_on(async {
        let instance = bench.launch("survivor", &script).await;
        line_of(&ready).await;
        running(&instance).await
    });
    // All tasks, timers and descriptors of the first launcher.
    drop(first);

    runtime().block_on(async {
        let launcher = bench.launcher();
        let mut found = launcher.scan().await.unwrap();
        let found = found.pop().unwrap();
        assert_eq!(found.instance.id(), &bench.id("survivor"));
        assert_eq!(found.status, Status::Running(before.clone()));
        assert!(before.process.is_alive());

        let status = found.instance.stop(&patient()).await.unwrap();

        assert_eq!(ending(&status), Ending::Signaled { signal: 15 });
        assert_eq!(bench.leftovers(), []);
    });
}

#[tokio::test]
async fn when_an_instance_was_adopted_then_its_end_is_waited_for() {
    let bench = Bench::new();
    let go = bench.file("go");
    let script = format!(
        "while ! [ -e {} ]; do sleep 0.01; done; exit 9",
        go.display()
    );
    bench.launch("awaited", &script).await;
    let other = Launcher::new(bench.root.path().join("run"), shim(), TaskTracker::new());
    let adopted = other.scan().await.unwrap().pop().unwrap().instance;
    let waiting = ended(&adopted);

    let (status, written) = tokio::join!(waiting, tokio::fs::write(&go, ""));

    written.unwrap();
    assert_eq!(ending(&status), Ending::Exited { code: 9 });
}

#[tokio::test]
async fn when_the_shim_is_killed_then_the_program_is_an_orphan_that_can_be_stopped() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "trap '' TERM; echo up > {}; while :; do sleep 0.01; done",
        ready.display()
    );
    let instance = bench.launch("orphan", &script).await;
    line_of(&ready).await;
    let before = running(&instance).await;
    kill_hard(before.shim.pid);

    let Status::Orphaned { processes } = ended(&instance).await else {
        panic!("not orphaned");
    };
    assert!(processes.contains(&before.process));
    let found = bench.launcher().scan().await.unwrap().pop().unwrap();
    assert!(matches!(found.status, Status::Orphaned { .. }));

    assert_eq!(instance.stop(&impatient()).await.unwrap(), Status::Lost);

    assert_eq!(bench.leftovers(), []);
    instance.remove().await.unwrap();
}

#[tokio::test]
async fn when_shim_and_program_are_killed_then_the_instance_is_lost() {
    let bench = Bench::new();
    let instance = bench.launch("lost", "exec sleep 1000").await;
    let before = running(&instance).await;
    kill_hard(before.shim.pid);
    until("the shim is gone", || !before.shim.is_alive()).await;
    kill_hard(before.process.pid);
    until("the program is gone", || bench.leftovers().is_empty()).await;

    assert_eq!(instance.status().await.unwrap(), Status::Lost);
}

#[tokio::test]
async fn when_the_shim_is_stuck_then_stopping_gets_rid_of_both() {
    let bench = Bench::new();
    let instance = bench.launch("stuck", "exec sleep 1000").await;
    let before = running(&instance).await;
    let shim = before.shim.pid.to_string();
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &shim])
        .status();
    assert!(stopped.unwrap().success());
    let policy = StopPolicy {
        kill: Duration::from_secs(2),
        ..impatient()
    };

    assert_eq!(instance.stop(&policy).await.unwrap(), Status::Lost);

    assert_eq!(bench.leftovers(), []);
    assert!(!before.shim.is_alive());
}

#[tokio::test]
async fn when_the_machine_was_started_anew_then_the_instance_is_stale() {
    let bench = Bench::new();
    let instance = bench.launch("stale", "sleep 1000").await;
    let before = running(&instance).await;
    kill_hard(before.shim.pid);
    let path = instance.folder().join("state.json");
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let state = fs::read_to_string(&path)
        .unwrap()
        .replace(boot_id.trim(), "an-earlier-boot");
    fs::write(&path, state).unwrap();
    until("the shim is gone", || !before.shim.is_alive()).await;

    assert_eq!(instance.status().await.unwrap(), Status::Stale);
}

#[tokio::test]
async fn when_the_launcher_died_before_the_shim_started_then_a_late_shim_starts_nothing() {
    let bench = Bench::new();
    let marker = bench.file("started");
    let script = format!("echo up > {}", marker.display());
    let instance = bench.launcher().instance(&bench.id("unstarted"));
    write_spec(&bench, &instance, &script);
    assert_eq!(instance.status().await.unwrap(), Status::Unstarted);

    instance.stop(&patient()).await.unwrap();

    let late = std::process::Command::new(shim().program)
        .arg("shim")
        .arg(instance.folder())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .process_group(0)
        .status();
    assert_eq!(late.unwrap().code(), Some(1));
    assert!(!marker.exists());
    instance.remove().await.unwrap();
}

/// What a launcher has done just before it spawns the shim.
fn write_spec(bench: &Bench, instance: &baetyl_process::Instance, script: &str) {
    fs::create_dir_all(instance.folder()).unwrap();
    let spec = serde_json::to_string(&Spec::new(shell(script))).unwrap();
    let id = bench.id("unstarted");
    let body = format!(r#"{{"version":1,"instance":"{id}","spec":{spec}}}"#);
    fs::write(instance.folder().join("spec.json"), body).unwrap();
}

#[tokio::test]
async fn when_a_state_is_of_a_later_release_then_it_is_unknown_and_not_absent() {
    let bench = Bench::new();
    let instance = bench.launch("future", "exit 0").await;
    ended(&instance).await;
    fs::write(instance.folder().join("state.json"), r#"{"version":99}"#).unwrap();
    fs::create_dir(bench.root.path().join("run/Not An Instance")).unwrap();

    let found = bench.launcher().scan().await.unwrap();

    assert_eq!(found.len(), 1);
    assert!(matches!(&found[0].status, Status::Unknown { detail } if detail.contains("99")));
}
