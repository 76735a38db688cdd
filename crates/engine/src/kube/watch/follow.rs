//! Kinds that only some applications have: found by discovery, watched while they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind, verbs};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::{Feed, Look, Shared};
use super::kinds::{self, Kind};
use super::sight::{GroupKind, Need, Sight, Sights};
use super::sinks::ObjectSink;
use super::store::Store;
use super::trouble::Trouble;
use crate::kube::facts::KindName;

/// How long discovery may take.
const DISCOVERY_BOUND: Duration = Duration::from_secs(30);

/// Which applications have which kinds.
#[derive(Debug)]
pub(super) struct Wishes {
    by_application: Mutex<BTreeMap<String, BTreeSet<KindName>>>,
    changed: watch::Sender<u64>,
}

impl Wishes {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            by_application: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Replaces what an application has; kinds that are always watched are left out.
    pub(super) fn set(&self, application: &str, kinds: BTreeSet<KindName>) {
        let kinds: BTreeSet<_> = kinds.into_iter().filter(|k| !kinds::is_fixed(k)).collect();
        let mut by_application = self.by_application.lock();
        let before = match kinds.is_empty() {
            true => by_application.remove(application).unwrap_or_default(),
            false => by_application
                .insert(application.to_owned(), kinds.clone())
                .unwrap_or_default(),
        };
        drop(by_application);
        if before != kinds {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Tells of an application which of its kinds cannot be seen. What is told is never older than
    /// what was told before: it is found out and told in one.
    pub(super) fn tell(&self, application: &str, sights: &Sights, store: &Store) {
        let by_application = self.by_application.lock();
        let kinds = by_application.get(application).into_iter().flatten();
        let unobserved = kinds
            .filter_map(|kind| Some((kind.clone(), sights.followed(&group_kind(kind))?)))
            .collect();
        store.unobserved(application, unobserved);
    }

    /// Tells of all applications that have such kinds.
    pub(super) fn tell_all(&self, sights: &Sights, store: &Store) {
        let applications: Vec<_> = self.by_application.lock().keys().cloned().collect();
        for application in applications {
            self.tell(&application, sights, store);
        }
    }

    /// What must be watched; of several versions of a kind one is enough.
    fn kinds(&self) -> BTreeMap<GroupKind, KindName> {
        let by_application = self.by_application.lock();
        let mut all = BTreeMap::new();
        for kind in by_application.values().flatten() {
            all.entry(group_kind(kind)).or_insert_with(|| kind.clone());
        }
        all
    }
}

fn group_kind(kind: &KindName) -> GroupKind {
    (kinds::group(&kind.0).to_owned(), kind.1.clone())
}

/// Everything that following needs.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) shared: Shared,
    pub(super) store: Arc<Store>,
    pub(super) sights: Arc<Sights>,
    pub(super) wishes: Arc<Wishes>,
    pub(super) namespaces: Arc<BTreeSet<String>>,
    pub(super) selector: Arc<str>,
}

struct Running {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    /// Watches what is wished for, until it is cancelled; one step after the other, so that what is
    /// forgotten is never what was seen anew.
    pub(super) async fn run(self, tracker: TaskTracker, end: CancellationToken) {
        let mut wishes = self.wishes.changed.subscribe();
        let mut running: BTreeMap<GroupKind, Running> = BTreeMap::new();
        loop {
            wishes.mark_unchanged();
            let wanted = self.wishes.kinds();
            let over = running.extract_if(.., |kind, _| !wanted.contains_key(kind));
            let over: Vec<_> = over.collect();
            for (kind, over) in over {
                over.end.cancel();
                // Cancelled at its next await; a panic has been reported by the runtime.
                over.task.await.ok();
                self.forget(&kind);
            }
            for (kind, name) in wanted {
                running.entry(kind.clone()).or_insert_with(|| {
                    let (follower, end) = (self.clone(), end.child_token());
                    let sight = self.sights.add(Need::Followed(kind.clone()), None);
                    let until = end.clone();
                    let follow = async move {
                        until
                            .run_until_cancelled(follower.follow(kind, name, sight))
                            .await;
                    };
                    let task = tracker.spawn(follow);
                    Running { end, task }
                });
            }
            tokio::select! {
                _ = wishes.changed() => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Watches one kind wherever its objects may be.
    async fn follow(self, kind: GroupKind, name: KindName, sight: Sight) {
        let mut definitions = self.store.definitions();
        let (mut prompt, mut patient) = (self.shared.backoff(), self.shared.patience());
        loop {
            definitions.mark_unchanged();
            let trouble = match self.discover(&name).await {
                Ok((resource, is_namespaced)) => {
                    let mut feeds: FuturesUnordered<_> = self
                        .feeds(&kind, &resource, is_namespaced)
                        .into_iter()
                        .map(|mut feed| async move { feed.run().await })
                        .collect();
                    sight.current();
                    sight.listed();
                    // A feed ends only when the kind is not served any more.
                    feeds.next().await;
                    sight.broken(
                        Trouble::NotServed.sentence(&resource.resource(), None),
                        false,
                    );
                    drop(feeds);
                    self.forget(&kind);
                    Trouble::NotServed
                }
                Err(trouble) => {
                    let what = format!("{} ({})", name.1, name.0);
                    let is_forbidden = matches!(trouble, Trouble::Forbidden { .. });
                    sight.broken(trouble.sentence(&what, None), is_forbidden);
                    trouble
                }
            };
            let delay = match trouble.is_passing() {
                true => prompt.next_delay(Instant::now()),
                false => patient.next_delay(Instant::now()),
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = definitions.changed() => {
                    (prompt, patient) = (self.shared.backoff(), self.shared.patience());
                }
            }
        }
    }

    /// Forgets what was seen of a kind, after it was said that it cannot be seen.
    fn forget(&self, kind: &GroupKind) {
        self.wishes.tell_all(&self.sights, &self.store);
        self.store.forget(kind);
    }

    fn feeds(
        &self,
        group_kind: &GroupKind,
        kind: &Kind,
        is_namespaced: bool,
    ) -> Vec<Feed<ObjectSink>> {
        let namespaces: Vec<_> = match is_namespaced {
            true => self.namespaces.iter().cloned().map(Some).collect(),
            false => vec![None],
        };
        let feeds = namespaces.into_iter().map(|namespace| {
            let look = Look {
                kind: kind.clone(),
                namespace,
                selector: self.selector.to_string(),
                view: kind.view(),
            };
            let sink = ObjectSink::new(self.store.clone(), &look);
            let need = Need::Followed(group_kind.clone());
            let sight = self.sights.add(need, look.namespace.as_deref());
            Feed::new(self.shared.clone(), look, sink, sight)
        });
        feeds.collect()
    }

    /// Asks how paths spell a kind, and whether it is one of namespaces.
    async fn discover(&self, name: &KindName) -> Result<(Kind, bool), Trouble> {
        let (group, version) = name.0.split_once('/').unwrap_or(("", &name.0));
        let wanted = GroupVersionKind::gvk(group, version, &name.1);
        let found = timeout(DISCOVERY_BOUND, pinned_kind(&self.shared.client, &wanted)).await;
        let found = found.map_err(|_| Trouble::silent("discovery"))?;
        let (resource, can) = match found {
            Ok(found) => found,
            Err(kube::Error::Discovery(_)) => return Err(Trouble::NotServed),
            Err(error) => return Err(Trouble::of(error, "discover")),
        };
        if !can.supports_operation(verbs::LIST) || !can.supports_operation(verbs::WATCH) {
            let message = "the API server offers no watch of it".to_owned();
            return Err(Trouble::Refused(message));
        }
        let kind = Kind {
            name: name.clone(),
            plural: resource.plural,
        };
        Ok((kind, can.scope == Scope::Namespaced))
    }
}
