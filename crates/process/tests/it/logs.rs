//! Output under a flood, and followers that must see all of it.

use std::fs;
use std::path::Path;

use baetyl_process::logs::{LogQuery, LogRecord, Output};
use baetyl_process::{Ending, Instance, LogCaps, Program, Spec};
use futures::TryStreamExt;

use super::support::{BOUND, Bench, ended, ending, patient, program, until};

fn lines(count: u64, width: usize) -> Program {
    let mut program = Program::new(program(), "/");
    program.args = vec!["lines".into(), count.to_string(), width.to_string()];
    program
}

async fn launch(bench: &Bench, name: &str, program: Program, log: LogCaps) -> Instance {
    let spec = Spec {
        log,
        ..Spec::new(program)
    };
    bench
        .launcher()
        .launch(&bench.id(name), spec)
        .await
        .unwrap()
}

async fn read(instance: &Instance, query: LogQuery) -> Vec<LogRecord> {
    let records = instance.logs(query).try_collect();
    tokio::time::timeout(BOUND, records)
        .await
        .expect("the stream ends")
        .unwrap()
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| {
            entry
                .unwrap()
                .metadata()
                .map_or(0, |metadata| metadata.len())
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_output_floods_then_the_cap_holds_and_the_newest_is_kept() {
    let bench = Bench::new();
    let caps = LogCaps {
        max_bytes: 256 << 10,
        files: 3,
    };
    let instance = launch(&bench, "flood", lines(1_000_000, 99), caps).await;
    let folder = instance.folder().join("log");
    let waiting = instance.wait();
    tokio::pin!(waiting);

    let status = loop {
        tokio::select! {
            status = &mut waiting => break status.unwrap(),
            () = tokio::task::yield_now() => assert!(size_of(&folder) <= 3 * (256 << 10)),
        }
    };

    assert_eq!(ending(&status), Ending::Exited { code: 0 });
    assert!(size_of(&folder) <= 3 * (256 << 10));
    let records = read(
        &instance,
        LogQuery {
            tail_lines: Some(2),
            ..LogQuery::default()
        },
    )
    .await;
    let texts: Vec<_> = records
        .iter()
        .map(|record| record.text.trim_start_matches('0'))
        .collect();
    assert_eq!(texts, ["999998", "999999"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_log_is_followed_over_rotations_then_each_line_comes_once() {
    let bench = Bench::new();
    // Ten rotations, and files enough that a slow follower loses none.
    let caps = LogCaps {
        max_bytes: 64 << 10,
        files: 64,
    };
    let instance = launch(&bench, "followed", lines(20_000, 20), caps).await;

    let records = read(
        &instance,
        LogQuery {
            follow: true,
            ..LogQuery::default()
        },
    )
    .await;

    assert!(fs::read_dir(instance.folder().join("log")).unwrap().count() > 5);
    assert_eq!(records.len(), 20_000);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.text, format!("{index:020}"));
    }
}

#[tokio::test]
async fn when_outputs_are_mixed_then_records_say_which_and_keep_their_bytes() {
    let bench = Bench::new();
    let script = "printf 'one\\n\\ntwo\\tx\\r\\n'; printf 'bad \\377 byte\\n' >&2; \
                  head -c 40000 /dev/zero | tr '\\0' y; printf '\\nno end'";
    let instance = bench.launch("mixed", script).await;
    ended(&instance).await;

    let records = read(&instance, LogQuery::default()).await;

    let of = |output| {
        let records = records.iter().filter(move |record| record.output == output);
        records
            .map(|record| (record.text.as_str(), record.is_partial))
            .collect::<Vec<_>>()
    };
    let long = "y".repeat(16 << 10);
    assert_eq!(
        of(Output::Stdout),
        [
            ("one", false),
            ("", false),
            ("two\tx\r", false),
            (long.as_str(), true),
            (long.as_str(), true),
            (&long[..40_000 - 2 * (16 << 10)], false),
            ("no end", false),
        ]
    );
    assert_eq!(of(Output::Stderr), [("bad \u{fffd} byte", false)]);
}

#[tokio::test]
async fn when_a_query_has_limits_then_they_hold() {
    let bench = Bench::new();
    let instance = launch(&bench, "query", lines(100, 10), LogCaps::default()).await;
    ended(&instance).await;
    let all = read(&instance, LogQuery::default()).await;
    assert_eq!(all.len(), 100);

    let limited = LogQuery {
        limit_bytes: Some(55),
        ..LogQuery::default()
    };
    assert_eq!(read(&instance, limited).await, all[..5]);
    let since = LogQuery {
        since: Some(all[40].time),
        ..LogQuery::default()
    };
    let found = read(&instance, since).await;
    assert_eq!(found.last(), all.last());
    assert!(found.iter().all(|record| record.time >= all[40].time));
    let tail = LogQuery {
        tail_lines: Some(3),
        follow: true,
        ..LogQuery::default()
    };
    assert_eq!(read(&instance, tail).await, all[97..]);
    let none = LogQuery {
        tail_lines: Some(0),
        ..LogQuery::default()
    };
    assert_eq!(read(&instance, none).await, []);
}

#[tokio::test]
async fn when_the_disk_refuses_then_the_program_goes_on_and_the_loss_is_counted() {
    let bench = Bench::new();
    let go = bench.file("go");
    let script = format!(
        "while ! [ -e {} ]; do sleep 0.01; done; head -c 3000000 /dev/zero | tr '\\0' z; exit 4",
        go.display()
    );
    let instance = bench.launch("full", &script).await;
    // A file where the folder should be refuses root as well.
    fs::write(instance.folder().join("log"), "").unwrap();
    fs::write(&go, "").unwrap();

    let status = ended(&instance).await;

    assert_eq!(ending(&status), Ending::Exited { code: 4 });
    let baetyl_process::Status::Exited(outcome) = status else {
        unreachable!()
    };
    assert!(outcome.dropped_log_bytes >= 3_000_000);
}

#[tokio::test]
async fn when_a_follower_waits_then_it_ends_with_the_instance() {
    let bench = Bench::new();
    let instance = bench.launch("quiet", "echo first; sleep 1000").await;
    let mut stream = instance.logs(LogQuery {
        follow: true,
        ..LogQuery::default()
    });
    let first = tokio::time::timeout(BOUND, stream.try_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.text, "first");

    instance.stop(&patient()).await.unwrap();

    let rest = tokio::time::timeout(BOUND, stream.try_next())
        .await
        .expect("the stream ends");
    assert_eq!(rest.unwrap(), None);
    until("nothing is left", || bench.leftovers().is_empty()).await;
}
