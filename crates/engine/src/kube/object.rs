//! Objects of the cluster as they are applied, and the keys that name them.

use std::fmt;
use std::sync::Arc;

use baetyl_shadow::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names an object of the cluster. Text form: `ConfigMap baetyl-edge/limits`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Group and version, for example `apps/v1`; `v1` for the core group.
    pub api_version: String,
    /// Its kind, for example `Deployment`.
    pub kind: String,
    /// Its namespace; `None` for objects of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// Names an object of a namespace.
    #[must_use]
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }

    /// Returns the API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// Whether both name the same object, perhaps in different versions of its API.
    #[must_use]
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.group() == other.group()
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {}/{}", self.kind, namespace, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object as it is applied: exactly the fields that we want to own.
///
/// Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Object {
    key: ObjectKey,
    body: Arc<Value>,
}

impl fmt::Debug for Object {
    /// Only the key: bodies of secrets must not be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.key).finish()
    }
}

/// A value is no object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct ObjectError {
    /// Which field: `metadata.name`.
    pub field: &'static str,
    /// What is wrong with it: `must be text`.
    pub problem: &'static str,
}

impl Object {
    /// Takes a value with `apiVersion`, `kind` and `metadata.name`.
    ///
    /// # Errors
    /// One of these is not there or is no text.
    pub fn try_new(body: Value) -> Result<Self, ObjectError> {
        let text = |pointer: &str, field: &'static str| match body.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::String(_)) | None => Err(ObjectError {
                field,
                problem: "is required",
            }),
            Some(_) => Err(ObjectError {
                field,
                problem: "must be text",
            }),
        };
        let key = ObjectKey {
            api_version: text("/apiVersion", "apiVersion")?,
            kind: text("/kind", "kind")?,
            name: text("/metadata/name", "metadata.name")?,
            namespace: match body.pointer("/metadata/namespace") {
                None | Some(Value::Null) => None,
                Some(_) => Some(text("/metadata/namespace", "metadata.namespace")?),
            },
        };
        let body = Arc::new(body);
        Ok(Self { key, body })
    }

    /// Returns its key.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Returns what is applied.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// Returns the SHA-256 of what is applied; equal objects have equal digests.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Maps of `Value` are sorted, so that the text is the same for equal objects.
        Digest::of(self.body.to_string().as_bytes())
    }

    /// Changes the body; the key stays what it is.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(Arc::make_mut(&mut self.body));
        debug_assert_eq!(
            Self::try_new(Value::clone(&self.body)).map(|object| object.key),
            Ok(self.key.clone())
        );
    }
}
