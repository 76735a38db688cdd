//! What people do to nodes beside declaring them: join, revoke, properties, retry, logs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::fault::{InvalidArgument, Violation};
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_shadow::{Patch, UnixMillis};
use prost::Message as _;
use prost_types::value::Kind as ValueKind;
use serde_json::{Map, Number, Value};

use crate::activation::{Activation, DecommissionRecord, Endpoints, decommission_key, node_key};
use crate::matching::{Matching, WishRecord, wire_properties, wish_key};
use crate::records::{self, ATTEMPTS};
use crate::store::{Commit, Precondition, Store, StoreError, Stored, Write};
use crate::sync::report::{self, PROPERTIES};
use crate::sync::{LogChannel, Parts, Registry};

mod error;
mod logs;
mod reasons;
mod seam;
#[cfg(test)]
mod tests;

pub use error::OperationError;
pub use logs::{LogQuery, LogStream};
pub use reasons::REASONS;

/// The shortest and the longest life of a join token.
const TOKEN_LIFETIME: (Duration, Duration) = (
    Duration::from_secs(60),
    Duration::from_secs(30 * 24 * 60 * 60),
);

/// The life of a join token when nothing is said.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What is run on a device to join it.
pub struct JoinCommand {
    /// The token; shown once.
    pub token: String,
    /// When it lapses.
    pub expire_time: SystemTime,
    /// The command.
    pub command: String,
    /// Address of the cloud API in the command.
    pub address: String,
}

impl std::fmt::Debug for JoinCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinCommand")
            .field("expire_time", &self.expire_time)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The operations; clones share everything.
#[derive(Clone)]
pub struct Operations {
    store: Arc<dyn Store>,
    activation: Activation,
    matching: Arc<Matching>,
    registry: Registry,
    endpoints: Endpoints,
    shutdown: Shutdown,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operations").finish_non_exhaustive()
    }
}

impl Operations {
    /// Puts the operations together; `endpoints` are what devices are told.
    pub fn new(parts: &Parts, endpoints: Endpoints) -> Self {
        let parts = parts.clone();
        Self {
            store: parts.store,
            activation: parts.activation,
            matching: parts.matching,
            registry: parts.registry,
            shutdown: parts.shutdown,
            endpoints,
        }
    }

    async fn node(&self, namespace: &NamespaceName, node: &Name) -> Result<Stored, OperationError> {
        let stored = self.store.get(&node_key(namespace, node)).await?;
        stored.ok_or_else(|| OperationError::NodeNotFound(node.clone()))
    }

    /// Makes a join token, and says what to run on the device. `lifetime` is 1 min to 30 d, 1 h
    /// when nothing is said.
    ///
    /// # Errors
    /// The lifetime is out of bounds; there is no such node; the store fails.
    pub async fn create_join_token(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        lifetime: Option<Duration>,
    ) -> Result<JoinCommand, OperationError> {
        let lifetime = lifetime.unwrap_or(DEFAULT_TOKEN_LIFETIME);
        let (least, most) = TOKEN_LIFETIME;
        if lifetime < least || lifetime > most {
            let description = "must be between 1 minute and 30 days";
            let violation = Violation::new("lifetime", "OUT_OF_BOUNDS", description);
            InvalidArgument::check(vec![violation])?;
        }
        self.node(namespace, node).await?;
        let now = SystemTime::now();
        let made = self
            .activation
            .create_token(namespace, node, lifetime, now)
            .await?;
        let token = made.token.reveal().to_string();
        let host = self
            .endpoints
            .api
            .first()
            .map_or("localhost:9004", String::as_str);
        let address = format!("https://{host}");
        Ok(JoinCommand {
            command: format!("baetyl join --token {token} {address}"),
            token,
            expire_time: made.expire_time,
            address,
        })
    }

    /// Revokes every certificate of a node and cuts its stream; returns how many there were.
    ///
    /// # Errors
    /// There is no such node; the revocation cannot be written down.
    pub async fn revoke(
        &self,
        namespace: &NamespaceName,
        node: &Name,
    ) -> Result<u32, OperationError> {
        self.node(namespace, node).await?;
        let (uid, count) = self.activation.revoke(namespace, node).await?;
        self.registry.cut(&uid);
        tracing::info!(
            namespace = namespace.as_str(),
            node.name = node.as_str(),
            count,
            "certificates revoked"
        );
        Ok(count)
    }

    /// The properties of a node, wanted and reported.
    ///
    /// # Errors
    /// There is no such node; the store fails.
    pub async fn properties(
        &self,
        namespace: &NamespaceName,
        node: &Name,
    ) -> Result<pb::NodeProperties, OperationError> {
        let uid = self.node(namespace, node).await?.uid;
        let key = wish_key(namespace, &uid);
        let wish: records::Versioned<WishRecord> =
            records::read_or_default(&*self.store, &key).await?;
        let desired_times = wish.value.properties.iter();
        let mut properties = pb::NodeProperties {
            desired: wire_properties(&wish.value.properties),
            desired_times: desired_times
                .map(|(key, property)| (key.to_string(), timestamp(property.time)))
                .collect(),
            ..pb::NodeProperties::default()
        };
        for entry in report::entries(&*self.store, namespace, &uid, PROPERTIES).await? {
            // Checked when it came.
            let Ok(value) = prost_types::Value::decode(entry.value) else {
                continue;
            };
            properties
                .reported_times
                .insert(entry.key.clone(), entry.time.into());
            properties.reported.insert(entry.key, value);
        }
        Ok(properties)
    }

    /// Changes the wanted properties of a node by a merge patch, and has the node told.
    ///
    /// # Errors
    /// Every violation; there is no such node; the store fails.
    pub async fn update_properties(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        patch: prost_types::Struct,
    ) -> Result<pb::NodeProperties, OperationError> {
        let patch = Patch::try_from(json_object(patch)).map_err(|error| violated(&[error]))?;
        let millis = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let now = UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX));
        self.change_wish(namespace, node, |wish| {
            let merged = wish.properties.merge(&patch, now);
            let changed = merged.map_err(|errors| violated(&errors))?;
            Ok(!changed.is_empty())
        })
        .await?;
        self.matching.refresh(namespace, node).await?;
        self.properties(namespace, node).await
    }

    /// Has an application tried again on a node where its desired revision failed; returns the
    /// generation that says so.
    ///
    /// # Errors
    /// There is no such node, or the application is not desired there; the store fails.
    pub async fn retry(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        application: &Name,
    ) -> Result<u64, OperationError> {
        self.node(namespace, node).await?;
        let placement = self.matching.placement(namespace, node);
        let is_desired =
            placement.is_some_and(|one| one.applications.contains_key(application.as_str()));
        if !is_desired {
            return Err(OperationError::NotDesired {
                application: application.clone(),
                node: node.clone(),
            });
        }
        self.change_wish(namespace, node, |wish| {
            *wish.retries.entry(application.to_string()).or_default() += 1;
            Ok(true)
        })
        .await?;
        let fence = self.matching.refresh(namespace, node).await?;
        let fence = fence.ok_or_else(|| OperationError::NodeNotFound(node.clone()))?;
        Ok(fence.generation.number())
    }

    /// Changes what is wanted of a node beside applications; `change` says whether it did.
    async fn change_wish(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        change: impl Fn(&mut WishRecord) -> Result<bool, OperationError> + Send,
    ) -> Result<(), OperationError> {
        for _ in 0..ATTEMPTS {
            let uid = self.node(namespace, node).await?.uid;
            let key = wish_key(namespace, &uid);
            let mut wish: records::Versioned<WishRecord> =
                records::read_or_default(&*self.store, &key).await?;
            if !change(&mut wish.value)? {
                return Ok(());
            }
            let commit = Commit {
                preconditions: vec![
                    Precondition::Exists(node_key(namespace, node)),
                    records::unchanged(key.clone(), &wish),
                ],
                writes: vec![records::put(key, &wish.value)],
            };
            match self.store.commit(commit).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OperationError::Busy)
    }

    /// Opens the log of an application on a node. The stream ends by itself at draining; the
    /// node stops sending soon after it is dropped.
    ///
    /// # Errors
    /// There is no such node; it is offline, or has too many channels.
    pub async fn logs(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        query: LogQuery,
    ) -> Result<LogStream, OperationError> {
        let uid = self.node(namespace, node).await?.uid;
        let traceparent = baetyl_service_kit::telemetry::propagation::traceparent();
        let query: wire::LogQuery = query.into();
        let traceparent = traceparent.unwrap_or_default();
        let channel = LogChannel::open(&self.registry, &uid, query, traceparent).await?;
        Ok(logs::stream(channel, &self.shutdown))
    }
}

/// What the commit that deletes a node also writes, so that its device is told whatever happens.
#[must_use]
pub fn decommission(
    namespace: &NamespaceName,
    node: &Name,
    uid: &Uid,
    remove_data: bool,
) -> Vec<Write> {
    let record = DecommissionRecord {
        node: node.clone(),
        remove_data,
        delete_time: SystemTime::now(),
    };
    vec![records::put(decommission_key(namespace, uid), &record)]
}

fn violated(errors: &[baetyl_shadow::Error]) -> OperationError {
    let violations = errors
        .iter()
        .map(|error| Violation::new("desired", error.reason(), error.to_string()))
        .collect();
    OperationError::Invalid(InvalidArgument { violations })
}

fn timestamp(time: UnixMillis) -> prost_types::Timestamp {
    let millis = u64::try_from(time.0).unwrap_or_default();
    (UNIX_EPOCH + Duration::from_millis(millis)).into()
}

fn json_object(object: prost_types::Struct) -> Value {
    let members = object.fields.into_iter();
    Value::Object(
        members
            .map(|(key, value)| (key, json(value)))
            .collect::<Map<_, _>>(),
    )
}

/// Nested values stay what they are, to be refused with the key they stand under; their depth is
/// bounded by the decoder of the message.
fn json(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(ValueKind::NullValue(_)) => Value::Null,
        Some(ValueKind::BoolValue(value)) => Value::Bool(value),
        Some(ValueKind::NumberValue(value)) => {
            Number::from_f64(value).map_or(Value::Null, Value::Number)
        }
        Some(ValueKind::StringValue(value)) => Value::String(value),
        Some(ValueKind::StructValue(value)) => json_object(value),
        Some(ValueKind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(json).collect())
        }
    }
}
