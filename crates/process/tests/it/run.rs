//! Starting, ending, and what may stay behind.

use std::fs;
use std::path::Path;

use baetyl_process::{Ending, Error, Limits, LogCaps, Program, Signal, Spec, Status};
use futures::TryStreamExt;

use super::support::{BOUND, Bench, ended, ending, impatient, line_of, patient, shell, until};

#[tokio::test]
async fn when_a_program_ends_then_its_exit_code_is_known() {
    let bench = Bench::new();
    for code in [0, 1, 42, 255] {
        let instance = bench
            .launch(&format!("code{code}"), &format!("exit {code}"))
            .await;

        assert_eq!(ending(&ended(&instance).await), Ending::Exited { code });
    }
}

#[tokio::test]
async fn when_a_program_dies_of_a_signal_then_the_signal_is_known() {
    let bench = Bench::new();

    let instance = bench.launch("suicide", "kill -USR1 $$; sleep 1000").await;

    assert_eq!(
        ending(&ended(&instance).await),
        Ending::Signaled { signal: 10 }
    );
}

#[tokio::test]
async fn when_it_is_stopped_then_the_program_ends_in_its_own_way() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "trap 'exit 7' TERM; echo up > {}; while :; do sleep 0.01; done",
        ready.display()
    );
    let instance = bench.launch("polite", &script).await;
    line_of(&ready).await;

    let status = instance.stop(&patient()).await.unwrap();

    assert_eq!(ending(&status), Ending::Exited { code: 7 });
    assert_eq!(instance.stop(&patient()).await.unwrap(), status);
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_the_stop_signal_is_ignored_then_it_is_killed_after_the_grace() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "trap '' TERM; echo up > {}; while :; do sleep 0.01; done",
        ready.display()
    );
    let instance = bench.launch("stubborn", &script).await;
    line_of(&ready).await;

    let status = instance.stop(&impatient()).await.unwrap();

    assert_eq!(ending(&status), Ending::Signaled { signal: 9 });
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_a_descendant_moved_to_its_own_session_then_it_is_killed_as_well() {
    let bench = Bench::new();
    let (inner, outer) = (bench.file("inner"), bench.file("outer"));
    // The second one hides its marker, too; only its ancestry gives it away.
    let script = format!(
        "setsid sh -c \"trap '' TERM; echo up > {}; while :; do sleep 0.01; done\" & \
         setsid env -i /bin/sh -c \"trap '' TERM; echo \\$\\$ > {}; while :; do /bin/sleep 0.01; done\" & \
         while :; do sleep 0.01; done",
        inner.display(),
        outer.display()
    );
    let instance = bench.launch("family", &script).await;
    line_of(&inner).await;
    let unmarked: u32 = line_of(&outer).await.parse().unwrap();
    let unmarked = baetyl_process::ProcessId::of(unmarked).unwrap();

    instance.stop(&patient()).await.unwrap();

    assert_eq!(bench.leftovers(), []);
    assert!(!unmarked.is_alive());
}

#[tokio::test]
async fn when_a_program_leaves_a_daemon_behind_then_the_shim_kills_it() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "setsid sh -c \"trap '' TERM; echo up > {0}; while :; do sleep 0.01; done\" & \
         while ! [ -s {0} ]; do sleep 0.01; done; exit 3",
        ready.display()
    );

    let instance = bench.launch("daemon", &script).await;

    assert_eq!(ending(&ended(&instance).await), Ending::Exited { code: 3 });
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_the_program_is_missing_then_launching_fails_and_the_outcome_says_why() {
    let bench = Bench::new();
    let launcher = bench.launcher();
    let missing_folder = Program::new("/bin/true", "/no/such/folder");
    let cases = [
        (
            "absent",
            Program::new("/no/such/program", "/"),
            2,
            "/no/such/program",
        ),
        ("folder", Program::new("/bin", "/"), 13, "execute /bin"),
        ("elsewhere", missing_folder, 2, "working folder"),
    ];
    for (name, program, expected, hint) in cases {
        let id = bench.id(name);

        let error = launcher.launch(&id, Spec::new(program)).await.unwrap_err();

        let Error::ProgramNotStarted { errno, message } = &error else {
            panic!("{name}: {error:?}");
        };
        assert_eq!(
            (*errno, error.reason()),
            (expected, "PROGRAM_NOT_STARTED"),
            "{name}"
        );
        assert!(message.contains(hint), "{name}: {message}");
        let status = ended(&launcher.instance(&id)).await;
        assert!(
            matches!(ending(&status), Ending::NotStarted { .. }),
            "{name}"
        );
    }
}

#[tokio::test]
async fn when_an_id_is_used_again_then_launching_is_refused() {
    let bench = Bench::new();
    bench.launch("twice", "exit 0").await;

    let error = bench
        .launcher()
        .launch(&bench.id("twice"), Spec::new(shell("exit 1")))
        .await;

    assert!(matches!(error, Err(Error::AlreadyExists(_))));
}

#[tokio::test]
async fn when_the_environment_holds_a_secret_then_it_does_not_stay_on_disk() {
    let bench = Bench::new();
    let mut program = shell("test \"$TOKEN\" = canary-7531 || exit 1; echo ok; sleep 1000");
    program.env.insert("TOKEN".into(), "canary-7531".into());
    let instance = bench
        .launcher()
        .launch(&bench.id("secret"), Spec::new(program))
        .await
        .unwrap();
    until("its output", || holds(instance.folder(), "ok")).await;

    assert!(!holds(instance.folder(), "canary-7531"));

    instance.stop(&patient()).await.unwrap();
    assert!(!holds(instance.folder(), "canary-7531"));
}

/// Whether any file below the folder contains the text.
fn holds(folder: &Path, needle: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let body = fs::read(&path).unwrap_or_default();
        String::from_utf8_lossy(&body).contains(needle)
    })
}

#[tokio::test]
async fn when_limits_are_given_then_the_program_has_exactly_those() {
    let bench = Bench::new();
    let mut program = shell("ulimit -n; ulimit -c; umask; nice; pwd; env; cat");
    program.limits = Limits {
        open_files: Some(77),
        address_space: Some(1 << 30),
    };
    program.umask = Some(0o027);
    program.nice = Some(5);
    program.working_folder = "/usr".into();
    program.no_new_privileges = true;
    let id = bench.id("limits");

    let instance = bench
        .launcher()
        .launch(&id, Spec::new(program))
        .await
        .unwrap();
    ended(&instance).await;

    let records: Vec<_> = instance
        .logs(Default::default())
        .try_collect()
        .await
        .unwrap();
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(texts[..5], ["77", "0", "0027", "5", "/usr"]);
    // The shell adds its own; nothing came from the launcher.
    let added = ["PWD=", "OLDPWD=", "_=", "SHLVL=", "PATH="];
    let others: Vec<_> = texts[5..]
        .iter()
        .filter(|text| !added.iter().any(|name| text.starts_with(name)))
        .collect();
    assert_eq!(others, [&format!("BAETYL_INSTANCE={id}")]);
}

#[tokio::test]
async fn when_a_signal_is_sent_then_the_group_gets_it() {
    let bench = Bench::new();
    let (ready, got) = (bench.file("ready"), bench.file("got"));
    let script = format!(
        "trap 'echo hup > {}' HUP; echo up > {}; while :; do sleep 0.01; done",
        got.display(),
        ready.display()
    );
    let instance = bench.launch("reload", &script).await;
    line_of(&ready).await;

    instance.signal(Signal::Hup).await.unwrap();

    assert_eq!(line_of(&got).await, "hup");
    assert!(matches!(
        instance.status().await.unwrap(),
        Status::Running(_)
    ));
    instance.stop(&patient()).await.unwrap();
    assert!(matches!(
        instance.signal(Signal::Hup).await,
        Err(Error::NotRunning)
    ));
}

#[tokio::test]
async fn when_it_runs_then_its_use_is_measured() {
    let bench = Bench::new();
    let instance = bench.launch("busy", "sleep 1000 & wait").await;
    let both = async {
        while instance.stats().await.unwrap().processes < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, both)
        .await
        .expect("both are counted");

    let stats = instance.stats().await.unwrap();

    assert_eq!((stats.processes, stats.threads), (2, 2));
    assert!(stats.resident_bytes > 64 << 10, "{stats:?}");
    instance.stop(&patient()).await.unwrap();
    assert_eq!(
        instance.stats().await.unwrap(),
        baetyl_process::Stats::default()
    );
}

#[tokio::test]
async fn when_instances_end_then_no_zombie_stays() {
    let bench = Bench::new();
    for index in 0..5 {
        let instance = bench.launch(&format!("brief{index}"), "exit 0").await;
        ended(&instance).await;
    }
    bench.tasks.close();

    tokio::time::timeout(BOUND, bench.tasks.wait())
        .await
        .expect("all reaped");

    // Other tests of this program have children of their own; ours were all waited for.
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_it_still_runs_then_it_is_not_removed() {
    let bench = Bench::new();
    let instance = bench.launch("kept", "sleep 1000").await;

    assert!(matches!(instance.remove().await, Err(Error::StillRunning)));

    instance.stop(&patient()).await.unwrap();
    instance.remove().await.unwrap();
    assert!(!instance.folder().exists());
    instance.remove().await.unwrap();
}

#[tokio::test]
async fn when_the_shim_is_asked_to_end_then_the_program_is_and_its_outcome_is_recorded() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "trap 'echo last words; exit 5' INT; echo up > {}; while :; do sleep 0.01; done",
        ready.display()
    );
    let spec = Spec {
        stop_signal: Signal::Int,
        log: LogCaps::default(),
        program: shell(&script),
    };
    let instance = bench
        .launcher()
        .launch(&bench.id("shutdown"), spec)
        .await
        .unwrap();
    line_of(&ready).await;
    let Status::Running(running) = instance.status().await.unwrap() else {
        panic!("not running");
    };

    let kill = std::process::Command::new("kill")
        .arg(running.shim.pid.to_string())
        .status();

    assert!(kill.unwrap().success());
    assert_eq!(ending(&ended(&instance).await), Ending::Exited { code: 5 });
    let records: Vec<_> = instance
        .logs(Default::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(records.last().unwrap().text, "last words");
}
