//! The program under test, and running it to its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long a command may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Path of the program: `BAETYL_PROGRAM`, or what was built beside the test.
///
/// # Errors
/// It was not built: run `./just build`.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BAETYL_PROGRAM") {
        return Ok(PathBuf::from(path));
    }
    // target/debug/deps/it-… lies two folders below target/debug.
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("baetyl"))
        .find(|path| path.is_file());
    found.context("the program is not built: run `./just build`")
}

/// Path of the program as devices have it, without the control plane: `BAETYL_DEVICE_PROGRAM`, or
/// the one with everything.
///
/// # Errors
/// It was not built: run `./just build`.
pub fn device_program() -> Result<PathBuf> {
    match std::env::var_os("BAETYL_DEVICE_PROGRAM") {
        Some(path) => Ok(PathBuf::from(path)),
        None => program(),
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code; 128 and more for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output of a command that must have gone well.
    ///
    /// # Errors
    /// It did not; the message has all that it said.
    pub fn ok(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        bail!(
            "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        )
    }
}

/// Runs a command to its end with input, under a bound.
///
/// # Errors
/// It cannot be started, or takes longer than three minutes.
pub(crate) async fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    environment: &[(&str, &OsStr)],
    input: &[u8],
) -> Result<Output> {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(repository());
    for (key, value) in environment {
        command.env(key, value);
    }
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input may end first.
        stdin.write_all(input).await.ok();
    }
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .with_context(|| format!("{} takes too long", program.display()))??;
    Ok(Output {
        code: output.status.code().unwrap_or(128),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
