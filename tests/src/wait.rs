//! Waiting for a level with a bound.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// The longest that anything may take on a slow, busy machine. It decides no test: what is
/// waited for either comes or never does.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `good` says so, and returns what was seen then.
///
/// # Errors
/// It does not happen; the message has what was seen last.
pub async fn until<T: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T>,
    good: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = None;
    loop {
        match look().await {
            Ok(value) if good(&value) => return Ok(value),
            other => seen.replace(other),
        };
        if Instant::now() >= deadline {
            bail!("{what} does not happen; last seen: {seen:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
