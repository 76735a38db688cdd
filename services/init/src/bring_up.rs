//! Starting core as a process of its own.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::InitError;

/// How often core is looked after while it comes up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How core is started.
#[derive(Debug)]
pub struct CoreProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where its output goes; appended to.
    pub log: PathBuf,
    /// How long it may take until it listens.
    pub patience: Duration,
}

/// Starts core in a process group of its own, so that the end of this program and its terminal do
/// not reach it, and waits until `is_up` says so. Returns its process id.
///
/// # Errors
/// [`InitError::CoreStart`], and [`InitError::CoreFailed`] when it ends or takes too long; in the
/// latter case it goes on.
pub async fn start_core(
    core: &CoreProcess,
    mut is_up: impl AsyncFnMut() -> bool,
) -> Result<u32, InitError> {
    let failed = |source| InitError::CoreStart {
        program: core.program.clone(),
        source,
    };
    let log = open_log(core).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let mut child = Command::new(&core.program)
        .args(&core.args)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let deadline = tokio::time::Instant::now() + core.patience;
    while !is_up().await {
        let ended = child.try_wait().map_err(failed)?;
        let what = match ended {
            Some(status) => format!("ended with {status}"),
            None if tokio::time::Instant::now() >= deadline => {
                format!("does not listen after {}s", core.patience.as_secs())
            }
            None => {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
        };
        let log = core.log.clone();
        return Err(InitError::CoreFailed { what, log });
    }
    Ok(child.id())
}

fn open_log(core: &CoreProcess) -> std::io::Result<File> {
    if let Some(folder) = core.log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(&core.log)
}
