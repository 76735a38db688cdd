//! Delete, with protection of what is in use.

use baetyl_model::{Kind, NamespaceName};

use super::write::check_etag;
use super::{App, as_read, feed, key};
use crate::auth::Caller;
use crate::error::Error;
use crate::records::{self, ATTEMPTS};
use crate::seam::NodeRef;
use crate::store::{Commit, Key, Precondition, Stored, Table, Write};

/// Kinds in the order in which a tenant is emptied: users before what they use.
const EMPTIED: [Kind; 6] = [
    Kind::Application,
    Kind::Configuration,
    Kind::Secret,
    Kind::Certificate,
    Kind::Registry,
    Kind::Node,
];

/// Resources that are deleted in one commit when a tenant is emptied.
const BATCH: usize = 100;

/// A resource to delete.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// Guards the delete; empty for none.
    pub etag: String,
    /// Deletes it although something uses it, or a tenant with all that it holds.
    pub force: bool,
    /// Tells the device of a node to remove the data of its applications, too.
    pub remove_data: bool,
    /// Checks everything and deletes nothing.
    pub validate_only: bool,
}

impl App {
    /// Deletes a resource with all of its revisions.
    ///
    /// # Errors
    /// As [`Error`] says; among them [`Error::NotFound`], [`Error::EtagMismatch`],
    /// [`Error::InUse`], [`Error::NamespaceNotEmpty`].
    pub async fn delete(&self, caller: &Caller, kind: Kind, delete: Delete) -> Result<(), Error> {
        let key = key(caller, kind, &delete.namespace, &delete.name)?;
        for _ in 0..ATTEMPTS {
            let stored = self.store.get(&key).await?;
            let stored = stored.ok_or_else(|| Error::not_found(&key))?;
            check_etag(&key, &delete.etag, Some(&stored))?;
            let commit = match kind {
                Kind::Namespace => self.namespace_deletion(&stored, &delete).await?,
                Kind::Node
                | Kind::Application
                | Kind::Configuration
                | Kind::Secret
                | Kind::Certificate
                | Kind::Registry => self.deletion(&stored, &delete).await?,
            };
            if delete.validate_only {
                return Ok(());
            }
            let revoking = (kind == Kind::Namespace).then(|| self.tokens.revoking());
            let is_done = self.commit(commit).await?;
            drop(revoking);
            if !is_done {
                continue;
            }
            tracing::info!(
                resource.kind = kind.word(),
                resource.name = key.name.as_str(),
                resource.namespace = key.namespace.as_str(),
                author = caller.name,
                "resource deleted"
            );
            if kind == Kind::Namespace {
                // What came in while the tenant went, goes too: nothing can be created any more.
                self.empty(&key.namespace).await?;
            }
            return Ok(());
        }
        Err(Error::Contended)
    }

    async fn deletion(&self, stored: &Stored, delete: &Delete) -> Result<Commit, Error> {
        let key = &stored.key;
        let mut commit = Commit::default();
        commit.preconditions.push(as_read(key, Some(stored)));
        if !delete.force {
            let users = self.store.referrers(key).await?;
            if !users.is_empty() {
                let key = key.clone();
                return Err(Error::InUse { key, users });
            }
            let unused = Precondition::Unreferenced(key.clone(), Vec::new());
            commit.preconditions.push(unused);
        }
        if key.kind == Kind::Node {
            let node = NodeRef::of(stored);
            let writes = self.nodes.delete_writes(&node, delete.remove_data).await?;
            commit.writes.extend(writes);
        }
        commit.writes.push(Write::Delete(key.clone()));
        Ok(commit)
    }

    async fn namespace_deletion(&self, stored: &Stored, delete: &Delete) -> Result<Commit, Error> {
        let namespace = &stored.key.namespace;
        let holds = self.holds(namespace).await?;
        if !holds.is_empty() && !delete.force {
            let namespace = namespace.clone();
            return Err(Error::NamespaceNotEmpty { namespace, holds });
        }
        let mut commit = Commit::default();
        if delete.validate_only {
            return Ok(commit);
        }
        self.empty(namespace).await?;
        commit
            .preconditions
            .push(as_read(&stored.key, Some(stored)));
        feed::record(&*self.store, &mut commit, &[feed::deleted(stored)]).await?;
        let requests = records::key(namespace.as_str(), Table::Request, "");
        commit.writes.push(Write::DeleteRecords(requests));
        // Else they would be good for another tenant of the same name.
        commit
            .writes
            .extend(self.tokens.revocations(namespace).await?);
        commit.writes.push(Write::Delete(stored.key.clone()));
        Ok(commit)
    }

    /// Counts what a tenant holds, up to [`BATCH`] of each kind.
    async fn holds(&self, namespace: &NamespaceName) -> Result<Vec<(Kind, usize)>, Error> {
        let mut holds = Vec::new();
        for kind in EMPTIED {
            let found = self.keys(namespace, kind).await?;
            if !found.is_empty() {
                holds.push((kind, found.len()));
            }
        }
        Ok(holds)
    }

    /// Deletes everything that a tenant holds, users before what they use.
    async fn empty(&self, namespace: &NamespaceName) -> Result<(), Error> {
        for kind in EMPTIED {
            loop {
                let found = self.keys(namespace, kind).await?;
                if found.is_empty() {
                    break;
                }
                let mut commit = Commit::default();
                for (key, node) in found {
                    if let Some(node) = node {
                        commit
                            .writes
                            .extend(self.nodes.delete_writes(&node, false).await?);
                    }
                    commit.writes.push(Write::Delete(key));
                }
                // Who deleted some of them at the same time did what was wanted: look again.
                self.commit(commit).await?;
            }
        }
        Ok(())
    }

    /// The first resources of a kind, with what is known of nodes.
    async fn keys(
        &self,
        namespace: &NamespaceName,
        kind: Kind,
    ) -> Result<Vec<(Key, Option<NodeRef>)>, Error> {
        let feed = feed::Feed::new(namespace.clone(), kind);
        let mut found = Vec::new();
        let mut after = None;
        while found.len() < BATCH {
            let (page, is_last) = feed.resources(&*self.store, after.as_ref()).await?;
            after = page.last().map(|stored| stored.key.name.clone());
            for stored in &page {
                let node = (kind == Kind::Node).then(|| NodeRef::of(stored));
                found.push((stored.key.clone(), node));
            }
            if is_last {
                break;
            }
        }
        found.truncate(BATCH);
        Ok(found)
    }
}
