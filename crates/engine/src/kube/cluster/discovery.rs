//! Which resources the cluster has: asked for once per group and version, and kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::super::object::{Object, ObjectKey};
use super::super::wire::null_is_default;
use super::request::{Call, Requests, Trouble, encoded};

/// How soon a group that lacks a kind is asked for again.
const REFRESH_PERIOD: Duration = Duration::from_secs(5);

/// The most groups that are kept; manifests may name any, also those that do not exist.
const MAX_GROUPS: usize = 256;

/// Where objects of one kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// `/api/v1` or `/apis/apps/v1`.
    root: String,
    /// As paths and roles spell it: `deployments`.
    pub(super) plural: String,
    /// Whether its objects live in namespaces.
    pub(super) is_namespaced: bool,
    /// Whether its objects can be applied.
    pub(super) can_patch: bool,
}

impl Resource {
    /// Returns the path of all objects of a namespace, or of the cluster.
    pub(super) fn collection(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) => {
                let namespace = encoded(namespace);
                format!("{}/namespaces/{namespace}/{}", self.root, self.plural)
            }
            None => format!("{}/{}", self.root, self.plural),
        }
    }

    /// Returns the path of one object.
    pub(super) fn path(&self, key: &ObjectKey) -> String {
        let collection = self.collection(key.namespace.as_deref());
        format!("{collection}/{}", encoded(&key.name))
    }
}

/// The resources by group version and kind.
pub(super) type Kinds = BTreeMap<String, Arc<Resource>>;

/// The resources that are known.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    groups: Mutex<HashMap<String, Group>>,
}

#[derive(Debug)]
struct Group {
    looked_at: Instant,
    kinds: Kinds,
}

/// What is known about a kind.
enum Cached {
    Yes(Arc<Resource>),
    /// It was looked for a moment ago.
    No,
    Unknown,
}

impl Discovery {
    /// Finds a kind; `None` when the cluster has none of that name. One request for a group that
    /// was never asked for, or that lacked the kind longer than a moment ago; otherwise none.
    pub(super) async fn resolve(
        &self,
        requests: &Requests,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Arc<Resource>>, Trouble> {
        match self.cached(api_version, kind) {
            Cached::Yes(resource) => return Ok(Some(resource)),
            Cached::No => return Ok(None),
            Cached::Unknown => {}
        }
        let kinds = look(requests, api_version).await?;
        let found = kinds.get(kind).cloned();
        self.keep(api_version, kinds);
        Ok(found)
    }

    /// Takes over what was learned elsewhere about a whole group version.
    pub(super) fn keep(&self, api_version: &str, kinds: Kinds) {
        let mut groups = self.groups.lock();
        if groups.len() >= MAX_GROUPS && !groups.contains_key(api_version) {
            let oldest = groups.iter().min_by_key(|(_, group)| group.looked_at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                groups.remove(&name);
            }
        }
        let looked_at = Instant::now();
        groups.insert(api_version.to_owned(), Group { looked_at, kinds });
    }

    /// Forgets a group version of which something turned out to be no longer there.
    pub(super) fn forget(&self, api_version: &str) {
        self.groups.lock().remove(api_version);
    }

    fn cached(&self, api_version: &str, kind: &str) -> Cached {
        let groups = self.groups.lock();
        let Some(group) = groups.get(api_version) else {
            return Cached::Unknown;
        };
        match group.kinds.get(kind) {
            Some(resource) => Cached::Yes(Arc::clone(resource)),
            None if group.looked_at.elapsed() < REFRESH_PERIOD => Cached::No,
            None => Cached::Unknown,
        }
    }
}

/// Returns the path of a group version; `None` when it cannot be one.
pub(super) fn root(api_version: &str) -> Option<String> {
    let mut parts = api_version.split('/');
    let (first, second) = (parts.next()?, parts.next());
    if parts.next().is_some() || [Some(first), second].contains(&Some("")) {
        return None;
    }
    Some(match second {
        Some(version) => format!("/apis/{}/{}", encoded(first), encoded(version)),
        None => format!("/api/{}", encoded(first)),
    })
}

/// Reads the resources of a group version; none when the cluster does not have it.
pub(super) async fn look(requests: &Requests, api_version: &str) -> Result<Kinds, Trouble> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default, deserialize_with = "null_is_default")]
        resources: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        name: String,
        kind: String,
        #[serde(default)]
        namespaced: bool,
        #[serde(default, deserialize_with = "null_is_default")]
        verbs: Vec<String>,
    }

    let Some(root) = root(api_version) else {
        return Ok(Kinds::new());
    };
    let list: List = match requests.fetch(Call::json(root.clone())).await {
        Ok(list) => list,
        Err(trouble) if trouble.is_not_found() => return Ok(Kinds::new()),
        Err(trouble) => return Err(trouble),
    };
    let mut kinds = Kinds::new();
    for listed in list.resources {
        // `deployments/scale` is a part of something.
        if listed.name.contains('/') {
            continue;
        }
        let resource = Resource {
            root: root.clone(),
            plural: listed.name,
            is_namespaced: listed.namespaced,
            can_patch: listed.verbs.iter().any(|verb| verb == "patch"),
        };
        kinds.entry(listed.kind).or_insert_with(|| resource.into());
    }
    Ok(kinds)
}

/// Takes a resource out of the aggregated list of all APIs.
pub(super) fn aggregated(api_version: &str, listed: &Value) -> Option<(String, Resource)> {
    let text = |pointer: &str| listed.pointer(pointer).and_then(Value::as_str);
    let kind = text("/responseKind/kind")?.to_owned();
    let verbs = listed.get("verbs").and_then(Value::as_array);
    let resource = Resource {
        root: root(api_version)?,
        plural: text("/resource")?.to_owned(),
        is_namespaced: text("/scope")? == "Namespaced",
        can_patch: verbs.is_some_and(|verbs| verbs.iter().any(|verb| verb == "patch")),
    };
    Some((kind, resource))
}

/// Returns the kinds that the definitions among the objects define, by group version and kind.
pub(super) fn defined(objects: &[Object]) -> BTreeMap<(String, String), Arc<Resource>> {
    let mut found = BTreeMap::new();
    for object in objects.iter().filter(|object| is_definition(object.key())) {
        let spec = &object.body()["spec"];
        let (Some(group), Some(kind), Some(plural)) = (
            spec["group"].as_str(),
            spec["names"]["kind"].as_str(),
            spec["names"]["plural"].as_str(),
        ) else {
            // The server says what is wrong with it.
            continue;
        };
        let versions = spec["versions"].as_array().into_iter().flatten();
        for version in versions.filter(|version| version["served"] == true) {
            let Some(name) = version["name"].as_str() else {
                continue;
            };
            let api_version = format!("{group}/{name}");
            let Some(root) = root(&api_version) else {
                continue;
            };
            let resource = Resource {
                root,
                plural: plural.to_owned(),
                is_namespaced: spec["scope"] == "Namespaced",
                can_patch: true,
            };
            found.insert((api_version, kind.to_owned()), resource.into());
        }
    }
    found
}

/// Whether an object defines a kind.
pub(super) fn is_definition(key: &ObjectKey) -> bool {
    key.group() == "apiextensions.k8s.io" && key.kind == "CustomResourceDefinition"
}

#[cfg(test)]
mod tests;
