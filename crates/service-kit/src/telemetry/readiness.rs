//! Whether a service can do its work, and if not, why.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// What is not ready yet: name of the condition, and why. Empty when the service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    unmet: BTreeMap<&'static str, String>,
}

impl State {
    /// Whether every condition is met.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unmet.is_empty()
    }

    /// The conditions that are not met, with the reason of each.
    pub fn unmet(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.unmet
            .iter()
            .map(|(name, reason)| (*name, reason.as_str()))
    }
}

/// The readiness of one service: the sum of its conditions. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: watch::Sender<State>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Creates a readiness without conditions, which is ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: watch::Sender::default(),
        }
    }

    /// Adds a condition that is not met yet. Names are unique within a service and few.
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition {
            name,
            readiness: self.clone(),
        };
        condition.not_ready("starting");
        condition
    }

    /// What is unmet now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// A level to watch.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until every condition is met. Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.subscribe();
        // The sender is held by `self`, so waiting cannot fail.
        let _ = changes.wait_for(State::is_ready).await;
    }
}

/// One thing that must be so before the service is ready; held by the part that knows. When that
/// part is gone without having met it, the service stays not ready.
#[derive(Debug)]
#[must_use]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

impl Condition {
    /// The condition is met.
    pub fn ready(&self) {
        let is_changed = self
            .readiness
            .state
            .send_if_modified(|state| state.unmet.remove(self.name).is_some());
        if is_changed {
            tracing::info!(condition = self.name, "ready");
        }
    }

    /// The condition is not met (any more); `reason` is for people, and names no tenant.
    pub fn not_ready(&self, reason: &str) {
        let is_changed = self.readiness.state.send_if_modified(|state| {
            let before = state.unmet.insert(self.name, reason.to_owned());
            before.as_deref() != Some(reason)
        });
        if is_changed {
            tracing::info!(condition = self.name, reason, "not ready");
        }
    }
}
