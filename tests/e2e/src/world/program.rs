//! The program that plays the image of runtimes in the fake cluster: the real one of this build.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use baetyl_apiserver::controllers::Program;

/// Names the program; otherwise it is what was built beside the test.
const PROGRAM: &str = "BAETYL_PROGRAM";

/// How much the runtime host logs.
const LOG: (&str, &str) = ("BAETYL_LOG", "info");

/// Finds the program and what it needs.
///
/// # Errors
/// What is missing, and what to do.
pub(super) fn find() -> Result<Program, String> {
    let path = program().ok_or("the program is not built: run `./just build`")?;
    let python = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !python.is_ok_and(|status| status.success()) {
        return Err("python3 is not installed".to_owned());
    }
    // Interpreters are found as on this machine.
    let search = std::env::var("PATH").unwrap_or_default();
    Ok(Program::new(path)
        .variable("PATH", &search)
        .variable(LOG.0, LOG.1))
}

fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(PROGRAM) {
        return Some(PathBuf::from(path));
    }
    // target/debug/deps/fake-… lies two folders below target/debug.
    let own = std::env::current_exe().ok()?;
    let found = own.ancestors().skip(1).map(|folder| folder.join("baetyl"));
    found.into_iter().find(|path| path.is_file())
}
