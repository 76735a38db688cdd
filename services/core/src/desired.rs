//! From an offered desired state to one that the engine works on: fetched, persisted, applied.

use std::sync::Arc;
use std::time::Duration;

use baetyl_engine::{DesiredSet, EngineHandle};
use baetyl_proto::resource::v1::CoreConfig;
use baetyl_proto::sync::v1::DesiredDocument;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_service_kit::fault::{Fault as _, chain};
use baetyl_service_kit::telemetry::propagation::TracedChannel;
use baetyl_shadow::{Admission, Stamp};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::watch;

use crate::crash;
use crate::field;
use crate::properties::NodeProperties;
use crate::status::NodeState;
use crate::store::{Offer, Store, StoreError};
use crate::sync::{FetchError, Stage};
use crate::value;

/// How long until applications that could not be removed are tried again.
const REMOVE_AGAIN: Duration = Duration::from_secs(1);

/// What became of an offered desired state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is on disk, and the engine works on it.
    Accepted,
    /// It is not acceptable.
    Refused(&'static str),
}

/// An offered desired state could not be taken now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("bodies could not be fetched")]
    Fetch(#[from] FetchError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl TakeError {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "BODY_MISSING",
            Self::Store(error) => error.reason(),
        }
    }
}

/// The desired state of the node, on disk and in the engine.
pub(crate) struct DesiredState {
    store: Arc<Store>,
    engine: EngineHandle,
    properties: Arc<NodeProperties>,
    node: NodeState,
    settings: watch::Sender<CoreConfig>,
    /// What the engine was told last.
    applied: Mutex<Option<Stamp>>,
}

impl DesiredState {
    pub(crate) fn new(
        store: Arc<Store>,
        engine: EngineHandle,
        properties: Arc<NodeProperties>,
        node: NodeState,
    ) -> Self {
        Self {
            store,
            engine,
            properties,
            node,
            settings: watch::Sender::default(),
            applied: Mutex::new(None),
        }
    }

    /// The settings that came with the desired state.
    pub(crate) fn settings(&self) -> watch::Receiver<CoreConfig> {
        self.settings.subscribe()
    }

    /// Tells the engine what is on disk, unless it knows. The same at every start, with or
    /// without the cloud.
    pub(crate) async fn apply(&self) -> Result<(), StoreError> {
        let Some(held) = self.store.run(|store| store.held()).await? else {
            return Ok(());
        };
        {
            let mut applied = self.applied.lock();
            if applied.is_some_and(|stamp| stamp.fence >= held.stamp.fence) {
                return Ok(());
            }
            *applied = Some(held.stamp);
            // Under the lock, so that an older one never overtakes a newer one.
            self.engine.set_desired(DesiredSet {
                fence: held.stamp.fence,
                applications: held.document.applications,
            });
        }
        tracing::info!({ field::FENCE } = %held.stamp.fence, "desired state applied");
        self.node.accepted(held.stamp.fence);
        self.settings
            .send_replace(held.document.core.unwrap_or_default());
        self.properties.refresh().await
    }

    /// Takes an offered document: what it needs is fetched, all of it persisted at once, then the
    /// engine is told.
    ///
    /// # Cancel safety
    /// Bodies that arrived stay staged. Once persisting began it comes to its end; [`Self::apply`]
    /// then does the rest.
    pub(crate) async fn take(
        &self,
        stamp: Stamp,
        document: Bytes,
        stage: &Stage,
        client: &SyncServiceClient<TracedChannel>,
    ) -> Result<Taken, TakeError> {
        let Ok(decoded) = DesiredDocument::decode(document.clone()) else {
            return Ok(Taken::Refused("it cannot be read"));
        };
        let missing = self.store.run(move |store| store.missing(&decoded)).await;
        let missing = match missing {
            Ok(missing) => missing,
            Err(StoreError::DocumentInvalid { why }) => return Ok(Taken::Refused(why)),
            Err(error) => return Err(error.into()),
        };
        let bodies = stage.fetch(client, &missing).await?;
        crash::point("before_accept_persist");
        let offer = Offer {
            stamp,
            document,
            bodies,
            now: value::now_millis(),
        };
        let accepted = self.store.run(move |store| store.accept(&offer)).await;
        let admission = match accepted {
            Ok(admission) => admission,
            Err(StoreError::DocumentInvalid { why }) => return Ok(Taken::Refused(why)),
            Err(error) => return Err(error.into()),
        };
        crash::point("after_accept_persist");
        stage.clear();
        self.apply().await?;
        Ok(match admission {
            Admission::Newer | Admission::Same => Taken::Accepted,
            Admission::Older => Taken::Refused("older than what is held"),
            Admission::Conflict => Taken::Refused("another document with the same fence is held"),
        })
    }

    /// Removes every application, then everything in the store, however often it takes.
    pub(crate) async fn remove_all(&self, remove_data: bool) {
        loop {
            match self.engine.decommission(remove_data).await {
                Ok(()) => break,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "applications were not removed, trying again");
                }
            }
            tokio::time::sleep(REMOVE_AGAIN).await;
        }
        while let Err(error) = self.store.run(|store| store.forget()).await {
            let error = chain(&error);
            tracing::warn!(error, "the store was not emptied, trying again");
            tokio::time::sleep(REMOVE_AGAIN).await;
        }
    }
}
