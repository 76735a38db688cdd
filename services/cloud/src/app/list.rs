//! Lists in pages that stay stable under writes: a page goes on after a name.

use std::collections::VecDeque;

use baetyl_model::{Kind, Name, Selector, Violation};

use super::feed::Feed;
use super::opaque::{self, PageToken, ResumeToken};
use super::{App, View};
use crate::auth::Caller;
use crate::error::Error;
use crate::store::Stored;

/// Entries of a page when nothing is said.
const DEFAULT_PAGE: usize = 100;

/// The most entries of a page.
const MAX_PAGE: usize = 1000;

/// Bodies of a page together; a page of large ones has fewer of them, so that it fits into a
/// message.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Resources that are looked at for one page; a filter that few match gives short pages.
const MAX_LOOKED_AT: usize = 10_000;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// Label selector; empty for all.
    pub filter: String,
    /// How many at most; 0 for the default.
    pub page_size: i32,
    /// Where to go on; empty for the beginning.
    pub page_token: String,
    /// `name` or `name desc`; empty for `name`.
    pub order_by: String,
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The resources.
    pub views: Vec<View>,
    /// Where to go on; empty on the last page.
    pub next_page_token: String,
    /// Where to watch from.
    pub resume_token: String,
}

/// A checked request.
struct Query {
    feed: Feed,
    filter: Selector,
    is_descending: bool,
    size: usize,
    /// What tells this list apart from others.
    identity: String,
    after: Option<PageToken>,
}

impl App {
    /// Lists resources of a kind.
    ///
    /// # Errors
    /// The caller may not, the request is wrong, or the store fails.
    pub async fn list(&self, caller: &Caller, kind: Kind, list: &List) -> Result<Page, Error> {
        let query = Query::new(caller, kind, list)?;
        // Read before the resources, so that whoever watches from here misses nothing.
        let sequence = match &query.after {
            Some(token) => token.sequence,
            None => query.feed.sequence(&*self.store).await?,
        };
        let (found, last) = if query.is_descending {
            self.descending(&query).await?
        } else {
            self.ascending(&query).await?
        };
        let next_page_token = last.map(|after| {
            opaque::write(&PageToken {
                list: query.identity.clone(),
                after,
                sequence,
            })
        });
        let resume_token = opaque::write(&ResumeToken {
            store: self.store.id().to_owned(),
            feed: query.feed.word(),
            sequence,
            listing: None,
        });
        let views: Result<Vec<View>, Error> = found.into_iter().map(View::of).collect();
        Ok(Page {
            views: views?,
            next_page_token: next_page_token.unwrap_or_default(),
            resume_token,
        })
    }

    /// Returns the matches of a page, and the name after which there may be more.
    async fn ascending(&self, query: &Query) -> Result<(Vec<Stored>, Option<Name>), Error> {
        let mut after = query.after.as_ref().map(|token| token.after.clone());
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut looked_at = 0;
        loop {
            let (page, is_last) = query.feed.resources(&*self.store, after.as_ref()).await?;
            for stored in page {
                let name = stored.key.name.clone();
                looked_at += 1;
                if query.filter.matches(&stored.labels) {
                    bytes += stored.body.len();
                    let is_full = found.len() == query.size || bytes > MAX_PAGE_BYTES;
                    if is_full && !found.is_empty() {
                        return Ok((found, after));
                    }
                    found.push(stored);
                }
                after = Some(name);
            }
            if is_last {
                return Ok((found, None));
            }
            if looked_at >= MAX_LOOKED_AT {
                return Ok((found, after));
            }
        }
    }

    /// As [`App::ascending`] the other way round: the store lists in one direction, so everything
    /// before the last page is passed, and only its end is kept.
    async fn descending(&self, query: &Query) -> Result<(Vec<Stored>, Option<Name>), Error> {
        let before = query.after.as_ref().map(|token| &token.after);
        let mut kept: VecDeque<Stored> = VecDeque::new();
        let mut bytes = 0;
        let mut has_more = false;
        let mut after: Option<Name> = None;
        loop {
            let (page, is_last) = query.feed.resources(&*self.store, after.as_ref()).await?;
            after = page.last().map(|stored| stored.key.name.clone());
            let is_before = |stored: &Stored| before.is_none_or(|before| stored.key.name < *before);
            let is_past = page.iter().any(|stored| !is_before(stored));
            for stored in page.into_iter().filter(is_before) {
                if !query.filter.matches(&stored.labels) {
                    continue;
                }
                bytes += stored.body.len();
                kept.push_back(stored);
                while kept.len() > query.size || (bytes > MAX_PAGE_BYTES && kept.len() > 1) {
                    bytes -= kept.pop_front().map_or(0, |first| first.body.len());
                    has_more = true;
                }
            }
            if is_last || is_past {
                break;
            }
        }
        let last = kept.front().map(|first| first.key.name.clone());
        Ok((kept.into_iter().rev().collect(), last.filter(|_| has_more)))
    }
}

impl Query {
    fn new(caller: &Caller, kind: Kind, list: &List) -> Result<Self, Error> {
        let namespace = super::tenant(caller, kind, &list.namespace)?;
        let feed = Feed::new(namespace, kind);
        let mut violations = Vec::new();
        let size = page_size(list.page_size, &mut violations);
        let filter = filter(&list.filter, &mut violations);
        let is_descending = match list.order_by.as_str() {
            "" | "name" | "name asc" => false,
            "name desc" => true,
            _ => {
                let description = "must be `name` or `name desc`";
                violations.push(Violation::new("orderBy", "UNKNOWN_VALUE", description));
                false
            }
        };
        let identity = format!("{} {is_descending} {}", feed.word(), list.filter.trim());
        let after = page_token(&list.page_token, &identity, &mut violations);
        if !violations.is_empty() {
            return Err(Error::violations(violations));
        }
        Ok(Self {
            feed,
            filter,
            is_descending,
            size,
            identity,
            after,
        })
    }
}

/// Reads the size of a page.
pub(crate) fn page_size(asked: i32, violations: &mut Vec<Violation>) -> usize {
    match usize::try_from(asked) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) if size <= MAX_PAGE => size,
        _ => {
            let description = format!("must be 1 to {MAX_PAGE}, got {asked}");
            violations.push(Violation::new("pageSize", "OUT_OF_BOUNDS", description));
            DEFAULT_PAGE
        }
    }
}

/// Reads a filter.
pub(super) fn filter(text: &str, violations: &mut Vec<Violation>) -> Selector {
    Selector::parse_filter(text).unwrap_or_else(|error| {
        violations.push(Violation::new(
            "filter",
            "INVALID_SELECTOR",
            error.to_string(),
        ));
        Selector::Nothing
    })
}

fn page_token(text: &str, identity: &str, violations: &mut Vec<Violation>) -> Option<PageToken> {
    if text.is_empty() {
        return None;
    }
    let token = opaque::read::<PageToken>("pageToken", text).ok();
    let of_this_list = token.filter(|token| token.list == identity);
    if of_this_list.is_none() {
        let description = "is not one of this list, with this filter and order";
        violations.push(Violation::new("pageToken", "INVALID_FORMAT", description));
    }
    of_this_list
}

/// Writes the token of a list of names.
pub(crate) fn name_token(list: &str, after: &Name) -> String {
    opaque::write(&PageToken {
        list: list.to_owned(),
        after: after.clone(),
        sequence: 0,
    })
}

/// Reads the token of a list of names, `list` being what tells it apart.
pub(crate) fn read_name_token(
    list: &str,
    text: &str,
    violations: &mut Vec<Violation>,
) -> Option<Name> {
    page_token(text, list, violations).map(|token| token.after)
}
