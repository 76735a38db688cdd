//! Samples the memory of everything that runs, in one pass for all applications.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::publish::Running;
use crate::context::{Context, Samples};

/// How much rarer samples are that only people look at.
const RELAXED: u32 = 5;

/// Samples for as long as somebody listens; sleeps while nothing runs.
pub(super) async fn run(
    context: Arc<Context>,
    mut running: watch::Receiver<Running>,
    samples: watch::Sender<Samples>,
) {
    let driver = &context.dependencies.driver;
    loop {
        let Running {
            ids,
            has_memory_limit,
        } = running.borrow_and_update().clone();
        if ids.is_empty() {
            if running.changed().await.is_err() {
                return;
            }
            continue;
        }
        let sampled = driver.memory(ids).await;
        if samples.send(Arc::new(sampled)).is_err() {
            return;
        }
        let is_urgent = has_memory_limit && !driver.support().memory_limits;
        let pause = context.config.sample_period * if is_urgent { 1 } else { RELAXED };
        sleep(pause).await;
    }
}
