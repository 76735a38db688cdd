//! Whole sets of documents in one commit, with what differs and which nodes change.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_model::{Difference, Kind, Message, Name, NamespaceName, Selector, Violation};

use super::{App, View, feed, inputs, namespace_key};
use crate::auth::Caller;
use crate::error::{Error, Missing};
use crate::records::ATTEMPTS;
use crate::seam::Edit;
use crate::store::{Commit, Key, Precondition, Stored, Write};

mod draft;
mod note;
mod prune;

use draft::{Draft, Drafts};
use prune::Pruned;

/// The most documents of a set.
pub const MAX_DOCUMENTS: usize = 1000;

/// The largest set, encoded.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Differences of one answer together; what is beyond is counted in a note.
const MAX_DIFFERENCE_BYTES: usize = 1024 * 1024;

/// A set of documents.
#[derive(Clone, Debug, Default)]
pub struct Apply {
    /// The tenant of documents that name none; empty for the caller's own.
    pub namespace: String,
    /// The documents; one without a resource is a violation.
    pub documents: Vec<Option<Message>>,
    /// Label selector of what is deleted when it is not in the set; empty for nothing.
    pub prune_selector: String,
    /// Checks everything and stores nothing.
    pub validate_only: bool,
}

/// What was done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It did not exist.
    Created,
    /// Its spec changed.
    Changed,
    /// It was already so.
    Unchanged,
    /// It was pruned.
    Deleted,
}

/// What was done to one document, or to what was pruned.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Which resource.
    pub key: Key,
    /// What was done.
    pub action: Action,
    /// What differs.
    pub changes: Vec<Difference>,
    /// One remark for people.
    pub note: String,
    /// The revision that is there now; 0 for none.
    pub revision: u64,
}

/// What was done to a set.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One for each document in the order of the set, then the pruned ones.
    pub results: Vec<Applied>,
    /// Nodes whose desired state changes.
    pub affected: BTreeSet<(NamespaceName, Name)>,
}

impl App {
    /// Creates or replaces every document of a set in one commit.
    ///
    /// # Errors
    /// As [`Error`] says; every violation of every document at once, the fields starting with
    /// `documents[i].`; then nothing is stored.
    pub async fn apply(&self, caller: &Caller, apply: Apply) -> Result<Outcome, Error> {
        let prune = check_request(&apply)?;
        let documents = draft::settle(caller, &apply.namespace, apply.documents)?;
        for _ in 0..ATTEMPTS {
            let drafts = self.draft(&documents, caller).await?;
            self.check_namespaces(&drafts).await?;
            self.check_references(&drafts).await?;
            let pruned = self.prune(&prune, &drafts).await?;
            let edits = edits(&drafts, &pruned);
            // Asked before the commit: afterwards the change is the present.
            let affected = self.impact.affected_nodes(&edits).await?;
            let outcome = Outcome {
                results: results(&drafts, &pruned),
                affected,
            };
            let commit = self.apply_commit(&drafts, &pruned).await?;
            if apply.validate_only || commit.writes.is_empty() {
                return Ok(outcome);
            }
            if self.commit(commit).await? {
                log(caller, &outcome);
                return Ok(outcome);
            }
        }
        Err(Error::Contended)
    }

    /// Checks that every tenant is stored or in the set.
    async fn check_namespaces(&self, drafts: &Drafts) -> Result<(), Error> {
        for namespace in drafts.namespaces() {
            if !drafts.holds(&namespace_key(&namespace)) {
                self.check_namespace(&namespace).await?;
            }
        }
        Ok(())
    }

    /// Checks that every input is stored or in the set.
    async fn check_references(&self, drafts: &Drafts) -> Result<(), Error> {
        let mut missing = Vec::new();
        for draft in drafts.iter() {
            for input in inputs(&draft.view.stored) {
                if !drafts.holds(&input) && self.store.get(&input).await?.is_none() {
                    let user = draft.key().clone();
                    missing.push(Missing { user, input });
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::MissingReference(missing))
    }

    /// Writes what changes, and says what was relied on.
    async fn apply_commit(&self, drafts: &Drafts, pruned: &[Pruned]) -> Result<Commit, Error> {
        let mut commit = Commit::default();
        let mut tenants = Vec::new();
        for kind in Kind::ALL {
            let of_kind = drafts.iter().filter(|draft| draft.key().kind == kind);
            for draft in of_kind.filter(|draft| draft.action != Action::Unchanged) {
                let new = &draft.view.stored;
                commit
                    .preconditions
                    .push(super::as_read(&new.key, draft.before.as_ref()));
                let outside = inputs(new).filter(|input| !drafts.holds(input));
                commit
                    .preconditions
                    .extend(outside.map(Precondition::Exists));
                commit.writes.push(Write::Put(Box::new(new.clone())));
                match (kind, draft.action) {
                    (Kind::Namespace, Action::Created) => tenants.push(feed::added(new)),
                    (Kind::Namespace, _) => tenants.push(feed::modified(new)),
                    _ => {}
                }
            }
        }
        if !commit.writes.is_empty() {
            let outside = drafts
                .namespaces()
                .into_iter()
                .map(|tenant| namespace_key(&tenant));
            let outside = outside.filter(|key| !drafts.holds(key));
            commit
                .preconditions
                .extend(outside.map(Precondition::Exists));
        }
        for pruned in pruned {
            pruned.delete(&mut commit);
        }
        feed::record(&*self.store, &mut commit, &tenants).await?;
        Ok(commit)
    }
}

/// Checks what is about the set as a whole, and reads the prune selector.
fn check_request(apply: &Apply) -> Result<Selector, Error> {
    let mut violations = Vec::new();
    let mut add = |field: &str, reason: &str, description: String| {
        violations.push(Violation::new(field, reason, description));
    };
    if apply.documents.is_empty() {
        add(
            "documents",
            "REQUIRED",
            "must have at least one document".to_owned(),
        );
    }
    let count = apply.documents.len();
    if count > MAX_DOCUMENTS {
        let description = format!("may have at most {MAX_DOCUMENTS} entries, got {count}");
        add("documents", "TOO_MANY", description);
    }
    let bytes: usize = apply
        .documents
        .iter()
        .flatten()
        .map(Message::encoded_len)
        .sum();
    if bytes > MAX_BYTES {
        let description = format!("may have at most {MAX_BYTES} bytes together, got {bytes}");
        add("documents", "TOO_LARGE", description);
    }
    let prune = Selector::parse(&apply.prune_selector).unwrap_or_else(|error| {
        add("pruneSelector", "INVALID_SELECTOR", error.to_string());
        Selector::Nothing
    });
    if violations.is_empty() {
        return Ok(prune);
    }
    Err(Error::violations(violations))
}

/// Everything that changes, before and after.
fn edits(drafts: &Drafts, pruned: &[Pruned]) -> Vec<Edit> {
    let changed = drafts
        .iter()
        .filter(|draft| draft.action != Action::Unchanged);
    let written = changed.map(|draft| Edit {
        key: draft.key().clone(),
        before: draft.before.clone(),
        after: Some(draft.view.stored.clone()),
    });
    let deleted = pruned
        .iter()
        .filter(|pruned| pruned.is_deleted())
        .map(|pruned| Edit {
            key: pruned.stored.key.clone(),
            before: Some(pruned.stored.clone()),
            after: None,
        });
    written.chain(deleted).collect()
}

fn results(drafts: &Drafts, pruned: &[Pruned]) -> Vec<Applied> {
    let actions: BTreeMap<&Key, Action> = drafts
        .iter()
        .map(|draft| (draft.key(), draft.action))
        .collect();
    let mut room = MAX_DIFFERENCE_BYTES;
    let mut results: Vec<Applied> = Vec::new();
    for draft in drafts.iter() {
        let mut applied = applied(draft);
        applied.note = note::of(draft, &actions);
        shorten(&mut applied, &mut room);
        results.push(applied);
    }
    results.extend(pruned.iter().map(Pruned::applied));
    results
}

/// What was done to a document, without remarks.
fn applied(draft: &Draft) -> Applied {
    let changes = match (&draft.old, draft.action) {
        (Some(old), Action::Changed) => baetyl_model::diff(&old.resource, &draft.view.resource),
        _ => Vec::new(),
    };
    Applied {
        key: draft.key().clone(),
        action: draft.action,
        changes,
        note: String::new(),
        revision: draft.view.stored.revision.number(),
    }
}

/// Leaves differences out when the answer would become too large.
fn shorten(applied: &mut Applied, room: &mut usize) {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = |one: &Difference| one.path.len() + length(&one.old) + length(&one.new);
    let total: usize = applied.changes.iter().map(bytes).sum();
    match room.checked_sub(total) {
        Some(left) => *room = left,
        None => {
            let count = applied.changes.len();
            applied.changes.clear();
            applied.note = format!("{count} differences are left out of this answer");
        }
    }
}

fn log(caller: &Caller, outcome: &Outcome) {
    let count = |action| {
        outcome
            .results
            .iter()
            .filter(|one| one.action == action)
            .count()
    };
    tracing::info!(
        author = caller.name,
        created = count(Action::Created),
        changed = count(Action::Changed),
        unchanged = count(Action::Unchanged),
        deleted = count(Action::Deleted),
        affected_nodes = outcome.affected.len(),
        "set applied"
    );
}

impl App {
    /// Tells what a single change does, for those who write one resource in another way.
    pub(super) async fn applied_alone(
        &self,
        before: &Stored,
        old: &View,
        new: &View,
    ) -> Result<(Applied, usize), Error> {
        let edit = Edit {
            key: before.key.clone(),
            before: Some(before.clone()),
            after: Some(new.stored.clone()),
        };
        let affected = self.impact.affected_nodes(&[edit]).await?;
        let applied = Applied {
            key: before.key.clone(),
            action: Action::Changed,
            changes: baetyl_model::diff(&old.resource, &new.resource),
            note: String::new(),
            revision: new.stored.revision.number(),
        };
        Ok((applied, affected.len()))
    }
}
