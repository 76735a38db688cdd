//! What an apply deletes: resources that match the prune selector and are not in the set.

use std::collections::BTreeSet;

use baetyl_model::{Kind, NamespaceName, Selector};

use super::{Action, Applied, Drafts};
use crate::app::feed::Feed;
use crate::app::{App, as_read, inputs};
use crate::error::Error;
use crate::store::{Commit, Key, Precondition, Stored, Write};

/// Users first, so that what only they use goes with them.
const PRUNED: [Kind; 5] = [
    Kind::Application,
    Kind::Configuration,
    Kind::Secret,
    Kind::Certificate,
    Kind::Registry,
];

/// A resource that matches and is not in the set; of an input, without its body.
pub(super) struct Pruned {
    pub(super) stored: Stored,
    /// Who uses it still; it is kept for them.
    kept_for: Vec<Key>,
    /// Who uses it now, and not after the apply.
    released_by: Vec<Key>,
}

impl Pruned {
    pub(super) fn is_deleted(&self) -> bool {
        self.kept_for.is_empty()
    }

    /// Adds the deletion, unless it is kept.
    pub(super) fn delete(&self, commit: &mut Commit) {
        if !self.is_deleted() {
            return;
        }
        let key = &self.stored.key;
        commit.preconditions.push(as_read(key, Some(&self.stored)));
        let unused = Precondition::Unreferenced(key.clone(), self.released_by.clone());
        commit.preconditions.push(unused);
        commit.writes.push(Write::Delete(key.clone()));
    }

    pub(super) fn applied(&self) -> Applied {
        let (action, note, revision) = match self.kept_for.first() {
            None => (Action::Deleted, String::new(), 0),
            Some(user) => {
                let note = format!("kept: {} {} uses it", user.kind.word(), user.name);
                (Action::Unchanged, note, self.stored.revision.number())
            }
        };
        Applied {
            key: self.stored.key.clone(),
            action,
            changes: Vec::new(),
            note,
            revision,
        }
    }
}

impl App {
    /// Finds what the selector prunes in the tenants of the set.
    pub(super) async fn prune(
        &self,
        selector: &Selector,
        drafts: &Drafts,
    ) -> Result<Vec<Pruned>, Error> {
        let mut pruned = Vec::new();
        if *selector == Selector::Nothing {
            return Ok(pruned);
        }
        for namespace in drafts.namespaces() {
            for kind in PRUNED {
                let surplus = self.surplus(&namespace, kind, selector, drafts).await?;
                // Applications are through before the first input is looked at.
                let gone: BTreeSet<Key> = pruned.iter().map(gone_key).collect();
                for stored in surplus {
                    pruned.push(self.weigh(stored, &gone, drafts).await?);
                }
            }
        }
        Ok(pruned)
    }

    async fn surplus(
        &self,
        namespace: &NamespaceName,
        kind: Kind,
        selector: &Selector,
        drafts: &Drafts,
    ) -> Result<Vec<Stored>, Error> {
        let feed = Feed::new(namespace.clone(), kind);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let (page, is_last) = feed.resources(&*self.store, after.as_ref()).await?;
            after = page.last().map(|stored| stored.key.name.clone());
            for mut stored in page {
                if !selector.matches(&stored.labels) || drafts.holds(&stored.key) {
                    continue;
                }
                // Nobody looks into an input that goes; many large ones would fill the memory.
                if kind != Kind::Application {
                    stored.body.clear();
                }
                found.push(stored);
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Finds out who uses a resource before and after the apply.
    async fn weigh(
        &self,
        stored: Stored,
        gone: &BTreeSet<Key>,
        drafts: &Drafts,
    ) -> Result<Pruned, Error> {
        let uses = |key: &Key| {
            let draft = drafts.iter().find(|draft| draft.key() == key);
            draft.map(|draft| inputs(&draft.view.stored).any(|input| input == stored.key))
        };
        let referrers = self.store.referrers(&stored.key).await?;
        let (released_by, mut kept_for): (Vec<Key>, Vec<Key>) = referrers
            .into_iter()
            .partition(|user| gone.contains(user) || uses(user) == Some(false));
        for draft in drafts.iter() {
            let key = draft.key();
            if uses(key) == Some(true) && !kept_for.contains(key) {
                kept_for.push(key.clone());
            }
        }
        Ok(Pruned {
            stored,
            kept_for,
            released_by,
        })
    }
}

fn gone_key(pruned: &Pruned) -> Key {
    pruned.stored.key.clone()
}
