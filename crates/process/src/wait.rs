//! Waits for the end of any process, not only of children.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ProcessId;

/// Where the kernel (before 5.3) or a sandbox has no process descriptors.
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// Returns when the process has ended, reaped or not. Cancel safe.
pub(crate) async fn until_ended(id: ProcessId) {
    if let Some(handle) = open(id) {
        // The descriptor becomes readable when the process ends.
        if handle.readable().await.is_ok() {
            return;
        }
    }
    while id.is_alive() {
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

fn open(id: ProcessId) -> Option<AsyncFd<std::os::fd::OwnedFd>> {
    let handle = match pidfd_open(id.to_os()?, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::SRCH) => return None,
        Err(error) => {
            tracing::debug!(error = %error, "process descriptor not available, polling");
            return None;
        }
    };
    // Only now is it certain which process the descriptor stands for.
    if !id.is_alive() {
        return None;
    }
    #[expect(
        deprecated,
        reason = "its replacement is unsafe; what that asks for, an OwnedFd keeps: one descriptor, open until dropped"
    )]
    AsyncFd::with_interest(handle, Interest::READABLE).ok()
}
