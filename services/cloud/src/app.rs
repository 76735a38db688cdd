//! What the API does with resources: one way for every kind.
//!
//! | module | what |
//! |---|---|
//! | [`write`](mod@write) | create and update |
//! | [`delete`] | delete, with protection of what is in use |
//! | [`list`] | pages that stay stable under writes |
//! | [`watch`] | changes in order, with resume |
//! | [`apply`] | whole sets in one commit |
//! | [`history`] | revisions and rollback |
//!
//! Every write is a loop: read, decide, commit with preconditions that say what was read. When
//! one does not hold, somebody was faster, and everything is decided again from what is there
//! now; so the decision, not the commit, names the error.

use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::{Kind, Message, Name, NamespaceName, Recorded, Resource, Violation};
use baetyl_service_kit::telemetry::propagation;

use crate::auth::{Caller, Tokens, default_namespace};
use crate::error::{Error, Missing};
use crate::seam::{ImpactPreview, NodeOperations};
use crate::store::{Commit, Key, Precondition, Store, StoreError, Stored};

pub mod apply;
mod check;
pub mod delete;
mod feed;
pub mod history;
pub mod list;
mod opaque;
mod request;
pub mod watch;
pub mod write;

pub use request::{REQUEST_LIFETIME, purge_requests};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What the API does with resources.
pub struct App {
    store: Arc<dyn Store>,
    nodes: Arc<dyn NodeOperations>,
    impact: Arc<dyn ImpactPreview>,
    tokens: Tokens,
    clock: Clock,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// A resource as it is stored, or as it would be.
#[derive(Clone, Debug)]
pub struct View {
    /// The revision.
    pub stored: Stored,
    /// What it says.
    pub resource: Resource,
    /// Whether it is really there; not so when a request was only checked.
    pub is_stored: bool,
}

impl View {
    pub(crate) fn of(stored: Stored) -> Result<Self, Error> {
        let resource = decoded(&stored)?;
        Ok(Self {
            stored,
            resource,
            is_stored: true,
        })
    }

    /// Returns what people read; without the values of a secret.
    pub fn message(&self) -> Message {
        self.recorded(self.resource.clone().into_view())
    }

    /// Returns what people read, with the values of a secret.
    pub fn message_with_values(&self) -> Message {
        self.recorded(self.resource.clone().into_view_with_values())
    }

    fn recorded(&self, mut message: Message) -> Message {
        if self.is_stored {
            message.set_recorded(&recorded(&self.stored));
        }
        message
    }
}

/// How a stored revision is shown.
pub(crate) fn recorded(stored: &Stored) -> Recorded<'_> {
    Recorded {
        uid: &stored.uid,
        revision: stored.revision,
        digest: stored.digest,
        create_time: stored.create_time,
        update_time: stored.update_time,
    }
}

fn decoded(stored: &Stored) -> Result<Resource, Error> {
    Resource::decode(stored.key.kind, &stored.body).map_err(|source| Error::Unreadable {
        key: stored.key.clone(),
        source,
    })
}

/// Names the resource of a tenant itself.
pub(crate) fn namespace_key(namespace: &NamespaceName) -> Key {
    Key {
        namespace: namespace.clone(),
        kind: Kind::Namespace,
        name: namespace.clone().into(),
    }
}

impl App {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        nodes: Arc<dyn NodeOperations>,
        impact: Arc<dyn ImpactPreview>,
    ) -> Self {
        Self::with_clock(store, nodes, impact, Arc::new(SystemTime::now))
    }

    /// As [`App::new`], with another clock.
    pub fn with_clock(
        store: Arc<dyn Store>,
        nodes: Arc<dyn NodeOperations>,
        impact: Arc<dyn ImpactPreview>,
        clock: Clock,
    ) -> Self {
        Self {
            tokens: Tokens::new(store.clone()),
            store,
            nodes,
            impact,
            clock,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Returns the bearer tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Returns the identity of the store.
    pub fn store_id(&self) -> &str {
        self.store.id()
    }

    /// Reads one resource.
    ///
    /// # Errors
    /// The caller may not, there is none, or the store fails.
    pub async fn get(
        &self,
        caller: &Caller,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<View, Error> {
        let key = key(caller, kind, namespace, name)?;
        let stored = self.store.get(&key).await?;
        View::of(stored.ok_or_else(|| Error::not_found(&key))?)
    }

    /// Counts the resources of a kind.
    ///
    /// # Errors
    /// The caller may not, or the store fails.
    pub async fn count(&self, caller: &Caller, kind: Kind, namespace: &str) -> Result<u32, Error> {
        let feed = feed::Feed::new(tenant(caller, kind, namespace)?, kind);
        let mut count = 0_u32;
        let mut after = None;
        loop {
            let (page, is_last) = feed.resources(&*self.store, after.as_ref()).await?;
            count = count.saturating_add(u32::try_from(page.len()).unwrap_or(u32::MAX));
            if is_last {
                return Ok(count);
            }
            after = page.last().map(|stored| stored.key.name.clone());
        }
    }

    /// Makes the next revision of a resource; the first one when there is no `before`.
    fn revision(
        &self,
        key: Key,
        before: Option<&Stored>,
        resource: Resource,
        author: &str,
    ) -> Result<View, Error> {
        let now = self.now();
        let resource = resource.for_new_revision();
        let body = resource.encode();
        let next = match before {
            None => baetyl_model::Revision::FIRST,
            Some(before) => before.revision.next().ok_or(Error::Contended)?,
        };
        let stored = Stored {
            key,
            uid: before.map_or_else(baetyl_model::Uid::random, |before| before.uid.clone()),
            revision: next,
            digest: baetyl_model::Digest::of(&body),
            body,
            labels: resource.selectable_labels(),
            references: resource.references(),
            author: author.to_owned(),
            create_time: before.map_or(now, |before| before.create_time),
            update_time: now,
        };
        Ok(View {
            stored,
            resource,
            is_stored: false,
        })
    }

    /// Commits; `false` when a precondition did not hold and everything is to be decided again.
    async fn commit(&self, commit: Commit) -> Result<bool, Error> {
        if let Some(traceparent) = propagation::traceparent() {
            self.impact.announce(&commit, &traceparent);
        }
        match self.store.commit(commit).await {
            Ok(()) => Ok(true),
            Err(StoreError::Precondition(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that the tenant of a resource exists.
    async fn check_namespace(&self, namespace: &NamespaceName) -> Result<(), Error> {
        if self.store.get(&namespace_key(namespace)).await?.is_some() {
            return Ok(());
        }
        Err(Error::NamespaceNotFound(namespace.clone()))
    }

    /// Returns the inputs of a revision that do not exist.
    async fn missing(&self, stored: &Stored) -> Result<Vec<Missing>, Error> {
        let mut missing = Vec::new();
        for input in inputs(stored) {
            if self.store.get(&input).await?.is_none() {
                let user = stored.key.clone();
                missing.push(Missing { user, input });
            }
        }
        Ok(missing)
    }
}

/// What a revision refers to, in its own tenant.
fn inputs(stored: &Stored) -> impl Iterator<Item = Key> + '_ {
    stored.references.iter().map(|(kind, name)| Key {
        namespace: stored.key.namespace.clone(),
        kind: *kind,
        name: name.clone(),
    })
}

/// Says that a resource is as it was read: this revision, or not there.
fn as_read(key: &Key, read: Option<&Stored>) -> Precondition {
    match read {
        None => Precondition::Absent(key.clone()),
        Some(read) => Precondition::At(key.clone(), read.uid.clone(), read.revision),
    }
}

/// Names what a request is about; the caller must be allowed to.
pub(crate) fn key(caller: &Caller, kind: Kind, namespace: &str, name: &str) -> Result<Key, Error> {
    if kind == Kind::Namespace {
        caller.insist_on_all()?;
        let name = parsed("name", name, NamespaceName::parse)?;
        return Ok(namespace_key(&name));
    }
    Ok(Key {
        namespace: caller.namespace(namespace)?,
        kind,
        name: parsed("name", name, Name::parse)?,
    })
}

/// The tenant of a list or watch; tenants themselves are for who may see all of them.
fn tenant(caller: &Caller, kind: Kind, namespace: &str) -> Result<NamespaceName, Error> {
    if kind == Kind::Namespace {
        caller.insist_on_all()?;
        return Ok(default_namespace());
    }
    caller.namespace(namespace)
}

/// Reads an identifier of a request.
pub(crate) fn parsed<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Result<T, baetyl_model::IdError>,
) -> Result<T, Error> {
    if text.is_empty() {
        return Err(Error::field(field, "REQUIRED", "must be set"));
    }
    parse(text).map_err(|error| Error::field(field, error.reason, error.description))
}

/// Gives a message its tenant: the one that the request names, else the one that the message
/// names, else the caller's own.
fn settle_namespace(caller: &Caller, asked: &str, message: &mut Message) -> Result<(), Error> {
    if message.kind() == Kind::Namespace {
        return caller.insist_on_all();
    }
    let written = message.namespace();
    if !asked.is_empty() && !written.is_empty() && asked != written {
        let description = format!("must be {asked:?} as in the request, got {written:?}");
        return Err(Error::field("namespace", "CONFLICT", description));
    }
    let asked = if asked.is_empty() { written } else { asked };
    let namespace = caller.namespace(asked)?;
    message.set_namespace(&namespace);
    Ok(())
}

/// The key of a checked resource.
fn key_of(resource: &Resource) -> Result<Key, Error> {
    // Both were checked when the resource was made.
    let namespace = parsed("namespace", resource.namespace(), NamespaceName::parse)?;
    Ok(Key {
        namespace,
        kind: resource.kind(),
        name: resource.name().clone(),
    })
}

/// A request without its resource.
fn required(kind: Kind) -> Error {
    Error::field(kind.word(), "REQUIRED", "must be set")
}

/// All or nothing: the violations of a request together with those of its resource.
fn checked(
    mut violations: Vec<Violation>,
    resource: Result<Resource, Vec<Violation>>,
) -> Result<Resource, Error> {
    match resource {
        Ok(resource) if violations.is_empty() => Ok(resource),
        Ok(_) => Err(Error::violations(violations)),
        Err(more) => {
            violations.extend(more);
            Err(Error::violations(violations))
        }
    }
}

#[cfg(test)]
mod tests;
