//! `test` and `ci`: run steps, show what they print, sum what they count.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::counts::{Counts, Runner};
use crate::repository::Repository;

/// Recipes of `ci`, the cheap ones first: a slip in formatting shows in a second. Checks
/// that compile come last, in the order that lets each reuse what the one before built.
const CI: [(&str, Runner); 10] = [
    ("fmt-check", Runner::Whole),
    ("tidy", Runner::Whole),
    ("buf-lint", Runner::Whole),
    ("breaking", Runner::Whole),
    ("chart", Runner::Whole),
    ("deny", Runner::Whole),
    ("clippy", Runner::Whole),
    ("docs-check", Runner::Whole),
    ("gen-check", Runner::Whole),
    ("test", Runner::Own),
];

/// What `cargo run` sets for us and must not reach another cargo: some build scripts
/// watch these, and everything above them would be built again.
const OF_THIS_PROGRAM: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_PACKAGE",
];

/// A process that a step left behind may hold its output open; after the step has ended,
/// its output is awaited this long.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// Lines that may wait to be shown; a step that prints faster is slowed down.
const LINES_IN_FLIGHT: usize = 1024;

/// Runs every test of every language.
pub(crate) fn test(repository: &Repository) -> Outcome {
    let mut steps = vec![main_tests(), cargo(&["test", "--workspace", "--doc"])];
    steps.extend(runtime_tests(repository));

    let mut sum = Counts::default();
    for (mut command, runner) in steps {
        say(&format!("== {}", shown(&command)));
        command.current_dir(&repository.root);
        sum.add(run(command, runner)?);
    }
    say(&sum.to_string());
    Ok(sum.failed == 0)
}

/// Runs every recipe of continuous integration, each even when one before it failed.
pub(crate) fn ci(repository: &Repository, just: &str) -> Outcome {
    let mut sum = Counts::default();
    for (recipe, runner) in CI {
        say(&format!("== {recipe}"));
        let began = Instant::now();
        let mut command = Command::new(just);
        command.arg(recipe).current_dir(&repository.root);
        let counts = run(command, runner)?;
        let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
        let seconds = began.elapsed().as_secs_f64();
        say(&format!("-- {recipe} {verdict} in {seconds:.1} s"));
        sum.add(counts);
    }
    say(&sum.to_string());
    Ok(sum.failed == 0)
}

/// Units and integration tests, by nextest where it is installed: it runs each test in a
/// process of its own and ends those that hang.
fn main_tests() -> (Command, Runner) {
    let has_nextest = Command::new("cargo")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_nextest {
        let (command, _) = cargo(&["nextest", "run", "--workspace", "--no-tests=pass"]);
        return (command, Runner::Nextest);
    }
    cargo(&["test", "--workspace", "--tests", "--no-fail-fast"])
}

fn cargo(arguments: &[&str]) -> (Command, Runner) {
    let mut command = Command::new("cargo");
    command.args(arguments);
    (command, Runner::Cargo)
}

/// Tests of the language workers, which need nothing but their language.
fn runtime_tests(repository: &Repository) -> Vec<(Command, Runner)> {
    let mut steps = Vec::new();
    let python = "runtimes/python/tests";
    if repository.has(python) {
        let mut command = Command::new("python3");
        command.args(["-m", "unittest", "discover", "-s", python]);
        steps.push((command, Runner::Unittest));
    }
    let node: Vec<&str> = repository
        .files()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("runtimes/node/") && path.contains(".test."))
        .collect();
    if !node.is_empty() {
        let mut command = Command::new("node");
        command.arg("--test").args(node);
        steps.push((command, Runner::Node));
    }
    steps
}

/// Runs a step to its end, shows its output as it comes, and counts. A step that fails
/// without having counted a failure (it did not compile) counts as one.
fn run(mut command: Command, runner: Runner) -> Result<Counts, String> {
    for (name, _) in std::env::vars_os() {
        let is_ours = name
            .to_str()
            .is_some_and(|name| OF_THIS_PROGRAM.iter().any(|start| name.starts_with(start)));
        if is_ours {
            command.env_remove(name);
        }
    }
    let mut child = command
        .env("CARGO_TERM_COLOR", "never")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", shown(&command)))?;

    let (sender, lines) = sync_channel(LINES_IN_FLIGHT);
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender);
    }
    let (succeeded, mut counts) = follow(&mut child, &lines, runner)?;

    if runner == Runner::Whole && succeeded {
        counts.passed += 1;
    }
    if !succeeded && counts.failed == 0 {
        counts.failed += 1;
    }
    Ok(counts)
}

/// Shows and reads lines until the step has ended and its output with it.
fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    runner: Runner,
) -> Result<(bool, Counts), String> {
    let mut counts = Counts::default();
    let mut ended = None;
    loop {
        match lines.recv_timeout(AFTER_EXIT) {
            Ok(line) => {
                runner.read(&line, &mut counts);
                say(&line);
            }
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {
                ended = child.try_wait().map_err(|error| error.to_string())?;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().map_err(|error| error.to_string())?,
    };
    Ok((status.success(), counts))
}

/// Sends what comes out of a pipe, line by line.
fn forward(pipe: impl Read + Send + 'static, lines: SyncSender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes);
            if lines.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
}

fn say(line: &str) {
    println!("{line}");
}

fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}
