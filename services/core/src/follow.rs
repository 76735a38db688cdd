//! Small loops that carry one level into another: the engine's status, the machine's usage.

use std::sync::Arc;
use std::time::Duration;

use baetyl_engine::EngineHandle;
use baetyl_proto::resource::v1::{CoreConfig, MachineStatus};
use baetyl_service_kit::fault::chain;
use tokio::sync::watch;

use crate::identity::LiveIdentity;
use crate::machines::{Machines, are_notable};
use crate::status::NodeState;
use crate::store::Store;
use crate::value;

/// How often statistics are sampled, within what the contract allows.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const MOST_INTERVAL: Duration = Duration::from_secs(300);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(20);

/// Carries the engine's status into that of the node; a generation that runs is written down once,
/// and what it no longer needs is removed.
pub(crate) async fn engine(engine: EngineHandle, node: NodeState, store: Arc<Store>) {
    let mut status = engine.status();
    let mut written = None;
    loop {
        let now = status.borrow_and_update().clone();
        node.applications(&now.applications, now.converged);
        if let Some(fence) = now.converged
            && written != Some(fence)
        {
            let saved = store.run(move |store| {
                store.save_converged(fence)?;
                store.collect_garbage()
            });
            match saved.await {
                Ok(removed) => {
                    written = Some(fence);
                    tracing::info!({ crate::field::FENCE } = %fence, removed, "desired state runs");
                }
                // The next change tries again; Hello may tell less than the truth until then.
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "the desired state that runs was not written down");
                }
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Looks at the machines at the interval of the settings and when one of them tells of a change,
/// and shows what differs enough.
pub(crate) async fn machines(
    mut machines: Machines,
    node: NodeState,
    mut settings: watch::Receiver<CoreConfig>,
) {
    let mut shown: Vec<MachineStatus> = Vec::new();
    loop {
        let interval = interval(&settings.borrow_and_update());
        let sample = machines.sample().await;
        if are_notable(&shown, &sample) {
            shown.clone_from(&sample);
            node.machines(sample);
        }
        tokio::select! {
            changed = settings.changed() => if changed.is_err() {
                return;
            },
            () = machines.changed() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

fn interval(settings: &CoreConfig) -> Duration {
    let wanted = value::duration(settings.report_interval.as_ref());
    let wanted = wanted.filter(|wanted| !wanted.is_zero());
    wanted
        .unwrap_or(DEFAULT_INTERVAL)
        .clamp(LEAST_INTERVAL, MOST_INTERVAL)
}

/// Shows each renewed certificate in the status.
pub(crate) async fn renewals(identity: Arc<LiveIdentity>, node: NodeState) {
    let mut renewals = identity.renewals();
    while renewals.changed().await.is_ok() {
        node.renewed(&identity.current());
    }
}
