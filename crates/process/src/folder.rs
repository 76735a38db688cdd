//! The folder of an instance: who writes which file, and the lock that says whether
//! its shim lives.
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `spec.json` | launcher, mode 0600 | what to run; removed by the shim before it runs it |
//! | `lock` | shim | locked exclusively for as long as the shim lives |
//! | `state.json` | shim | identity, later the outcome |
//! | `shim.log` | shim | why it failed, mostly empty |
//! | `log/` | shim | captured output |

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A prober holds the lock for microseconds; this is how often the shim looks again.
const LOCK_ATTEMPTS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn spec_file(folder: &Path) -> PathBuf {
    folder.join("spec.json")
}

pub(crate) fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

pub(crate) fn shim_log(folder: &Path) -> PathBuf {
    folder.join("shim.log")
}

pub(crate) fn log_folder(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Whether a shim lives in this folder. Taken as a shared lock, so that probers do
/// not disturb each other.
pub(crate) fn is_locked(folder: &Path) -> io::Result<bool> {
    let file = match File::open(lock_file(folder)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the folder for as long as the file is kept open; `None` when a shim has it.
pub(crate) fn try_lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_file(folder))?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Replaces `path` so that readers see the old content or the new, also after the
/// writer was killed; with `durable` also after a loss of power.
pub(crate) fn replace(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    let staged = path.with_extension("tmp");
    let written = stage(&staged, content, durable).and_then(|()| fs::rename(&staged, path));
    if written.is_err() {
        let _ = fs::remove_file(&staged);
        return written;
    }
    match path.parent() {
        Some(folder) if durable => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn stage(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    fs::write(path, content)?;
    if durable {
        return File::open(path)?.sync_all();
    }
    Ok(())
}
