//! Somebody who watches the pods of an application all the time, and counts those that are ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::look::{APPLICATION, is_ready};

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Uids of the pods that are ready and not on their way out.
    ready: BTreeSet<String>,
    /// The fewest that were ready at once since [`Witness::begin`]; `None` before.
    least: Option<usize>,
    /// Uids of all pods since then.
    pods: BTreeSet<String>,
}

/// Watches until it is dropped.
pub struct Witness {
    seen: Arc<watch::Sender<Seen>>,
    _watching: JoinSet<()>,
}

impl Witness {
    /// Watches the pods of an application from now on.
    #[must_use]
    pub fn of(client: Client, space: &str, application: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, space);
        let how = watcher::Config::default().labels(&format!("{APPLICATION}={application}"));
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let telling = seen.clone();
        let mut watching = JoinSet::new();
        watching.spawn(async move {
            // Without a pause, a broken line would keep a thread busy.
            let events = watcher::watcher(pods, how).default_backoff();
            pin_mut!(events);
            while let Some(event) = events.next().await {
                if let Ok(event) = event {
                    telling.send_modify(|seen| seen.take(event));
                }
            }
        });
        Self {
            seen,
            _watching: watching,
        }
    }

    /// Waits until so many pods are ready, and counts from there.
    ///
    /// # Errors
    /// They do not become ready within the given time.
    pub async fn begin(&self, count: usize, patience: std::time::Duration) -> Result<()> {
        let mut seen = self.seen.subscribe();
        let waiting = seen.wait_for(|seen| seen.ready.len() == count);
        let waited = tokio::time::timeout(patience, waiting).await;
        waited
            .context("the witness does not see them ready")?
            .context("the witness is gone")?;
        self.seen.send_modify(|seen| {
            seen.least = Some(seen.ready.len());
            seen.pods = seen.ready.clone();
        });
        Ok(())
    }

    /// The fewest pods that were ready at once since it began.
    #[must_use]
    pub fn least(&self) -> usize {
        self.seen.borrow().least.unwrap_or(0)
    }

    /// How many pods there were since it began.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.seen.borrow().pods.len()
    }
}

impl Seen {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                let serves = is_ready(&pod) && pod.metadata.deletion_timestamp.is_none();
                self.pods.insert(uid.clone());
                if serves {
                    self.ready.insert(uid);
                } else {
                    self.ready.remove(&uid);
                }
            }
            Event::Delete(pod) => {
                self.ready.remove(&pod.uid().unwrap_or_default());
            }
            // A list after a break says the same again.
            Event::Init | Event::InitDone => return,
        }
        if let Some(least) = &mut self.least {
            *least = (*least).min(self.ready.len());
        }
    }
}
