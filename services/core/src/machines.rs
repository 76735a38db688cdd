//! The machines of the node: the one that core runs on, or those of its cluster.

use std::sync::Arc;

use baetyl_engine::EngineHandle;
use baetyl_proto::resource::v1::MachineStatus;
use tokio::sync::watch;

use crate::machine::{Machine, is_notable};

/// Where the machines of the node are read.
#[derive(Clone, Debug)]
pub(crate) enum Machines {
    /// Core's own machine is the node.
    Own(Arc<Machine>),
    /// The engine watches those of a cluster.
    Cluster(watch::Receiver<Arc<baetyl_engine::Machines>>),
}

impl Machines {
    /// Those of the engine's cluster or, without one, this machine.
    pub(crate) fn of(engine: &EngineHandle, own: Arc<Machine>) -> Self {
        engine.machines().map_or(Self::Own(own), Self::Cluster)
    }

    /// Looks now, away from the async threads; sorted by name.
    pub(crate) async fn sample(&mut self) -> Vec<MachineStatus> {
        match self {
            Self::Own(machine) => {
                let machine = machine.clone();
                let sampled = tokio::task::spawn_blocking(move || machine.sample()).await;
                sampled.into_iter().collect()
            }
            Self::Cluster(machines) => machines.borrow_and_update().values().cloned().collect(),
        }
    }

    /// Waits until a cluster's machines are others than at the last look. One machine never tells:
    /// it is sampled.
    pub(crate) async fn changed(&mut self) {
        if let Self::Cluster(machines) = self
            && machines.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Whether some machine differs enough from what was reported to be sent.
pub(crate) fn are_notable(reported: &[MachineStatus], now: &[MachineStatus]) -> bool {
    reported.len() != now.len()
        || reported
            .iter()
            .zip(now)
            .any(|(reported, now)| is_notable(reported, now))
}
