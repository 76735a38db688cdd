//! The properties of the node: wanted by the cloud, reported by whoever is on the node.

use std::sync::Arc;

use baetyl_service_kit::fault::{Code, Fault, InvalidArgument, Violation};
use baetyl_shadow::{Error as ShadowError, Patch, Properties};
use tokio::sync::watch;

use crate::reported::Reported;
use crate::store::{Store, StoreError};
use crate::value;

/// A change of the properties was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PropertyError {
    #[error(transparent)]
    Invalid(#[from] InvalidArgument),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for PropertyError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            Self::Store(_) => Vec::new(),
        }
    }
}

/// The properties, on disk and in the report.
#[derive(Debug)]
pub(crate) struct NodeProperties {
    store: Arc<Store>,
    reported: Reported,
    current: watch::Sender<Properties>,
}

impl NodeProperties {
    pub(crate) fn new(store: Arc<Store>, reported: Reported) -> Self {
        let current = watch::Sender::default();
        Self {
            store,
            reported,
            current,
        }
    }

    pub(crate) fn current(&self) -> Properties {
        self.current.borrow().clone()
    }

    /// Reads them from disk again, where a desired state may have changed the wanted ones.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        let properties = self.store.run(|store| store.properties()).await?;
        self.show(properties);
        Ok(())
    }

    /// Changes the reported properties by a merge patch.
    pub(crate) async fn update(
        &self,
        patch: serde_json::Value,
    ) -> Result<Properties, PropertyError> {
        let patch = Patch::try_from(patch).map_err(|error| invalid(&[error]))?;
        let changed = self
            .store
            .run(move |store| {
                let now = value::now_millis();
                store.change_properties(|held| held.reported.merge(&patch, now).map(drop))
            })
            .await?;
        let properties = changed.map_err(|errors| invalid(&errors))?;
        self.show(properties.clone());
        Ok(properties)
    }

    fn show(&self, properties: Properties) {
        self.reported.set_properties(&properties.reported);
        self.current.send_replace(properties);
    }
}

fn invalid(errors: &[ShadowError]) -> InvalidArgument {
    let violations = errors.iter().map(|error| {
        let field = match error {
            ShadowError::KeyInvalid { key }
            | ShadowError::NotAScalar { key }
            | ShadowError::ValueTooLarge { key, .. } => format!("reported.{key}"),
            _ => "reported".to_owned(),
        };
        Violation::new(field, error.reason(), error.to_string())
    });
    InvalidArgument {
        violations: violations.collect(),
    }
}
