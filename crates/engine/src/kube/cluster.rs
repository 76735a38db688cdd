//! The client side of the cluster: checks a set of objects without changing anything, applies it in
//! order, repairs, replaces and deletes.
//!
//! Everything may be repeated, and may be stopped between any two requests: what is left is a
//! state that the same call makes whole. Nothing is asked for twice without need:
//!
//! | call | requests |
//! |---|---|
//! | every one of these | 1 for each group version (`apps/v1`) that was never looked at |
//! | [`Cluster::check`] | per object 1 dry run, and 1 to look whose it is when that is not known; 1 more dry run where an edit by hand is in the way, 1 to look at a workload that must be replaced |
//! | [`Cluster::apply`] | per object 1, and 1 more in the same cases; a definition also 1 watch until it is established; a deferred object its dry run; a replaced one 1 delete and, while it goes, 1 look and 1 watch |
//! | [`Cluster::repair`] | 1, or 2 where an edit by hand is in the way; 1 more when its uid is not known |
//! | [`Cluster::delete`] | per object 1, and 1 more when its uid is not known; a definition 3 more, a namespace 18 more, to see that nothing of others goes with it |
//! | [`Cluster::touch_pods`] | 1 per pod |
//! | [`Cluster::hold_replicas`] | 1 |
//! | [`Cluster::capabilities`] | 3, at most every 5 minutes |
//!
//! A write that lost a race (409) is sent again up to three times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BufferUnordered};
use kube::Client;

use self::capabilities::CapabilityCache;
use self::discovery::{Discovery, Resource, defined};
use self::order::{Wave, wave};
use self::request::Requests;
use super::facts::ObjectFacts;
use super::manifest::Scope;
use super::object::{Object, ObjectKey};
use super::settings::KubeSettings;
use crate::reason;

pub use self::apply::{Applied, AppliedObject, ApplyFailure};
pub use self::capabilities::Capabilities;
pub use self::check::{Checked, Replacement};
pub use self::delete::Deleted;
pub use self::rejection::{ObjectViolation, Rejection};

mod apply;
mod capabilities;
mod check;
mod conflict;
mod deferred;
mod delete;
mod discovery;
mod keeping;
mod order;
mod pods;
mod put;
mod reading;
mod reclaim;
mod rejection;
mod repair;
mod replace;
mod request;
mod scale;
mod settle;

/// How many requests of one call are on their way at the same time: a part of what all together may
/// send, so that an application whose requests take long leaves room for the others.
const CONCURRENCY: usize = 4;

/// What the watches show of an application's objects.
pub type Known = BTreeMap<ObjectKey, ObjectFacts>;

/// How objects are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Whether fields that somebody else declares are taken over. Edits by hand always are.
    pub force_conflicts: bool,
}

/// The client side of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    requests: Requests,
    settings: Arc<KubeSettings>,
    discovery: Arc<Discovery>,
    capabilities: Arc<CapabilityCache>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("owner", &self.settings.owner)
            .finish_non_exhaustive()
    }
}

/// Whether objects of a kind live in namespaces, for the kinds of one set.
#[derive(Clone, Debug, Default)]
pub struct Scopes(BTreeMap<(String, String), Scope>);

impl Scopes {
    /// Returns the scope of a kind; `None` when the cluster does not know it.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str) -> Option<Scope> {
        let key = (api_version.to_owned(), kind.to_owned());
        self.0.get(&key).copied()
    }
}

impl Cluster {
    /// Takes the client. Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, settings: Arc<KubeSettings>) -> Self {
        Self {
            requests: Requests::new(client),
            settings,
            discovery: Arc::default(),
            capabilities: Arc::default(),
        }
    }

    /// Returns the client.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.requests.client()
    }

    /// Finds out which kinds among the objects live in namespaces; those that the set itself
    /// defines count. A kind that the cluster does not know is left out.
    ///
    /// # Errors
    /// [`Rejection`], passing, when the cluster could not be asked.
    pub async fn scopes(&self, objects: &[Object]) -> Result<Scopes, Rejection> {
        let (resources, _) = self.resources(objects).await?;
        let scopes = resources.into_iter().map(|(kind, resource)| {
            let scope = if resource.is_namespaced {
                Scope::Namespaced
            } else {
                Scope::Cluster
            };
            (kind, scope)
        });
        Ok(Scopes(scopes.collect()))
    }

    /// Finds the resource of every kind among the objects, and which of these the set itself
    /// defines.
    async fn resources(&self, objects: &[Object]) -> Result<(ResourceMap, KindSet), Rejection> {
        let own = defined(objects);
        let kinds: BTreeSet<(String, String)> = objects
            .iter()
            .map(|object| (object.key().api_version.clone(), object.key().kind.clone()))
            .collect();
        let mut found = ResourceMap::new();
        for (api_version, kind) in kinds {
            let resource = match own.get(&(api_version.clone(), kind.clone())) {
                Some(resource) => Some(Arc::clone(resource)),
                None => self.resource(&api_version, &kind).await?,
            };
            if let Some(resource) = resource {
                found.insert((api_version, kind), resource);
            }
        }
        Ok((found, own.into_keys().collect()))
    }

    async fn resource(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Arc<Resource>>, Rejection> {
        let found = self
            .discovery
            .resolve(&self.requests, api_version, kind)
            .await;
        found.map_err(|trouble| {
            Rejection::of_trouble(&format!("look up kind {kind} of {api_version}"), &trouble)
        })
    }

    /// Finds where each object is; what cannot be there is a violation.
    async fn targets<'a>(
        &self,
        objects: &'a [Object],
    ) -> Result<(Vec<Target<'a>>, Vec<ObjectViolation>), Rejection> {
        let (resources, own) = self.resources(objects).await?;
        let namespaces: BTreeSet<&str> = objects
            .iter()
            .filter(|object| wave(object.key()) == Wave::Namespaces)
            .map(|object| object.key().name.as_str())
            .collect();
        let mut targets = Vec::new();
        let mut violations = Vec::new();
        for object in objects {
            let key = object.key();
            let kind = (key.api_version.clone(), key.kind.clone());
            let Some(resource) = resources.get(&kind) else {
                violations.push(unknown_kind(key));
                continue;
            };
            match misplaced(key, resource) {
                Some(violation) => violations.push(violation),
                None => targets.push(Target {
                    object,
                    resource: Arc::clone(resource),
                    is_own_kind: own.contains(&kind),
                    is_own_namespace: key
                        .namespace
                        .as_deref()
                        .is_some_and(|namespace| namespaces.contains(namespace)),
                }),
            }
        }
        Ok((targets, violations))
    }
}

/// Resources by group version and kind.
type ResourceMap = BTreeMap<(String, String), Arc<Resource>>;

/// Kinds by group version and name.
type KindSet = BTreeSet<(String, String)>;

/// An object, and where it is.
#[derive(Clone, Debug)]
struct Target<'a> {
    object: &'a Object,
    resource: Arc<Resource>,
    /// Whether its kind is defined in the same set.
    is_own_kind: bool,
    /// Whether its namespace is made by the same set.
    is_own_namespace: bool,
}

impl Target<'_> {
    fn key(&self) -> &ObjectKey {
        self.object.key()
    }

    fn path(&self) -> String {
        self.resource.path(self.key())
    }
}

fn unknown_kind(key: &ObjectKey) -> ObjectViolation {
    let (kind, version) = (&key.kind, &key.api_version);
    let message = format!("the cluster has no kind {kind} in {version}");
    ObjectViolation::new(key, "kind", reason::KIND_NOT_FOUND, message)
}

fn misplaced(key: &ObjectKey, resource: &Resource) -> Option<ObjectViolation> {
    let fault = |field: &str, message: &str| {
        ObjectViolation::new(key, field, reason::INVALID_OBJECT, message)
    };
    if !resource.can_patch {
        return Some(fault("kind", "objects of this kind cannot be applied"));
    }
    // A server takes these parts out of a path, and would see another one.
    if [".", ".."].contains(&key.name.as_str()) {
        return Some(fault("metadata.name", "must be a name"));
    }
    match (&key.namespace, resource.is_namespaced) {
        (None, true) => Some(fault("metadata.namespace", "is required for this kind")),
        (Some(_), false) => Some(fault(
            "metadata.namespace",
            "must not be set: this kind has no namespaces",
        )),
        (Some(namespace), true) if [".", ".."].contains(&namespace.as_str()) => {
            Some(fault("metadata.namespace", "must be a name"))
        }
        _ => None,
    }
}

/// Runs requests, a few at a time, in no order. All are made at once: a stream that makes them from
/// references is not `Send`.
fn abreast<F: Future>(
    requests: impl Iterator<Item = F>,
) -> BufferUnordered<stream::Iter<std::vec::IntoIter<F>>> {
    stream::iter(requests.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY)
}

/// Finds what the watches show of an object, perhaps in another version of its API.
fn seen<'a>(known: &'a Known, key: &ObjectKey) -> Option<&'a ObjectFacts> {
    known.get(key).or_else(|| {
        let mut others = known.iter();
        let same = others.find(|(other, _)| other.is_same_object(key));
        same.map(|(_, facts)| facts)
    })
}
