//! Changes in order: the present state first, or everything after a resume token.
//!
//! A watcher reads the events of the store at its own pace, so that a slow one holds up nobody
//! and nothing is buffered for it but what it was last given. An event carries the state that the
//! change left; when that is gone (a later change, dropped revisions), the newest one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baetyl_model::{Kind, Name, Revision, Uid};
use baetyl_service_kit::shutdown::Shutdown;
use futures::Stream;
use futures::stream::try_unfold;
use tokio::sync::watch;
use tokio::time::Instant;

use super::feed::{Feed, Step};
use super::list::filter;
use super::opaque::{self, ResumeToken};
use super::{App, View};
use crate::auth::Caller;
use crate::error::Error;
use crate::store::{Change, Key, Stored};

mod shown;
#[cfg(test)]
mod tests;

use shown::{Shown, Verdict};

/// Silence after which a bookmark is sent.
pub const BOOKMARK_AFTER: Duration = Duration::from_secs(60);

/// Events that are read at once.
const BATCH: usize = 100;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The tenant that the request names; empty for none.
    pub namespace: String,
    /// Label selector; empty for all.
    pub filter: String,
    /// Where to go on; empty for the present state first.
    pub resume_token: String,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// Resumes after this event.
    pub resume_token: String,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// It exists now.
    Added(Box<View>),
    /// Its spec or status changed.
    Modified(Box<View>),
    /// It is gone, or does not match the filter any more; there is nothing left but its name.
    Deleted(Gone),
    /// Nothing; only the token moved on.
    Bookmark,
}

/// What is left of a deleted resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Which resource.
    pub key: Key,
    /// Which life of it.
    pub uid: Uid,
    /// Its last revision.
    pub revision: Revision,
}

/// Who watches, and how long he may.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Who; the stream ends when his token is revoked.
    pub caller: Caller,
    /// Ends the stream at draining.
    pub shutdown: Shutdown,
}

impl App {
    /// Watches the resources of a kind.
    ///
    /// # Errors
    /// The caller may not, the request is wrong, the token is too old
    /// ([`Error::ResumeTokenExpired`]), or the store fails. The stream ends with an error, too:
    /// [`Error::ShuttingDown`] at draining.
    pub async fn watch(
        self: &Arc<Self>,
        watcher: Watcher,
        kind: Kind,
        watch: Watch,
    ) -> Result<impl Stream<Item = Result<Event, Error>> + Send + use<>, Error> {
        let namespace = super::tenant(&watcher.caller, kind, &watch.namespace)?;
        let feed = Feed::new(namespace, kind);
        let mut violations = Vec::new();
        let filter = filter(&watch.filter, &mut violations);
        if !violations.is_empty() {
            return Err(Error::violations(violations));
        }
        let commits = self.store.commits();
        let is_resumed = !watch.resume_token.is_empty();
        let (listing, sequence) = if is_resumed {
            let token: ResumeToken = opaque::read("resumeToken", &watch.resume_token)?;
            if token.store != self.store.id() || token.feed != feed.word() {
                return Err(Error::ResumeTokenExpired);
            }
            // What is too old is said at once, not in the stream.
            feed.steps(&*self.store, token.sequence, 1).await?;
            (token.listing.map(Some), token.sequence)
        } else {
            (Some(None), feed.sequence(&*self.store).await?)
        };
        let state = Following {
            app: self.clone(),
            watcher,
            feed,
            shown: Shown::new(kind, filter, is_resumed),
            listing,
            listed: VecDeque::new(),
            sequence,
            steps: VecDeque::new(),
            read: sequence,
            commits,
            last_event: Instant::now(),
        };
        Ok(try_unfold(state, |mut state| async move {
            let event = state.next().await?;
            Ok(Some((event, state)))
        }))
    }
}

struct Following {
    app: Arc<App>,
    watcher: Watcher,
    feed: Feed,
    shown: Shown,
    /// The present state is being sent, what is after this name; `None` when that is done.
    listing: Option<Option<Name>>,
    /// Resources of the present state that wait to be sent.
    listed: VecDeque<Stored>,
    /// The last event that was sent or passed.
    sequence: u64,
    /// Events that wait to be sent.
    steps: VecDeque<Step>,
    /// Everything up to here was read.
    read: u64,
    commits: watch::Receiver<u64>,
    last_event: Instant,
}

impl Following {
    /// Returns the next event, however long that takes.
    async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if self.watcher.shutdown.is_draining() {
                return Err(Error::ShuttingDown);
            }
            if let Some(happened) = self.advance().await? {
                self.last_event = Instant::now();
                return Ok(self.event(happened));
            }
            // Marked before reading: a commit after this wakes the wait below.
            self.commits.borrow_and_update();
            let now = self.app.now();
            self.app.tokens.check(&self.watcher.caller, now).await?;
            if self.read().await? {
                continue;
            }
            let silence = self.last_event + BOOKMARK_AFTER;
            // All arms are cancel safe; what they lead to is read from the store again.
            tokio::select! {
                () = self.watcher.shutdown.draining() => {}
                changed = self.commits.changed() => {
                    changed.map_err(|_| Error::ShuttingDown)?;
                }
                () = tokio::time::sleep_until(silence) => {
                    self.last_event = Instant::now();
                    return Ok(self.event(Happened::Bookmark));
                }
            }
        }
    }

    /// Works off what was read until something is to be told.
    async fn advance(&mut self) -> Result<Option<Happened>, Error> {
        while let Some(after) = self.listing.clone() {
            let Some(stored) = self.listed.pop_front() else {
                self.list(after).await?;
                continue;
            };
            self.listing = Some(Some(stored.key.name.clone()));
            if self.shown.list(&stored) {
                return Ok(Some(Happened::Added(Box::new(View::of(stored)?))));
            }
        }
        while let Some(step) = self.steps.pop_front() {
            self.sequence = step.sequence;
            if let Some(happened) = self.happened(step).await? {
                return Ok(Some(happened));
            }
        }
        self.sequence = self.read;
        Ok(None)
    }

    /// Reads the next part of the present state.
    async fn list(&mut self, after: Option<Name>) -> Result<(), Error> {
        let store = &*self.app.store;
        let (found, _) = self.feed.resources(store, after.as_ref()).await?;
        if found.is_empty() {
            self.listing = None;
        }
        self.listed.extend(found);
        Ok(())
    }

    /// Reads the next events; `false` when there were none.
    async fn read(&mut self) -> Result<bool, Error> {
        let steps = self.feed.steps(&*self.app.store, self.read, BATCH).await?;
        let has_moved = steps.sequence != self.read;
        self.read = steps.sequence;
        self.steps.extend(steps.steps);
        Ok(has_moved)
    }

    /// What an event means to this watcher; nothing for what it does not see.
    async fn happened(&mut self, step: Step) -> Result<Option<Happened>, Error> {
        if self.shown.is_old(&step) {
            return Ok(None);
        }
        let left = match step.change {
            Change::Deleted => None,
            Change::Added | Change::Modified => self.state_after(&step).await?,
        };
        let verdict = self.shown.judge(&step, left.as_ref());
        let view = |left: Option<Stored>| left.map(View::of).transpose();
        Ok(match verdict {
            Verdict::Pass => None,
            Verdict::Added => view(left)?.map(Box::new).map(Happened::Added),
            Verdict::Modified => view(left)?.map(Box::new).map(Happened::Modified),
            Verdict::Gone => Some(Happened::Deleted(Gone {
                key: step.key,
                uid: step.uid,
                revision: step.revision,
            })),
        })
    }

    /// The state that a change left, else the newest state of the same life. When that life is
    /// over, the change is passed over: its deletion comes later.
    async fn state_after(&self, step: &Step) -> Result<Option<Stored>, Error> {
        let store = &self.app.store;
        let left = store.get_revision(&step.key, step.revision).await?;
        if let Some(left) = left.filter(|left| left.uid == step.uid) {
            return Ok(Some(left));
        }
        let newest = store.get(&step.key).await?;
        Ok(newest.filter(|newest| newest.uid == step.uid))
    }

    fn event(&self, happened: Happened) -> Event {
        Event {
            happened,
            resume_token: opaque::write(&ResumeToken {
                store: self.app.store.id().to_owned(),
                feed: self.feed.word(),
                sequence: self.sequence,
                listing: self.listing.clone().flatten(),
            }),
        }
    }
}
