//! What requests do to the state: the same for HTTP and for the administrator in process.

mod create;
mod delete;
mod intake;
mod namespaces;
mod patch;
mod read;
mod scale;
mod settle;
mod update;

use std::sync::Arc;

use serde_json::Value;

use crate::kinds::{Kind, Version};
use crate::object::Key;
use crate::refusal::Refusal;
use crate::state::ObjectId;

pub(crate) use delete::{DeleteOptions, Deleted};
pub(crate) use patch::{Patch, PatchFormat};
pub(crate) use read::{List, ListQuery, read_list_version};

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    /// Version of the path.
    pub(crate) version: String,
    /// Empty: the whole cluster, or all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    /// Empty, or what follows the name.
    pub(crate) subresource: String,
}

impl Target {
    pub(crate) fn version(&self) -> &Version {
        self.kind
            .version(&self.version)
            .unwrap_or_else(|| self.kind.storage())
    }

    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(&self.version().name)
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    pub(crate) fn id(&self) -> ObjectId {
        ObjectId {
            resource: Arc::clone(&self.kind.resource),
            key: self.key(),
        }
    }

    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::not_found(self.kind.about(), &self.name)
    }

    pub(crate) fn present(&self, object: &Arc<Value>) -> Arc<Value> {
        self.kind.present(self.version(), object)
    }
}

/// What becomes of fields that the kind does not know, or that are there twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Strict,
    #[default]
    Warn,
    Ignore,
}

/// How something is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) manager: String,
    pub(crate) is_dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// Of applies: take over what others own.
    pub(crate) is_forced: bool,
    /// Whether an apply may create; false when the user may only patch.
    pub(crate) may_create: Option<Refusal>,
}

/// What was written.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) object: Arc<Value>,
    pub(crate) is_created: bool,
    /// Texts of `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// What follows from a write.
#[derive(Clone, Debug)]
pub(crate) enum Chore {
    /// The definition of a kind was written.
    Defined(ObjectId),
    /// An object that has owners was written.
    Owned(ObjectId),
    /// An object that is being deleted was written.
    Deleting(ObjectId),
    /// An object is gone; with its last state.
    Gone(ObjectId, Arc<Value>),
}

#[cfg(test)]
mod tests;
