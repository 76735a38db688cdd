//! The administrator in process: what the server stores, without HTTP.

mod changes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::json::Body;
use crate::kinds::Kind;
use crate::object::{Key, meta_text};
use crate::refusal::{About, Refusal};
use crate::rest::{DeleteOptions, Patch, PatchFormat, Target, WriteOptions};
use crate::selector::LabelSelector;
use crate::shared::Shared;

pub use changes::{Change, Changes};

/// An administrator in process. It may do everything; what it does follows the same rules as
/// requests, but meets no faults and is not logged.
///
/// Resources are named as people do: `pods`, `deployments.apps`, `widgets.example.com`. The
/// namespace of objects of the whole cluster is empty.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    manager: String,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// What becomes of its dependents; the kind decides when it is `None`.
    pub propagation: Option<Propagation>,
    /// Seconds that a running pod has; the pod decides when it is `None`.
    pub grace_seconds: Option<i64>,
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// Only this version of it.
    pub resource_version: Option<String>,
}

impl Deletion {
    /// Deletes a pod that has ended: what the kubelet does.
    #[must_use]
    pub fn now() -> Self {
        Self {
            grace_seconds: Some(0),
            ..Self::default()
        }
    }
}

/// What becomes of the dependents of an object that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

impl Propagation {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "Orphan" => Some(Self::Orphan),
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            _ => None,
        }
    }
}

/// The level that was waited for did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it did not come to that within {limit:?}")]
pub struct WaitError {
    /// How long was waited.
    pub limit: Duration,
}

impl Store {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            manager: "administrator".to_owned(),
        }
    }

    /// The same store under another field manager, for example `kubelet`.
    #[must_use]
    pub fn named(&self, manager: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            manager: manager.to_owned(),
        }
    }

    /// Returns the newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.with(|state| state.version())
    }

    /// Returns an object.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = Key::new(namespace, name);
        self.shared.with(|state| state.get(resource, &key).cloned())
    }

    /// Returns the objects of a namespace, or of all when it is empty, in the order of their names.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.shared.with(|state| {
            let objects = state.objects(resource, namespace);
            objects.map(|(_, object)| Arc::clone(object)).collect()
        })
    }

    /// Returns those of [`list`](Self::list) that a label selector matches; none when it is no
    /// selector.
    #[must_use]
    pub fn select(&self, resource: &str, namespace: &str, labels: &str) -> Vec<Arc<Value>> {
        let Ok(selector) = LabelSelector::parse(labels) else {
            return Vec::new();
        };
        let mut found = self.list(resource, namespace);
        found.retain(|object| selector.matches(object));
        found
    }

    /// Creates an object. `apiVersion` and `kind` may be left out.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn create(
        &self,
        resource: &str,
        namespace: &str,
        mut object: Value,
    ) -> Result<Arc<Value>, Refusal> {
        let mut target = self.target(resource, namespace, "")?;
        if object["apiVersion"].is_null() {
            object["apiVersion"] = json!(target.api_version());
        }
        if object["kind"].is_null() {
            object["kind"] = json!(target.kind.kind);
        }
        if target.namespace.is_empty() {
            target.namespace = place(&target.kind, meta_text(&object, "namespace"));
        }
        let body = Body {
            value: object,
            duplicates: Vec::new(),
        };
        let options = self.options();
        let outcome = self
            .shared
            .with(|state| state.create(&target, body, &options))?;
        Ok(outcome.object)
    }

    /// Reads an object, lets it be changed, and writes it; nothing comes in between. The status of
    /// kinds that keep it apart stays what it is.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn edit(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Refusal> {
        self.edit_part(resource, namespace, name, "", change)
    }

    /// As [`edit`](Self::edit), for the status: of custom resources nothing else is kept, of other
    /// kinds metadata too.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn edit_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Refusal> {
        self.edit_part(resource, namespace, name, "status", change)
    }

    /// Gives a pod to a node: what the scheduler does.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<Arc<Value>, Refusal> {
        self.edit_part("pods", namespace, pod, "binding", |object| {
            object["spec"]["nodeName"] = json!(node);
        })
    }

    fn edit_part(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Refusal> {
        let mut target = self.target(resource, namespace, name)?;
        target.subresource = subresource.to_owned();
        let options = self.options();
        self.shared.with(|state| {
            let live = state.get(resource, &target.key()).cloned();
            let live = live.ok_or_else(|| target.not_found())?;
            let mut value = Value::clone(&live);
            change(&mut value);
            let body = Body {
                value,
                duplicates: Vec::new(),
            };
            state
                .update(&target, body, &options)
                .map(|outcome| outcome.object)
        })
    }

    /// Applies an object by server-side apply, by force. Without a namespace it goes to `default`.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn apply(&self, object: &Value) -> Result<Arc<Value>, Refusal> {
        let kind = self
            .shared
            .with(|state| state.kinds.of_object(object).cloned());
        let kind = kind.ok_or_else(Refusal::no_route)?;
        let namespace = place(&kind, meta_text(object, "namespace"));
        let mut target = target(kind, &namespace, meta_text(object, "name"));
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let version = api_version.rsplit('/').next().unwrap_or_default();
        version.clone_into(&mut target.version);
        let mut options = self.options();
        options.is_forced = true;
        let body = object.to_string();
        let patch = Patch {
            format: PatchFormat::Apply,
            body: body.as_bytes(),
        };
        let outcome = self
            .shared
            .with(|state| state.patch(&target, patch, &options))?;
        Ok(outcome.object)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The refusal of the server.
    pub fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        how: Deletion,
    ) -> Result<(), Refusal> {
        let target = self.target(resource, namespace, name)?;
        let options = DeleteOptions {
            propagation: how.propagation,
            grace_seconds: how.grace_seconds,
            uid: how.uid,
            resource_version: how.resource_version,
        };
        self.shared
            .with(|state| state.delete(&target, &options, false))
            .map(|_| ())
    }

    /// Serves the kind of a definition that was created while
    /// [`establish_crds`](crate::Options::establish_crds) is off.
    ///
    /// # Errors
    /// There is no such definition.
    pub fn establish(&self, definition: &str) -> Result<(), Refusal> {
        self.shared.with(|state| state.establish(definition))
    }

    /// Says whether somebody plays the kubelet from now on; see
    /// [`kubelet`](crate::Options::kubelet).
    pub fn set_kubelet(&self, is_played: bool) {
        self.shared.with(|state| state.options.kubelet = is_played);
    }

    /// Reads every change from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes_since(self.version())
    }

    /// Reads every change after a version.
    #[must_use]
    pub fn changes_since(&self, version: u64) -> Changes {
        Changes::since(Arc::clone(&self.shared), version)
    }

    /// Follows the version, which every change raises.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.shared.versions()
    }

    /// Looks now and after every change until something is found.
    ///
    /// # Errors
    /// It was not found in time.
    pub async fn wait_for<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, WaitError> {
        let mut versions = self.shared.versions();
        let search = async {
            loop {
                versions.mark_unchanged();
                if let Some(found) = look(self) {
                    return found;
                }
                // The sender lives as long as this store.
                if versions.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let found = tokio::time::timeout(limit, search).await;
        found.map_err(|_| WaitError { limit })
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            manager: self.manager.clone(),
            ..WriteOptions::default()
        }
    }

    fn target(&self, resource: &str, namespace: &str, name: &str) -> Result<Target, Refusal> {
        let kind = self.shared.with(|state| state.kinds.get(resource).cloned());
        let about = About {
            group: "",
            noun: resource,
        };
        let kind = kind.ok_or_else(|| Refusal::not_found(about, name))?;
        Ok(target(kind, namespace, name))
    }
}

fn target(kind: Arc<Kind>, namespace: &str, name: &str) -> Target {
    let version = kind.storage().name.clone();
    Target {
        kind,
        version,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    }
}

/// The namespace of an object that names one, or none.
fn place(kind: &Kind, namespace: &str) -> String {
    match (kind.is_namespaced, namespace) {
        (false, _) => String::new(),
        (true, "") => "default".to_owned(),
        (true, namespace) => namespace.to_owned(),
    }
}
