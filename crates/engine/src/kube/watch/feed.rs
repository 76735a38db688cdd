//! One watch: lists the objects of a kind, then follows every change, for ever.
//!
//! kube's own watcher is not used, since it swallows what must be known here: when a broken watch
//! is current again although nothing changed, and the bookmarks, by whose silence a connection is
//! noticed that died without a word. It also waits without an end for a list that is not answered.
//!
//! - Lists come in pages, at most a few of all feeds at a time, so that memory stays small. Streaming
//!   lists (a watch that begins with what exists) would spare the pages; servers have had them
//!   switched on only since Kubernetes 1.34, so that both ways would be needed.
//! - A watch is resumed where it stood as long as the server has the history; else (410) everything
//!   is listed again, and what the list does not show is forgotten.
//! - The server is asked to end each watch after a few minutes. One that says nothing for longer than
//!   `silence`, not even a bookmark, is opened anew from where it stood: that costs one request on a
//!   good connection, and finds out a dead one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baetyl_service_kit::backoff::{Backoff, Bounds};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::Client;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use rand::Rng;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::kinds::{Kind, View};
use super::sight::Sight;
use super::trouble::Trouble;
use super::wire::{Item, Page};

/// The longest that a page, or the start of a watch, may take.
const REQUEST_BOUND: Duration = Duration::from_secs(30);

/// How many objects a page has: at some 10 KB for a pod, a page is a megabyte.
const PAGE_SIZE: u32 = 100;

/// How long the server keeps a watch open, in seconds; drawn, so that not all end at one time.
const WATCH_SECONDS: std::ops::Range<u32> = 240..300;

/// A watch that ended sooner without a word was not one.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// How often all feeds list at a time.
pub(crate) const LISTS_AT_ONCE: usize = 3;

/// What a feed looks at.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) kind: Kind,
    /// `None` for the whole cluster.
    pub(crate) namespace: Option<String>,
    /// Empty for every object.
    pub(crate) selector: String,
    pub(crate) view: View,
}

impl Look {
    /// What a trouble says about it.
    pub(crate) fn sentence(&self, trouble: &Trouble) -> String {
        trouble.sentence(&self.kind.resource(), self.namespace.as_deref())
    }
}

/// Takes what a feed sees, in order.
pub(crate) trait Sink: Send + Sync + 'static {
    /// What is listed and watched.
    type Item: Item;

    /// Notes that a list begins.
    fn begin(&mut self) {}

    /// Takes an object as it is now; `false` when it is of no interest.
    fn upsert(&mut self, item: Self::Item) -> bool;

    /// Forgets an object that is gone, or no longer selected.
    fn remove(&mut self, name: &str);

    /// Forgets all that a list did not show.
    fn retain(&mut self, listed: &BTreeSet<String>);
}

/// What all feeds share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) retry: Duration,
    pub(crate) silence: Duration,
    pub(crate) lists: Arc<Semaphore>,
    /// Changes when there is reason to believe that connections are dead.
    pub(crate) suspicion: watch::Receiver<u64>,
}

impl Shared {
    /// How long a page, or the start of a watch, may take.
    fn bound(&self) -> Duration {
        self.silence.min(REQUEST_BOUND)
    }

    /// Delays after what passes: up to 30 s by default.
    pub(crate) fn backoff(&self) -> Backoff {
        self.backoff_up_to(30)
    }

    /// Delays after what a person must repair: up to five minutes by default.
    pub(crate) fn patience(&self) -> Backoff {
        self.backoff_up_to(300)
    }

    fn backoff_up_to(&self, factor: u32) -> Backoff {
        Backoff::new(Bounds {
            initial: self.retry,
            cap: self.retry.saturating_mul(factor),
            healthy_after: self.retry.saturating_mul(10),
        })
    }
}

/// One watch.
pub(crate) struct Feed<S> {
    pub(crate) shared: Shared,
    pub(crate) look: Look,
    pub(crate) sink: S,
    pub(crate) sight: Sight,
    /// Where to resume; `None` to list.
    version: Option<String>,
}

impl<S: Sink> Feed<S> {
    pub(crate) fn new(shared: Shared, look: Look, sink: S, sight: Sight) -> Self {
        Self {
            shared,
            look,
            sink,
            sight,
            version: None,
        }
    }

    /// Follows until the kind is not served (any more).
    pub(crate) async fn run(&mut self) {
        let mut prompt = self.shared.backoff();
        let mut patient = self.shared.patience();
        loop {
            let began = Instant::now();
            let ended = self.round(&mut prompt).await;
            let delay = match ended {
                Ok(End::Quiet) if began.elapsed() < SHORTEST_WATCH => {
                    prompt.next_delay(Instant::now())
                }
                Ok(End::Quiet | End::Lively) => continue,
                Err(Trouble::Gone) => {
                    self.version = None;
                    prompt.next_delay(Instant::now())
                }
                Err(Trouble::NotServed) => {
                    self.version = None;
                    return;
                }
                Err(trouble) => {
                    if !trouble.is_passing() {
                        // Whatever the server holds against this version, it will not against none.
                        self.version = None;
                    }
                    let is_forbidden = matches!(trouble, Trouble::Forbidden { .. });
                    self.sight
                        .broken(self.look.sentence(&trouble), is_forbidden);
                    match trouble {
                        Trouble::Forbidden { .. } => patient.next_delay(Instant::now()),
                        _ => prompt.next_delay(Instant::now()),
                    }
                }
            };
            tokio::time::sleep(delay).await;
        }
    }

    async fn round(&mut self, backoff: &mut Backoff) -> Result<End, Trouble> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => self.list().await?,
        };
        self.version = Some(version.clone());
        // Opened before anything else, so that a suspicion of before does not count.
        self.shared.suspicion.mark_unchanged();
        let events = self.open(&version).await?;
        self.sight.current();
        backoff.healthy(Instant::now());
        self.follow(events).await
    }

    /// Lists everything, and returns the version that the list shows.
    async fn list(&mut self) -> Result<String, Trouble> {
        let lists = self.shared.lists.clone();
        let permit = lists.acquire_owned().await;
        let mut listed = BTreeSet::new();
        self.sink.begin();
        let mut params = ListParams {
            limit: Some(PAGE_SIZE),
            label_selector: self.selector(),
            ..ListParams::default()
        };
        let version = loop {
            let page: Page<S::Item> = self.page(&params).await?;
            for item in page.items {
                let name = item.name().to_owned();
                if self.sink.upsert(item) {
                    listed.insert(name);
                }
            }
            if page.metadata.next.is_empty() {
                break page.metadata.resource_version;
            }
            params.continue_token = Some(page.metadata.next);
        };
        drop(permit);
        self.sink.retain(&listed);
        self.sight.listed();
        Ok(version)
    }

    async fn page(&self, params: &ListParams) -> Result<Page<S::Item>, Trouble> {
        let request = Request::new(self.look.kind.path(self.look.namespace.as_deref()));
        let request = match self.look.view {
            View::Whole => request.list(params),
            View::Metadata => request.list_metadata(params),
        };
        let request = request.map_err(Trouble::request)?;
        let text = timeout(
            self.shared.bound(),
            self.shared.client.request_text(request),
        )
        .await;
        let text = text.map_err(|_| Trouble::silent("list"))?;
        let text = text.map_err(|error| Trouble::of(error, "list"))?;
        serde_json::from_str(&text).map_err(Trouble::unreadable)
    }

    async fn open(
        &self,
        version: &str,
    ) -> Result<BoxStream<'static, kube::Result<WatchEvent<S::Item>>>, Trouble> {
        let params = WatchParams {
            label_selector: self.selector(),
            timeout: Some(rand::rng().random_range(WATCH_SECONDS)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(self.look.kind.path(self.look.namespace.as_deref()));
        let request = match self.look.view {
            View::Whole => request.watch(&params, version),
            View::Metadata => request.watch_metadata(&params, version),
        };
        let request = request.map_err(Trouble::request)?;
        let opening = self.shared.client.request_events::<S::Item>(request);
        let opened = timeout(self.shared.bound(), opening).await;
        let opened = opened.map_err(|_| Trouble::silent("watch"))?;
        let events = opened.map_err(|error| Trouble::of(error, "watch"))?;
        Ok(events.boxed())
    }

    async fn follow(
        &mut self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<S::Item>>> + Send + Unpin,
    ) -> Result<End, Trouble> {
        let mut end = End::Quiet;
        loop {
            // Both are cancel safe: a level, and the next item of a stream that stays.
            let event = tokio::select! {
                _ = self.shared.suspicion.changed() => return Ok(End::Lively),
                event = timeout(self.shared.silence, events.next()) => event,
            };
            let event = match event {
                Err(_) => return Ok(End::Lively),
                Ok(None) => return Ok(end),
                Ok(Some(event)) => event.map_err(|error| Trouble::of(error, "watch"))?,
            };
            end = End::Lively;
            match event {
                WatchEvent::Added(item) | WatchEvent::Modified(item) => {
                    self.version = Some(item.version().to_owned());
                    self.sink.upsert(item);
                }
                WatchEvent::Deleted(item) => {
                    self.version = Some(item.version().to_owned());
                    self.sink.remove(item.name());
                }
                WatchEvent::Bookmark(bookmark) => {
                    self.version = Some(bookmark.metadata.resource_version);
                }
                WatchEvent::Error(status) => return Err(Trouble::answered(&status, "watch")),
            }
        }
    }

    fn selector(&self) -> Option<String> {
        let selector = &self.look.selector;
        (!selector.is_empty()).then(|| selector.clone())
    }
}

/// How a watch ended without trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It said nothing.
    Quiet,
    /// It said something, or was ended from here.
    Lively,
}
