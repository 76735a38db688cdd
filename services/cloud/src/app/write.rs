//! Create and update.

use baetyl_model::{Kind, Message, Name};

use super::{
    App, View, as_read, check, checked, feed, inputs, key_of, namespace_key, request, required,
    settle_namespace,
};
use crate::auth::Caller;
use crate::error::Error;
use crate::records::{self, ATTEMPTS};
use crate::store::{Commit, Key, Precondition, Stored, Write};

/// A resource to create.
#[derive(Clone, Debug)]
pub struct Create {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// The resource.
    pub message: Option<Message>,
    /// Makes the request idempotent; empty for none.
    pub request_id: String,
    /// Checks everything and stores nothing.
    pub validate_only: bool,
}

/// A resource to replace.
#[derive(Clone, Debug)]
pub struct Update {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// The whole resource.
    pub message: Option<Message>,
    /// Checks everything and stores nothing.
    pub validate_only: bool,
    /// Creates the resource when it does not exist.
    pub allow_missing: bool,
}

impl App {
    /// Creates a resource.
    ///
    /// # Errors
    /// As [`Error`] says; among them [`Error::AlreadyExists`], [`Error::MissingReference`].
    pub async fn create(&self, caller: &Caller, kind: Kind, create: Create) -> Result<View, Error> {
        let mut message = create.message.ok_or_else(|| required(kind))?;
        settle_namespace(caller, &create.namespace, &mut message)?;
        let violations = request::check(&create.request_id);
        let resource = checked(violations, check::resource(message, None))?;
        let key = key_of(&resource)?;
        for _ in 0..ATTEMPTS {
            let mut remembered = None;
            if !create.request_id.is_empty() {
                let record = request::record_key(&key, &create.request_id);
                let (made, version) = request::read(&*self.store, &record, self.now()).await?;
                if let Some(made) = made {
                    return request::replayed(&*self.store, &made, &resource).await;
                }
                remembered = Some((record, version));
            }
            if self.store.get(&key).await?.is_some() {
                let name = key.name;
                return Err(Error::AlreadyExists { kind, name });
            }
            let view = self.revision(key.clone(), None, resource.clone(), &caller.name)?;
            let mut commit = self.put(&view, None).await?;
            if create.validate_only {
                return Ok(view);
            }
            if let Some((record, version)) = remembered {
                let made = request::Made::new(&key, &view.stored.uid, self.now());
                let guard = Precondition::RecordAt(record.clone(), version);
                commit.preconditions.push(guard);
                commit.writes.push(records::put(record, &made));
            }
            if self.commit(commit).await? {
                return Ok(stored(view));
            }
        }
        Err(Error::Contended)
    }

    /// Replaces the spec of a resource; makes a revision when something changed.
    ///
    /// # Errors
    /// As [`Error`] says; among them [`Error::NotFound`], [`Error::EtagMismatch`],
    /// [`Error::MissingReference`].
    pub async fn update(&self, caller: &Caller, kind: Kind, update: Update) -> Result<View, Error> {
        let mut message = update.message.ok_or_else(|| required(kind))?;
        settle_namespace(caller, &update.namespace, &mut message)?;
        let key = self.named(&message)?;
        let etag = message.etag().to_owned();
        for _ in 0..ATTEMPTS {
            let before = self.store.get(&key).await?;
            if before.is_none() && !update.allow_missing {
                return Err(Error::not_found(&key));
            }
            check_etag(&key, &etag, before.as_ref())?;
            let view = match &before {
                None => {
                    let resource = checked(Vec::new(), check::resource(message.clone(), None))?;
                    self.revision(key.clone(), None, resource, &caller.name)?
                }
                Some(before) => {
                    let old = View::of(before.clone())?;
                    let revised = check::resource(message.clone(), Some(&old.resource));
                    let resource = checked(Vec::new(), revised)?;
                    if resource.is_same_spec(&old.resource) {
                        return Ok(old);
                    }
                    self.revision(key.clone(), Some(before), resource, &caller.name)?
                }
            };
            let commit = self.put(&view, before.as_ref()).await?;
            if update.validate_only {
                return Ok(view);
            }
            if self.commit(commit).await? {
                return Ok(stored(view));
            }
        }
        Err(Error::Contended)
    }

    /// The key of what was written; with a name that is none, everything that is wrong.
    fn named(&self, message: &Message) -> Result<Key, Error> {
        match Name::parse_for(message.kind(), message.name()) {
            Ok(name) => {
                let text = message.namespace();
                let namespace =
                    super::parsed("namespace", text, baetyl_model::NamespaceName::parse)?;
                Ok(Key {
                    namespace,
                    kind: message.kind(),
                    name,
                })
            }
            Err(_) => {
                let resource = checked(Vec::new(), check::resource(message.clone(), None))?;
                key_of(&resource)
            }
        }
    }

    /// Makes the commit that writes a revision over what was read, after checking that its tenant
    /// and inputs exist.
    pub(super) async fn put(&self, view: &View, before: Option<&Stored>) -> Result<Commit, Error> {
        let new = &view.stored;
        let mut commit = Commit::default();
        commit.preconditions.push(as_read(&new.key, before));
        if new.key.kind == Kind::Namespace {
            let entry = match before {
                None => feed::added(new),
                Some(_) => feed::modified(new),
            };
            feed::record(&*self.store, &mut commit, &[entry]).await?;
        } else {
            self.check_namespace(&new.key.namespace).await?;
            let namespace = namespace_key(&new.key.namespace);
            commit.preconditions.push(Precondition::Exists(namespace));
        }
        let missing = self.missing(new).await?;
        if !missing.is_empty() {
            return Err(Error::MissingReference(missing));
        }
        commit
            .preconditions
            .extend(inputs(new).map(Precondition::Exists));
        commit.writes.push(Write::Put(Box::new(new.clone())));
        Ok(commit)
    }
}

/// The revision is there now.
pub(super) fn stored(view: View) -> View {
    tracing::info!(
        resource.kind = view.stored.key.kind.word(),
        resource.name = view.stored.key.name.as_str(),
        resource.namespace = view.stored.key.namespace.as_str(),
        resource.revision = view.stored.revision.number(),
        author = view.stored.author,
        "resource written"
    );
    View {
        is_stored: true,
        ..view
    }
}

/// Refuses when a guard was sent and something else is there.
pub(super) fn check_etag(key: &Key, etag: &str, stored: Option<&Stored>) -> Result<(), Error> {
    let found = stored.map(|stored| super::recorded(stored).etag());
    if etag.is_empty() || found.as_deref() == Some(etag) {
        return Ok(());
    }
    Err(Error::EtagMismatch { key: key.clone() })
}
