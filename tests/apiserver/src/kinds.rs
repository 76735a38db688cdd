//! The kinds that the server serves: built in, and added by custom resource definitions.

mod custom;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::refusal::About;
use crate::schema::{Node, Schema, TypeId};

pub(crate) use custom::{accepted_names, kind_of_definition};

/// The resource that adds kinds.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// A kind, or what is known of it by its resource.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Plural and group: `deployments.apps`, `pods`.
    pub(crate) resource: Arc<str>,
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) is_namespaced: bool,
    pub(crate) has_scale: bool,
    /// Which writes count as a new generation.
    pub(crate) generation: Generation,
    /// Whether deleting answers with the object rather than with a status.
    pub(crate) returns_deleted: bool,
    /// Served versions, the preferred one first. Objects are stored as the first says.
    pub(crate) versions: Vec<Version>,
}

/// Which writes raise `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The kind has none.
    Never,
    /// Changes of `spec`.
    Spec,
    /// Changes of `spec` and of annotations.
    SpecAndAnnotations,
    /// Every change but of metadata and, where it is kept apart, of `status`.
    Content,
}

/// One version of a kind.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    /// Whether status is written by a path of its own.
    pub(crate) has_status: bool,
    schema: Arc<Schema>,
    root: TypeId,
}

impl Version {
    pub(crate) fn node(&self) -> Node<'_> {
        self.schema.node(self.root)
    }
}

impl Kind {
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    pub(crate) fn storage(&self) -> &Version {
        self.versions.first().expect("a kind has a version")
    }

    pub(crate) fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.storage().node().is_custom()
    }

    /// For refusals that name the resource.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            group: &self.group,
            noun: &self.plural,
        }
    }

    /// For refusals that name the kind.
    pub(crate) fn about_kind(&self) -> About<'_> {
        About {
            group: &self.group,
            noun: &self.kind,
        }
    }

    /// The object as a request for this version sees it.
    pub(crate) fn present(&self, version: &Version, object: &Arc<Value>) -> Arc<Value> {
        if version.name == self.storage().name {
            return Arc::clone(object);
        }
        let mut copy = Value::clone(object);
        copy["apiVersion"] = self.api_version(&version.name).into();
        Arc::new(copy)
    }
}

/// Every kind, by resource.
#[derive(Debug)]
pub(crate) struct Kinds(BTreeMap<Arc<str>, Arc<Kind>>);

impl Kinds {
    pub(crate) fn built_in() -> Self {
        let kinds = table::kinds().map(|kind| (Arc::clone(&kind.resource), Arc::new(kind)));
        Self(kinds.collect())
    }

    /// Finds a kind by `deployments.apps`.
    pub(crate) fn get(&self, resource: &str) -> Option<&Arc<Kind>> {
        self.0.get(resource)
    }

    /// Finds a kind by the parts of a path.
    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        match group {
            "" => self.get(plural),
            group => self.get(&format!("{plural}.{group}")),
        }
    }

    /// Finds a kind by what objects say of themselves.
    pub(crate) fn of_object(&self, object: &Value) -> Option<&Arc<Kind>> {
        let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.0.values().find(|known| {
            known.group == group && known.kind == kind && known.version(version).is_some()
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.values()
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        self.0.insert(Arc::clone(&kind.resource), Arc::new(kind));
    }

    /// Takes a kind away that a definition added; built-in ones stay.
    pub(crate) fn remove(&mut self, resource: &str) {
        if self.get(resource).is_some_and(|kind| kind.is_custom()) {
            self.0.remove(resource);
        }
    }
}

#[cfg(test)]
mod tests;
