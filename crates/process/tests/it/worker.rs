//! Workers end with their handle, and take their descendants along.

use baetyl_process::worker::{Worker, WorkerLine, WorkerSpec, spawn};
use baetyl_process::{Ending, Error, ProcessId, Program};
use futures::TryStreamExt;

use super::support::{BOUND, Bench, line_of, shell, shim, until};

async fn worker(bench: &Bench, name: &str, script: &str) -> Worker {
    let spec = WorkerSpec {
        id: bench.id(name),
        program: shell(script),
    };
    spawn(&shim(), spec, &bench.tasks).await.unwrap()
}

#[tokio::test]
async fn when_a_worker_writes_then_its_lines_come_and_its_ending_is_known() {
    let bench = Bench::new();
    let mut worker = worker(
        &bench,
        "writes",
        "echo a; echo b; echo c >&2; printf d; exit 6",
    )
    .await;
    let (stdout, stderr) = (worker.take_stdout().unwrap(), worker.take_stderr().unwrap());

    let (stdout, stderr): (Vec<WorkerLine>, Vec<WorkerLine>) =
        tokio::try_join!(stdout.try_collect(), stderr.try_collect()).unwrap();

    assert_eq!(
        stdout
            .iter()
            .map(|line| line.text.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "d"]
    );
    assert_eq!(
        stderr
            .iter()
            .map(|line| line.text.as_str())
            .collect::<Vec<_>>(),
        ["c"]
    );
    assert_eq!(worker.wait().await, Ending::Exited { code: 6 });
    assert!(worker.take_stdout().is_none());
}

#[tokio::test]
async fn when_a_worker_is_killed_then_its_descendants_are_as_well() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "setsid sh -c \"trap '' TERM; echo up > {}; while :; do sleep 0.01; done\" & \
         while :; do sleep 0.01; done",
        ready.display()
    );
    let worker = worker(&bench, "killed", &script).await;
    line_of(&ready).await;

    assert_eq!(worker.kill().await, Ending::Signaled { signal: 9 });

    assert_eq!(bench.leftovers(), []);
    assert_eq!(worker.wait().await, Ending::Signaled { signal: 9 });
}

#[tokio::test]
async fn when_the_handle_is_dropped_then_nothing_is_left_not_even_a_zombie() {
    let bench = Bench::new();
    let worker = worker(&bench, "dropped", "sleep 1000 & sleep 1000").await;
    let process = worker.process();

    drop(worker);

    until("it is reaped", || {
        ProcessId::of(process.pid) != Some(process)
    })
    .await;
    bench.tasks.close();
    tokio::time::timeout(BOUND, bench.tasks.wait())
        .await
        .expect("its task ends");
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_a_worker_leaves_something_behind_then_it_is_killed_before_the_end_is_told() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    let script = format!(
        "setsid sh -c \"trap '' TERM; echo up > {0}; while :; do sleep 0.01; done\" & \
         while ! [ -s {0} ]; do sleep 0.01; done; exit 0",
        ready.display()
    );
    let worker = worker(&bench, "parent", &script).await;

    let ending = tokio::time::timeout(BOUND, worker.wait())
        .await
        .expect("it ends");

    assert_eq!(ending, Ending::Exited { code: 0 });
    assert_eq!(bench.leftovers(), []);
}

#[tokio::test]
async fn when_the_program_of_a_worker_is_missing_then_spawning_says_so() {
    let bench = Bench::new();
    let spec = WorkerSpec {
        id: bench.id("absent"),
        program: Program::new("/no/such", "/"),
    };

    let error = spawn(&shim(), spec, &bench.tasks).await.err().unwrap();

    assert!(
        matches!(error, Error::ProgramNotStarted { errno: 2, .. }),
        "{error:?}"
    );
    assert_eq!(bench.leftovers(), []);
}
