//! Programs of others that the tests use for real: installed by `./just setup`.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::program::{Output, repository, run};

/// Path of a tool.
///
/// # Errors
/// It is not installed: run `./just setup`.
pub fn path(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("BAETYL_TOOLS")
        .map_or_else(|| repository().join(".tools/venv/bin"), PathBuf::from);
    let path = folder.join(name);
    ensure!(
        path.exists(),
        "{} is missing: run `./just setup`",
        path.display()
    );
    Ok(path)
}

/// Runs the real grpcurl.
///
/// # Errors
/// It is not installed or takes too long.
pub async fn grpcurl<S: AsRef<OsStr>>(args: &[S]) -> Result<Output> {
    run(&path("grpcurl")?, args, &[], b"").await
}
