//! Programs that take too long, say too much, or are not there.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{Ended, Failure, Filter};

/// Writes a program. Another process does it: one that a test beside this starts at the same moment
/// would hold the open file for an instant, and a file that is open for writing cannot be executed.
pub(in super::super) fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
}

fn script(folder: &Path, text: &str) -> String {
    let path = folder.join("program");
    write_program(&path, &format!("#!/bin/sh\n{text}\n"));
    path.to_string_lossy().into_owned()
}

fn filter(program: &str, folder: &Path) -> Filter {
    Filter {
        program: program.to_owned(),
        arguments: Arc::from(["one".to_owned(), "two words".to_owned()]),
        folder: folder.to_owned(),
        environment: vec![("GREETING", "hello".to_owned())],
        deadline: Duration::from_secs(30),
        max_output_bytes: 1 << 20,
        max_memory_bytes: 1 << 30,
    }
}

async fn run(text: &str) -> Result<Ended, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), text);
    filter(&program, folder.path()).run().await
}

#[tokio::test]
async fn when_it_ends_then_code_and_outputs_are_there() {
    let ended = run("echo \"$GREETING $HOME $2\"; pwd >&2; exit 3")
        .await
        .unwrap();

    assert_eq!(ended.code, Some(3));
    assert_eq!(ended.output, b"hello  two words\n");
    assert!(!ended.complaint.is_empty());
}

#[tokio::test]
async fn when_there_is_no_such_program_then_it_says_so() {
    let folder = tempfile::tempdir().unwrap();

    for program in ["no-such-program-anywhere", "/nowhere/at/all", "./program"] {
        let failure = filter(program, folder.path()).run().await.unwrap_err();
        assert!(
            matches!(failure, Failure::NotFound),
            "{program}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn when_it_writes_too_much_then_it_is_stopped() {
    let failure = run("while :; do echo 0123456789012345678901234567890123456789; done")
        .await
        .unwrap_err();

    assert!(matches!(failure, Failure::TooMuch), "{failure:?}");
}

#[tokio::test]
async fn when_it_complains_without_end_then_the_end_is_kept() {
    let ended = run(
        "i=0; while [ $i -lt 9000 ]; do echo 0123456789 >&2; i=$((i+1)); done; \
                     echo last >&2; exit 1",
    )
    .await
    .unwrap();

    assert!(ended.complaint.len() <= super::MAX_COMPLAINT_BYTES);
    assert!(ended.complaint.ends_with(b"last\n"));
}

#[tokio::test]
async fn when_it_takes_too_long_then_it_and_its_children_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    // The child keeps the outputs open: they close only when it is killed, too.
    let program = script(folder.path(), "sleep 600 & echo $! > child; wait");
    let mut filter = filter(&program, folder.path());
    filter.deadline = Duration::from_millis(500);

    let failure = filter.run().await.unwrap_err();

    assert!(matches!(failure, Failure::TooSlow), "{failure:?}");
}

#[tokio::test]
async fn when_it_closes_its_outputs_and_stays_then_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "exec >&- 2>&-; while :; do sleep 1; done");
    let mut filter = filter(&program, folder.path());
    filter.deadline = Duration::from_millis(500);

    let failure = filter.run().await.unwrap_err();

    assert!(matches!(failure, Failure::TooSlow), "{failure:?}");
}
