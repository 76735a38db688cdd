//! Revisions: list, read, bring back.

use baetyl_model::{Difference, Kind, Revision, Violation};
use serde::{Deserialize, Serialize};

use super::apply::{Action, Applied};
use super::list::page_size;
use super::write::stored;
use super::{App, View, check, checked, key, opaque};
use crate::auth::Caller;
use crate::error::Error;
use crate::records::ATTEMPTS;
use crate::store::{Key, Stored};

/// Revisions that are read at once: bodies may be large.
const READ_AT_ONCE: usize = 4;

/// Differences of one page together; a page with more has fewer revisions.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Names a resource.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// Its kind, in lower case or as documents spell it.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A revision with what it changed.
#[derive(Clone, Debug)]
pub struct Past {
    /// The revision.
    pub view: View,
    /// What it changed against the one before that is kept.
    pub changes: Vec<Difference>,
    /// Whether it is the present one.
    pub is_current: bool,
}

/// Where a list of revisions goes on.
#[derive(Serialize, Deserialize)]
struct HistoryToken {
    list: String,
    before: Revision,
}

impl App {
    /// Lists revisions, newest first, and where to go on.
    ///
    /// # Errors
    /// The caller may not, there is no such resource, or the store fails.
    pub async fn revisions(
        &self,
        caller: &Caller,
        named: &Named,
        size: i32,
        page_token: &str,
    ) -> Result<(Vec<Past>, String), Error> {
        let key = named.key(caller)?;
        let mut violations = Vec::new();
        let size = page_size(size, &mut violations);
        let mut before = read_token(&key, page_token, &mut violations);
        if !violations.is_empty() {
            return Err(Error::violations(violations));
        }
        let newest = self
            .store
            .get(&key)
            .await?
            .ok_or_else(|| Error::not_found(&key))?;
        let mut found: Vec<Past> = Vec::new();
        let mut bytes = 0;
        loop {
            let page = self.store.revisions(&key, before, READ_AT_ONCE).await?;
            let is_last = page.len() < READ_AT_ONCE;
            for stored in page {
                if found.len() == size || bytes > MAX_PAGE_BYTES {
                    let token = HistoryToken {
                        list: key.to_string(),
                        before: found
                            .last()
                            .map_or(stored.revision, |last| last.view.stored.revision),
                    };
                    return Ok((found, opaque::write(&token)));
                }
                before = Some(stored.revision);
                let past = self.past(stored, newest.revision).await?;
                bytes += past.changes.iter().map(difference_bytes).sum::<usize>();
                found.push(past);
            }
            if is_last {
                return Ok((found, String::new()));
            }
        }
    }

    /// Reads one revision.
    ///
    /// # Errors
    /// As [`App::revisions`], and [`Error::RevisionNotFound`].
    pub async fn revision_of(
        &self,
        caller: &Caller,
        named: &Named,
        number: u64,
    ) -> Result<Past, Error> {
        let key = named.key(caller)?;
        let newest = self
            .store
            .get(&key)
            .await?
            .ok_or_else(|| Error::not_found(&key))?;
        let stored = self.kept(&key, number).await?;
        self.past(stored, newest.revision).await
    }

    /// Makes a new revision with the spec of an earlier one, the one before the present when
    /// `number` is 0; returns what that does and to how many nodes.
    ///
    /// # Errors
    /// As [`App::revision_of`], and as an update.
    pub async fn rollback(
        &self,
        caller: &Caller,
        named: &Named,
        number: u64,
        validate_only: bool,
    ) -> Result<(Applied, usize), Error> {
        let key = named.key(caller)?;
        for _ in 0..ATTEMPTS {
            let present = self
                .store
                .get(&key)
                .await?
                .ok_or_else(|| Error::not_found(&key))?;
            let wanted = match number {
                0 => present.revision.number() - 1,
                number => number,
            };
            let earlier = View::of(self.kept(&key, wanted).await?)?;
            let old = View::of(present.clone())?;
            // Checked anew: rules may be stricter than when it was written.
            let message = earlier.resource.into_input();
            let resource = checked(Vec::new(), check::resource(message, None))?;
            if resource.is_same_spec(&old.resource) {
                return Ok((unchanged(&present), 0));
            }
            let new = self.revision(key.clone(), Some(&present), resource, &caller.name)?;
            let commit = self.put(&new, Some(&present)).await?;
            let told = self.applied_alone(&present, &old, &new).await?;
            if validate_only {
                return Ok(told);
            }
            if self.commit(commit).await? {
                stored(new);
                return Ok(told);
            }
        }
        Err(Error::Contended)
    }

    async fn kept(&self, key: &Key, number: u64) -> Result<Stored, Error> {
        let not_found = || Error::RevisionNotFound {
            key: key.clone(),
            revision: number,
        };
        let revision = Revision::new(number).ok_or_else(not_found)?;
        let stored = self.store.get_revision(key, revision).await?;
        stored.ok_or_else(not_found)
    }

    async fn past(&self, stored: Stored, newest: Revision) -> Result<Past, Error> {
        let before = self
            .store
            .revisions(&stored.key, Some(stored.revision), 1)
            .await?;
        let is_current = stored.revision == newest;
        let view = View::of(stored)?;
        let changes = match before.into_iter().next() {
            None => Vec::new(),
            Some(before) => baetyl_model::diff(&View::of(before)?.resource, &view.resource),
        };
        Ok(Past {
            view,
            changes,
            is_current,
        })
    }
}

impl Named {
    fn key(&self, caller: &Caller) -> Result<Key, Error> {
        let kind = self
            .kind
            .parse::<Kind>()
            .ok()
            .filter(|kind| *kind != Kind::Namespace);
        let Some(kind) = kind else {
            let description = "must be node, application, configuration, secret, \
                               certificate or registry";
            return Err(Error::field("kind", "UNKNOWN_VALUE", description));
        };
        key(caller, kind, &self.namespace, &self.name)
    }
}

fn unchanged(present: &Stored) -> Applied {
    Applied {
        key: present.key.clone(),
        action: Action::Unchanged,
        changes: Vec::new(),
        note: "the present spec is the same".to_owned(),
        revision: present.revision.number(),
    }
}

fn read_token(key: &Key, text: &str, violations: &mut Vec<Violation>) -> Option<Revision> {
    if text.is_empty() {
        return None;
    }
    let token = opaque::read::<HistoryToken>("pageToken", text).ok();
    let of_this_list = token.filter(|token| token.list == key.to_string());
    if of_this_list.is_none() {
        let description = "is not one of this list";
        violations.push(Violation::new("pageToken", "INVALID_FORMAT", description));
    }
    of_this_list.map(|token| token.before)
}

fn difference_bytes(one: &Difference) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    one.path.len() + length(&one.old) + length(&one.new)
}
